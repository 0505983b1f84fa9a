"""A network: an ordered list of uniquely named layers, walked forward and backward.

    acts = net.forward(x, taps=["relu1_1", "relu4_2"])      {name: activation}
    dx = net.backward({"relu1_1": d1, "relu4_2": d4})       gradients enter where they belong

A layer takes the output of the one before it unless it names its `inputs`. Backward is the chain
rule over that graph: the gradient of a layer's output is the sum of what its consumers hand back
and of what the caller feeds in at its name.
"""

from typing import NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.layers import BatchNorm2d, Concat, GlobalAvgPool2d, Linear, Mode, Rule, pair
from minicnn.ops import conv2d

INPUT = "input"


class Node(NamedTuple):
    """A layer in its place: its name, what it computes, and the names of its inputs."""

    name: str
    layer: object
    inputs: tuple


class Network:
    """Layers, parameters, and the caches of the last forward pass.

    Parameters
    ----------
    layers : list of (name, layer) or (name, layer, inputs)
        In an order in which every input comes before its consumer. `inputs` is a tuple of names;
        the picture itself is "input".
    params : dict
        {"conv1_1.weight": array, ...}
    input_shape : (int, int, int)
        (C, H, W) that the network was made for; other H, W work as far as the layers allow.
    attrs : dict, optional
        What travels with the weights: name, preprocess, classes, ...

    Raises
    ------
    MinicnnError
        If a name occurs twice or an input is unknown.
    """

    def __init__(self, layers, params, input_shape, attrs=None):
        self.nodes = _as_nodes(layers)
        self.params = params
        self.input_shape = tuple(input_shape)
        self.attrs = dict(attrs or {})
        self.convolution = conv2d  # or another module with the same three functions
        self._index = {node.name: i for i, node in enumerate(self.nodes)}
        self._caches = {}

    @property
    def layers(self):
        """The names of the layers, in order."""
        return [node.name for node in self.nodes]

    @property
    def dtype(self):
        """The dtype that the network computes in: that of its parameters."""
        return next(iter(self.params.values())).dtype if self.params else np.dtype("float32")

    def layer(self, name):
        """Return the layer called `name`."""
        return self.nodes[self._find([name])].layer

    def forward(self, x, taps, *, training=False, rng=None, keep=True):
        """Compute activations.

        Parameters
        ----------
        x : array (N, C, H, W)
            Preprocessed pictures.
        taps : list of str
            The layers whose outputs are wanted; nothing behind the last one is computed.
        training : bool
            Batch statistics and dropout; keep what `gradients` needs.
        rng : numpy.random.Generator, optional
            For dropout.
        keep : bool
            Keep the caches that `backward` needs; False saves memory when scanning.

        Returns
        -------
        dict
            {name: array (N, C, H, W)}

        Raises
        ------
        MinicnnError
            If there is no layer of some name, or the picture is too small.
        """
        mode = Mode(training, rng, self.convolution)
        last = self._find(taps)
        last_use = {source: i for i, node in enumerate(self.nodes) for source in node.inputs}
        self._caches, outputs, acts = {}, {INPUT: x}, {}
        for i, node in enumerate(self.nodes[: last + 1]):
            xs = [outputs[source] for source in node.inputs]
            try:
                y, cache = node.layer.forward(_one_or_all(xs, node), self._own(node), mode)
            except MinicnnError as error:
                raise MinicnnError(f"layer {node.name}: {error}") from None
            if keep:
                self._caches[node.name] = cache
            outputs[node.name] = y
            if node.name in taps:
                acts[node.name] = y
            for source in node.inputs:
                if last_use[source] == i:
                    outputs.pop(source, None)
        return acts

    def backward(self, dys, relu_rule="gradient"):
        """Pass gradients down to the picture.

        Parameters
        ----------
        dys : dict
            {name: gradient (N, C, H, W)} with respect to outputs of the last `forward`.
        relu_rule : {"gradient", "deconvnet", "guided"}
            Only the first is a gradient; see `ops.relu`.

        Returns
        -------
        dx : array (N, 3, H, W)
        """
        return self._walk_back(dys, Rule(relu_rule, self.convolution), None)

    def gradients(self, dys):
        """Return {parameter: gradient} after a forward pass with `training=True`."""
        grads = {}
        self._walk_back(dys, Rule(convolution=self.convolution), grads)
        return grads

    def batch_statistics(self):
        """Return {layer: (mean, var)} of the batch normalisations in the last training pass."""
        return {
            node.name: self._caches[node.name][2:]
            for node in self.nodes
            if isinstance(node.layer, BatchNorm2d) and node.name in self._caches
        }

    def replica(self):
        """Return a network with the same parameter arrays and caches of its own, for a thread."""
        twin = Network([tuple(node) for node in self.nodes], self.params, self.input_shape)
        twin.attrs, twin.convolution = self.attrs, self.convolution
        return twin

    def shapes(self, input_shape=None):
        """Return {layer: (C, H, W) of its output} for an input of `input_shape` (C, H, W)."""
        shapes = {INPUT: tuple(input_shape or self.input_shape)}
        for node in self.nodes:
            try:
                shapes[node.name] = node.layer.out_shape(*[shapes[s] for s in node.inputs])
            except MinicnnError as error:
                raise MinicnnError(f"layer {node.name}: {error}") from None
        del shapes[INPUT]
        return shapes

    def receptive_fields(self):
        """Return {layer: (size, stride, offset)} in pixels, each (rows, columns).

        Output (i, j) sees the pixels offset + i stride ... offset + i stride + size - 1 of its
        rows, and likewise of its columns; the offset is negative where padding comes first. A
        layer that sees the whole picture has size None.

            size' = size + (span - 1) stride,  stride' = stride u,  offset' = offset - pad stride
        """
        fields = {INPUT: ((1, 1), (1, 1), (0, 0))}
        for node in self.nodes:
            field = _join([fields[source] for source in node.inputs])
            fields[node.name] = _behind(field, node.layer)
        del fields[INPUT]
        return fields

    def _own(self, node):
        prefix = node.name + "."
        return {
            name: self.params[prefix + name]
            for name in ("weight", "bias", "gamma", "beta", "mean", "var")
            if prefix + name in self.params
        }

    def _find(self, names):
        for name in names:
            if name not in self._index:
                raise MinicnnError(
                    f"no layer named {name!r}; the layers are {', '.join(self.layers)}"
                )
        if not names:
            raise MinicnnError(f"no layer named; the layers are {', '.join(self.layers)}")
        return max(self._index[name] for name in names)

    def _walk_back(self, dys, rule, grads):
        """Chain rule from the last fed layer down; fills `grads` if given, else returns dx."""
        pending = dict(dys)
        for node in reversed(self.nodes[: self._find(list(dys)) + 1]):
            dy = pending.pop(node.name, None)
            if dy is None:
                continue
            if node.name not in self._caches:
                raise MinicnnError(f"no forward pass has reached layer {node.name!r} yet")
            cache, params = self._caches[node.name], self._own(node)
            if grads is not None and isinstance(node.layer, BatchNorm2d):
                dx, own = node.layer.backward_all(dy, cache)
            else:
                own = {} if grads is None else node.layer.backward_params(dy, cache)
                if grads is not None and node.inputs == (INPUT,):
                    dx = None  # nothing below has parameters
                else:
                    dx = node.layer.backward(dy, cache, params, rule)
            if grads is not None:
                grads.update({f"{node.name}.{name}": grad for name, grad in own.items()})
            for source, part in zip(node.inputs, [dx] if len(node.inputs) == 1 else dx):
                if part is not None:
                    pending[source] = part if source not in pending else pending[source] + part
        return pending.get(INPUT)


