"""A style objective compiled for one size of picture: every buffer made once, nothing waits.

    plan = compile_objective(net, objective, shape, machine)
    value, gradient = plan(x)

It computes what `weighted_sum.ImageFunction` does on `network.Network`, for the networks and terms
that `obstacle` lets pass: convolutions of stride 1 with a ReLU behind each, poolings; content, Gram
and plain total-variation terms. Between the picture's copy and the read of the terms, a few float64
numbers, the host waits for nothing, so that the whole can be one CUDA graph.
"""

from functools import partial

import numpy as np

from minicnn.backend import to_host
from minicnn.device.buffers import Buffers
from minicnn.device.machine import column_dtype, count_bytes
from minicnn.device.steps import Convolution, Pooling, Run
from minicnn.device.terms import Content, Style, Variation
from minicnn.errors import MinicnnError
from minicnn.kernels import strips
from minicnn.kernels.loader import SUM_BLOCKS
from minicnn.layers import AvgPool2d, Conv2d, MaxPool2d, ReLU
from minicnn.network import INPUT
from minicnn.objectives import ContentLoss, GramStyleLoss
from minicnn.ops import avgpool2d
from minicnn.ops.shapes import pair
from minicnn.priors import PixelTV, tv

CHANNELS = 4  # of the picture, the last of them 0: kernels read four channels at a time
GIGABYTE = 1 << 30
KINDS = {ContentLoss: Content, GramStyleLoss: Style}


def obstacle(net, objective, shape):
    """Return why an objective cannot be compiled, or None.

    Parameters
    ----------
    net : Network
    objective : WeightedSum
    shape : (N, 3, H, W)
    """
    if shape[0] != 1:
        return "it has several pictures"
    for _, term in objective.objectives.values():
        if type(term) not in KINDS:
            return f"it has the term {type(term).__name__}"
    for _, prior in objective.priors.values():
        if type(prior) is not PixelTV or prior.variation is not tv:
            return "its prior is not the plain total variation"
    if not objective.layers:
        return "it has no layers"
    if str(net.dtype) != "float32":
        return f"the network computes in {net.dtype}"
    nodes, before = _nodes(net, objective.layers), INPUT
    for node, after in zip(nodes, [*nodes[1:], None], strict=True):
        if node.inputs != (before,):
            return f"layer {node.name} does not follow on the one before it"
        before = node.name
        trouble = _unfit(node, after, objective.layers)
        if trouble:
            return f"layer {node.name} {trouble}"
    return None


def compile_objective(net, objective, shape, machine):
    """Return a `Plan`, with as large strips as the memory of the device allows.

    Raises
    ------
    MinicnnError
        If it does not even fit with the smallest ones.
    """

    def build():
        return Plan(net, objective, shape, machine, strips.strip_bytes())

    try:
        return strips.with_smaller_strips(build, machine.release)
    except MemoryError:
        needed = bytes_needed(net, objective, shape, machine.half) / GIGABYTE
        raise MinicnnError(
            f"not enough GPU memory: this takes at least {needed:.2f} GB; use a smaller --size, a "
            "larger --gpu-memory if there is more, or --device cpu"
        ) from None


def bytes_needed(net, objective, shape, half=False, strip_bytes=strips.SMALLEST):
    """Return what a plan takes on the device, without the network and cuBLAS's 32 MB."""
    return count_bytes(partial(_Arrays, net, objective, shape, half, strip_bytes))


class Plan:
    """A function of the picture, fun(x) -> (value, gradient).

    Parameters
    ----------
    net : Network, whose weights must not change any more
    objective : WeightedSum, without an `obstacle`
    shape : (1, 3, H, W)
    machine : see `machine.Cuda`
    strip_bytes : int
        About what the columns of a convolution may take.

    Attributes
    ----------
    terms : dict, name -> weighted value of every term at the last picture, as `ImageFunction` has
    """

    def __init__(self, net, objective, shape, machine, strip_bytes=strips.LARGEST):
        buffers = Buffers(machine.xp)
        self._arrays = _Arrays(net, objective, shape, machine.half, strip_bytes, buffers)
        self._run = Run(machine.kernels, machine.products(buffers), self._arrays.columns)
        self._machine, self._parts = machine, _part_names(objective)
        self._graph, self._calls = None, 0
        self.bytes, self.terms = buffers.bytes, {}

    def __call__(self, x):
        """Return the value at x (1, 3, H, W), and the gradient, which the next call overwrites."""
        arrays = self._arrays
        arrays.x[...] = x
        if self._calls == 1:  # the first call has compiled everything
            self._graph = self._machine.captured(self._step_by_step)
        self._calls += 1
        (self._graph or self._step_by_step)()
        values = dict(zip(arrays.names, _read(arrays.totals), strict=True))
        self.terms = {
            name: values[name] if name in values else sum(values[part] for part in parts)
            for name, parts in self._parts.items()
        }
        return sum(values.values()), arrays.gradient

    def _step_by_step(self):
        a, run = self._arrays, self._run
        H, W = a.x.shape[2:]
        if a.variation is None:
            a.gradient.fill(0)
        else:
            a.variation.run(run, a.x, a.gradient, a.partials[-1])
        picture = a.picture
        run.kernels.each("channels_last", picture.size, a.x, picture, 3, CHANNELS, H * W)
        x = picture
        for step in a.steps:
            step.forward(run, x)
            x = step.y
        d, spare, there = *a.gradients, False
        for i in range(len(a.steps) - 1, -1, -1):
            step = a.steps[i]
            dy = _part(d, step.out_shape)
            for row, term in a.terms.get(i, ()):
                term.run(run, step.y, dy, a.partials[row], there)
                there = True
            dx = _part(spare, step.shape)
            step.backward(run, dy, dx)
            d, spare = spare, d
        rows = _part(d, picture.shape)
        run.kernels.each("add_channels_first", a.x.size, rows, a.gradient, CHANNELS, H * W)
        count = len(a.names)
        run.kernels.blocks("total", count, a.partials, a.factors, a.totals, SUM_BLOCKS)


