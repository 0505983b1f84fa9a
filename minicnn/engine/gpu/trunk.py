"""The layers of a network compiled for one size of picture: activations up, gradients down.

`Trunk` is what `CompiledObjective` and `evaluator.DeviceReplay` share: the steps, the picture, and
the memory in which gradients go down. What it can do, and why not, says `misfit`: convolutions of
stride 1 with a ReLU behind each, poolings, one after the other.
"""

import numpy as np

from minicnn.backend import array_module
from minicnn.engine.gpu.convolution_step import Convolution
from minicnn.engine.gpu.cuda import column_dtype
from minicnn.engine.gpu.steps import Form, Pooling, StepTools
from minicnn.errors import MinicnnError
from minicnn.kernels import strips
from minicnn.network.layers import AvgPool2d, Conv2d, MaxPool2d, ReLU
from minicnn.network.network import INPUT
from minicnn.ops.shapes import pair

NUMBERS = 65521  # that are drawn; then they come again, never alike in the channels of a pixel
CHANNELS = 4  # of the picture, the last of them 0: kernels read four channels at a time
GIGABYTE = 1 << 30


def misfit(net, layers, shape):
    """Return why a network cannot be compiled up to `layers` for pictures of `shape`, or None."""
    if shape[0] != 1:
        return "it has several pictures"
    if not layers:
        return "it has no layers"
    if str(net.dtype) != "float32":
        return f"the network computes in {net.dtype}"
    nodes, before = net.nodes_until(layers), INPUT
    for node, after in zip(nodes, [*nodes[1:], None], strict=True):
        if node.inputs != (before,):
            return f"layer {node.name} does not follow on the one before it"
        before = node.name
        trouble = _unfit(node, after, layers)
        if trouble:
            return f"layer {node.name} {trouble}"
    return None


class Trunk:
    """The layers of a network without `misfit`, up to the last of some, for pictures (1, 3, H, W).

    `x` and `gradient` are the picture and where its gradient is added to, `steps` the `Convolution`
    and `Pooling` in order, `places` has {layer: number of the step that has its activations}.
    """

    def __init__(self, buffers, net, layers, shape, form):
        _, _, H, W = shape
        self.shape = tuple(shape)
        self.x, self.gradient = buffers.new(self.shape), buffers.new(self.shape)
        self.picture = buffers.new((H, W, CHANNELS))
        self.steps, self.places = [], {}
        size = (H, W, CHANNELS)
        for node in net.nodes_until(layers):
            step = _step(buffers, net, node, size, form)
            if step is not None:
                self.steps.append(step)
                size = step.out_shape
            self.places[node.name] = len(self.steps) - 1
        shapes = [s for step in self.steps for s in (step.shape, step.out_shape)]
        largest = max(int(np.prod(s)) for s in shapes)
        self._down = (buffers.new(largest), buffers.new(largest))
        columns = max(step.column_size for step in self.steps)
        self.columns = buffers.new(columns, column_dtype(form.half))

    def choose(self, run, best):
        """Let every convolution choose its ways, on numbers drawn at random."""
        numbers = np.random.default_rng(0).standard_normal(NUMBERS, np.float32)
        for array in (self.picture, self._down[0]):
            drawn = np.resize(numbers, array.shape)
            array[...] = array_module(array).asarray(drawn)
        x = self.picture
        for step in self.steps:
            if isinstance(step, Convolution):
                dy, dx = _part(self._down[0], step.out_shape), _part(self._down[1], step.shape)
                step.choose(run, x, dy, dx, best)
            else:
                step.forward(run, x)
            x = step.y

    def forward(self, run):
        """Fill the `y` of every step."""
        H, W = self.shape[2:]
        given = (self.x, self.picture, 3, CHANNELS, H * W)
        run.kernels.each("channels_last", self.picture.size, *given)
        x = self.picture
        for step in self.steps:
            step.forward(run, x)
            x = step.y

    def backward(self, run, feed):
        """Add the gradient of the picture to `gradient`.

        feed(i, dy, there) puts what enters at step i into dy (P, Q, K), or adds it where something
        is `there`; it returns whether there is now. At the last step there must be something.
        """
        d, spare, there = *self._down, False
        for i in range(len(self.steps) - 1, -1, -1):
            step = self.steps[i]
            dy, dx = _part(d, step.out_shape), _part(spare, step.shape)
            there = feed(i, dy, there)
            step.backward(run, dy, dx)
            d, spare = spare, d
        H, W = self.shape[2:]
        given = (_part(d, self.picture.shape), self.gradient, CHANNELS, H * W)
        run.kernels.each("add_channels_first", self.x.size, *given)


def form_of(machine, strip_bytes):
    """Return the `Form` of convolutions on a machine."""
    return Form(machine.precision, machine.ways, strip_bytes)


def run_of(machine, buffers, trunk):
    """Return the `StepTools` of a trunk on a machine; its convolutions choose their ways."""
    run = StepTools(machine.kernels, machine.products(buffers), trunk.columns)
    if len(machine.ways) > 1:
        known = machine.known_ways()
        trunk.choose(run, known.best)
        known.remember()
    return run


def fitted(build, machine, needed):
    """Return build(strip_bytes), with as large strips as the memory of the device allows.

    Where it does not even fit with the smallest strips, the error tells needed(), in bytes.
    """
    sizes = strips.Strips()
    try:
        return sizes.fitted(lambda: build(sizes.bytes), machine.release)
    except MemoryError:
        raise MinicnnError(
            f"not enough GPU memory: this takes at least {needed() / GIGABYTE:.2f} GB; use a "
            "smaller --size, a larger --gpu-memory if there is more, or --device cpu"
        ) from None


def _unfit(node, after, wanted):
    """Return what is wrong with a layer, or None."""
    layer = node.layer
    if isinstance(layer, MaxPool2d):
        kernel = pair(layer.kernel)
        return "has too large windows" if kernel[0] * kernel[1] > 256 else None
    if isinstance(layer, ReLU | AvgPool2d):
        return None
    if not isinstance(layer, Conv2d):
        return f"is a {type(layer).__name__}"
    if after is None or not isinstance(after.layer, ReLU) or node.name in wanted:
        return "is wanted without the ReLU behind it"
    kernel, padding = pair(layer.kernel), pair(layer.padding)
    small = all(p < k for p, k in zip(padding, kernel, strict=True))
    if pair(layer.stride) != (1, 1) or layer.groups != 1 or layer.channels % 4 or not small:
        return "is not a convolution of stride 1 in one group of 4, 8, ... channels"
    return None


def _step(buffers, net, node, size, form):
    """Return the step of a layer; a ReLU belongs to the convolution before it and has none."""
    layer = node.layer
    if isinstance(layer, Conv2d):
        w, b = (net.params.get(f"{node.name}.{name}") for name in ("weight", "bias"))
        return Convolution(buffers, size, layer, w, b, form)
    if isinstance(layer, MaxPool2d):
        return Pooling(buffers, size, layer)
    if isinstance(layer, AvgPool2d):
        return Pooling(buffers, size, layer, layer.counts(size[:2], np.float32))
    return None


def _part(flat, shape):
    return flat[: int(np.prod(shape))].reshape(shape)