def _as_nodes(layers):
    nodes, known = [], [INPUT]
    for name, layer, *inputs in layers:
        inputs = tuple(inputs[0]) if inputs and inputs[0] else (known[-1],)
        if name in known:
            raise MinicnnError(f"two layers are named {name!r}; names must be unique")
        for source in inputs:
            if source not in known:
                raise MinicnnError(f"layer {name!r} takes {source!r}, which does not come before")
        nodes.append(Node(name, layer, inputs))
        known.append(name)
    return nodes


def _one_or_all(xs, node):
    return xs if isinstance(node.layer, Concat) else xs[0]


def _join(fields):
    """Return the least field that covers all of `fields`."""
    if any(size is None for size, _, _ in fields):
        return (None, (0, 0), (0, 0))
    offset = tuple(min(f[2][i] for f in fields) for i in (0, 1))
    end = tuple(max(f[2][i] + f[0][i] for f in fields) for i in (0, 1))
    return (tuple(e - o for e, o in zip(end, offset)), fields[0][1], offset)


def _behind(field, layer):
    """Return the receptive field of `layer` when that of its input is `field`."""
    size, stride, offset = field
    if size is None or isinstance(layer, (Linear, GlobalAvgPool2d)):
        return (None, (0, 0), (0, 0))
    kernel, step, pad = pair(layer.kernel), pair(layer.stride), pair(layer.padding)
    return (
        tuple(size[i] + (kernel[i] - 1) * stride[i] for i in (0, 1)),
        tuple(stride[i] * step[i] for i in (0, 1)),
        tuple(offset[i] - pad[i] * stride[i] for i in (0, 1)),
    )