class _Arrays:
    """The steps, the terms at them, and everything that is allocated.

    `terms` is step -> [(row of `partials`, term)]; the total variation has the last row.
    """

    def __init__(self, net, objective, shape, half, strip_bytes, buffers=None):
        buffers = buffers or Buffers()
        _, _, H, W = shape
        self.x, self.gradient = buffers.new(tuple(shape)), buffers.new(tuple(shape))
        self.picture = buffers.new((H, W, CHANNELS))
        self.steps, places = [], {}
        size = (H, W, CHANNELS)
        for node in _nodes(net, objective.layers):
            step = _step(buffers, net, node, size, half, strip_bytes)
            if step is not None:
                self.steps.append(step)
                size = step.out_shape
            places[node.name] = len(self.steps) - 1
        self._set_terms(buffers, objective, places, (H, W))
        largest = max(int(np.prod(s)) for step in self.steps for s in (step.shape, step.out_shape))
        self.gradients = (buffers.new(largest), buffers.new(largest))
        columns = max(step.column_size for step in self.steps)
        self.columns = buffers.new(columns, column_dtype(half))
        count = len(self.names)
        self.partials = buffers.new((count, SUM_BLOCKS), np.float64)
        self.totals = buffers.new(count, np.float64)
        self.factors = buffers.filled(self._factors, np.float64)

    def _set_terms(self, buffers, objective, places, size):
        self.names, self._factors, self.terms, self.variation = [], [], {}, None
        for name, (weight, loss) in objective.objectives.items():
            for layer, own in loss.weights.items():
                place, factor = places[layer], weight * own * loss.factors[layer]
                shape, target = self.steps[place].out_shape, loss.targets[layer]
                term = KINDS[type(loss)](buffers, f"{name}.{layer}", shape, target, factor)
                self.terms.setdefault(place, []).append((len(self.names), term))
                self._add(term)
        for name, (weight, prior) in objective.priors.items():
            unit, factor = to_host(prior.unit).ravel(), weight / (3 * size[0] * size[1])
            self.variation = Variation(buffers, name, size, unit, factor)
            self._add(self.variation)

    def _add(self, term):
        self.names.append(term.name)
        self._factors.append(term.factor)


def _nodes(net, layers):
    """Return the layers up to the last of `layers`."""
    last = max(net.layers.index(name) for name in layers)
    return net.nodes[: last + 1]


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


def _step(buffers, net, node, size, half, strip_bytes):
    """Return the step of a layer; a ReLU belongs to the convolution before it and has none."""
    layer = node.layer
    if isinstance(layer, Conv2d):
        w, b = (net.params.get(f"{node.name}.{name}") for name in ("weight", "bias"))
        return Convolution(buffers, size, layer, w, b, half, strip_bytes)
    if isinstance(layer, MaxPool2d):
        return Pooling(buffers, size, layer)
    if isinstance(layer, AvgPool2d):
        one = np.zeros((1, 1, *size[:2]), np.float32)
        options = {"stride": layer.stride, "padding": layer.padding, "ceil": layer.ceil}
        options["count_padding"] = layer.count_padding
        return Pooling(
            buffers, size, layer, avgpool2d.forward(one, layer.kernel, **options)[1].count
        )
    return None


def _part(flat, shape):
    return flat[: int(np.prod(shape))].reshape(shape)


def _read(totals):
    """Return the values of the terms; this waits for the device."""
    return to_host(totals).tolist()


def _part_names(objective):
    """Return {name of a term: names of its parts}, in the order and with the names of a report."""
    found = {}
    for name, (_, loss) in objective.objectives.items():
        parts = [f"{name}.{layer}" for layer in loss.weights]
        found[name] = parts
        if len(parts) > 1:
            found |= {part: [part] for part in parts}
    return found | {name: [name] for name in objective.priors}
