"""A network: an ordered list of uniquely named layers, walked forward and backward.

    acts = net.forward(x, taps=["relu1_1", "relu4_2"])      {name: activation}
    dx = net.backward({"relu1_1": d1, "relu4_2": d4})       gradients enter where they belong

A layer takes the output of the one before it unless it names its `inputs`. Backward is the chain
rule over that graph: the gradient of a layer's output is the sum of what its consumers hand back
and of what the caller feeds in at its name.
"""

from itertools import islice
from typing import NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.network import receptive_fields as network_receptive_fields
from minicnn.network.layers import BatchNorm2d, Concat, MaxPool2d, Mode, Rule
from minicnn.ops import conv2d

INPUT = "input"
LRN_RULES = ("gradient", "identity")


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

    def __init__(self, layers: list, params: dict, input_shape: tuple, attrs: dict | None = None):
        self.nodes = _as_nodes(layers)
        self.params = params
        self.input_shape = tuple(input_shape)
        self.attrs = dict(attrs or {})
        self.convolution = conv2d  # or another module with the same three functions
        self._index = {node.name: i for i, node in enumerate(self.nodes)}
        self.forget()

    @property
    def layers(self) -> list[str]:
        """The names of the layers, in order."""
        return [node.name for node in self.nodes]

    @property
    def dtype(self) -> np.dtype:
        """The dtype that the network computes in: that of its parameters."""
        return next(iter(self.params.values())).dtype if self.params else np.dtype("float32")

    def layer(self, name: str):
        """Return the layer called `name`."""
        return self.nodes[self._find([name])].layer

    def forward(
        self,
        x,
        taps,
        *,
        training: bool = False,
        rng=None,
        keep: bool = True,
        drop_zero_windows: bool = False,
    ) -> dict:
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
        drop_zero_windows : bool
            Record no switch in max-pooling windows whose maximum is not positive.

        Returns
        -------
        dict
            {name: array (N, C, H, W)}. The arrays are the network's own until `backward` is done:
            read them, do not write into them.

        Raises
        ------
        MinicnnError
            If there is no layer of some name, or the picture does not fit.
        """
        taps = [taps] if isinstance(taps, str) else list(taps)
        last = self._find(taps)
        if getattr(x, "ndim", None) != 4 or x.dtype.kind != "f":
            raise MinicnnError(
                "a network takes floating-point pictures (N, C, H, W), got "
                f"{getattr(x, 'dtype', type(x).__name__)} {getattr(x, 'shape', '')}"
            )
        mode = Mode(training, rng, self.convolution, drop_zero_windows)
        last_use = {source: i for i, node in enumerate(self.nodes) for source in node.inputs}
        self.forget()
        self._trained = training
        outputs, acts = {INPUT: x}, {}
        for i, node in enumerate(self.nodes[: last + 1]):
            xs = [outputs[source] for source in node.inputs]
            xs = xs if isinstance(node.layer, Concat) else xs[0]
            try:
                y, cache = node.layer.forward(xs, self.own_params(node), mode)
            except MinicnnError as error:
                raise MinicnnError(f"layer {node.name}: {error}") from None
            if keep:
                self._caches[node.name], self._outputs[node.name] = cache, (y.shape, y.dtype)
            outputs[node.name] = y
            if node.name in taps:
                acts[node.name] = y
            for source in node.inputs:
                if last_use[source] == i:
                    outputs.pop(source, None)
        return acts

    def forget(self) -> None:
        """Let go of what the last forward pass has kept; `backward` needs another one then."""
        self._caches, self._outputs, self._trained = {}, {}, False

    def backward(
        self,
        dys: dict,
        relu_rule: str = "gradient",
        *,
        lrn_rule: str | None = None,
        overlap: str = "sum",
        rectify_first: bool = False,
    ):
        """Pass gradients down to the picture.

        Parameters
        ----------
        dys : dict
            {name: gradient (N, C, H, W)} with respect to outputs of the last `forward`.
        relu_rule : {"gradient", "deconvnet", "guided"}
            Only the first is a gradient; see `ops.relu`.
        lrn_rule : {"gradient", "identity"}, optional
            The deconvnet passes by a normalisation ("identity"), everything else differentiates
            it, unless told otherwise here.
        overlap : {"sum", "max", "overwrite"}
            Only the first is a gradient; see `ops.unpool`.
        rectify_first : bool
            Rectify before unpooling instead of behind it, where `relu_rule` rectifies at all.

        Returns
        -------
        dx : array (N, 3, H, W), in the dtype of the activations

        Raises
        ------
        MinicnnError
            If a layer or rule is unknown, a gradient has another shape than its activation, or
            no forward pass with `keep=True` has come that far.
        """
        if lrn_rule is None:
            lrn_rule = "identity" if relu_rule == "deconvnet" else "gradient"
        if lrn_rule not in LRN_RULES:
            raise MinicnnError(f"no LRN rule {lrn_rule!r}; the rules are {', '.join(LRN_RULES)}")
        return self._walk_back(dys, Rule(relu_rule, lrn_rule, overlap, rectify_first), None)

    def gradients(self, dys: dict) -> dict:
        """Return {parameter: gradient} after a forward pass with `training=True`."""
        if not self._trained:
            raise MinicnnError(
                "parameter gradients need a forward pass with training=True just before"
            )
        grads = {}
        self._walk_back(dys, Rule(), grads)
        return grads

    def batch_statistics(self) -> dict:
        """Return {layer: (mean, var)} of the batch normalisations in the last training pass."""
        return {
            node.name: self._caches[node.name][2:]
            for node in self.nodes
            if self._trained and isinstance(node.layer, BatchNorm2d) and node.name in self._caches
        }

    def switches(self) -> dict:
        """Return {layer: `ops.maxpool2d.Cache`} of the max poolings in the last forward pass."""
        return {
            node.name: self._caches[node.name]
            for node in self.nodes
            if isinstance(node.layer, MaxPool2d) and node.name in self._caches
        }

    def replica(self) -> "Network":
        """Return a network with the same parameter arrays and caches of its own, for a thread."""
        twin = Network([tuple(node) for node in self.nodes], self.params, self.input_shape)
        twin.attrs, twin.convolution = self.attrs, self.convolution
        return twin

    def shapes(self, input_shape: tuple | None = None, taps: list | None = None) -> dict:
        """Return {layer: (C, H, W) of its output} for an input of `input_shape` (C, H, W).

        Of the layers that `forward` computes for `taps`, all by default.

        Raises
        ------
        MinicnnError
            If a layer's window, or the parameters that it has, do not fit.
        """
        count = len(self.nodes) if taps is None else len(self.nodes_until(taps))
        return {name: out for name, _, out in islice(self._shapes(input_shape), count)}

    def nodes_until(self, taps: list) -> list:
        """Return the `Node`s that `forward` computes for `taps`."""
        return self.nodes[: self._find(list(taps)) + 1]

    def own_params(self, node: Node) -> dict:
        """Return a layer's parameters by their short names, {"weight": ..., "bias": ...}."""
        prefix = node.name + "."
        return {
            name: self.params[prefix + name]
            for name in ("weight", "bias", "gamma", "beta", "mean", "var")
            if prefix + name in self.params
        }

    def param_shapes(self) -> dict:
        """Return {"conv1_1.weight": shape, ...}: what the layers need, whatever `params` holds."""
        return {
            f"{name}.{param}": shape
            for name, own, _ in self._shapes(None, check=False)
            for param, shape in own.items()
        }

    def receptive_fields(self) -> dict:
        """Return {layer: `Field` (size, stride, offset)}, in pixels of the picture."""
        found = {INPUT: network_receptive_fields.PIXEL}
        for node in self.nodes:
            seen = network_receptive_fields.cover([found[source] for source in node.inputs])
            found[node.name] = network_receptive_fields.behind(seen, node.layer)
        del found[INPUT]
        return found

    def _shapes(self, input_shape, check=True):
        """Yield (name, {parameter: shape}, (C, H, W) of the output) layer by layer."""
        shapes = {INPUT: tuple(input_shape or self.input_shape)}
        for node in self.nodes:
            sources = [shapes[source] for source in node.inputs]
            try:
                shapes[node.name] = node.layer.out_shape(*sources)
            except MinicnnError as error:
                raise MinicnnError(f"layer {node.name}: {error}") from None
            own = node.layer.param_shapes(sources[0])
            for name, array in self.own_params(node).items() if check else ():
                if array.shape != own.get(name):
                    raise MinicnnError(
                        f"layer {node.name}: its {name} {array.shape} does not fit an input of "
                        f"{sources[0]}, which needs {own.get(name)}"
                    )
            yield node.name, own, shapes[node.name]

    def _find(self, names):
        """Return the index of the last of `names`."""
        if not names:
            raise MinicnnError(f"no layer named; the layers are {', '.join(self.layers)}")
        for name in names:
            if name not in self._index:
                raise MinicnnError(
                    f"no layer named {name!r}; the layers are {', '.join(self.layers)}"
                )
        return max(self._index[name] for name in names)

    def _check_gradient(self, name, dy):
        if name not in self._outputs:
            raise MinicnnError(f"no forward pass with keep=True has reached layer {name!r} yet")
        shape, dtype = self._outputs[name]
        if dy.shape != shape:
            raise MinicnnError(f"layer {name}: the gradient is {dy.shape}, its activation {shape}")
        return dy.astype(dtype, copy=False)

    def _walk_back(self, dys, rule, grads):
        """Chain rule from the last fed layer down; fills `grads` if given, else returns dx."""
        last = self._find(list(dys))
        pending = {name: self._check_gradient(name, dy) for name, dy in dys.items()}
        for node in reversed(self.nodes[: last + 1]):
            dy = pending.pop(node.name, None)
            if dy is None:
                continue
            cache, params = self._caches[node.name], self.own_params(node)
            if grads is None:
                dx = node.layer.backward(dy, cache, params, rule)
            elif isinstance(node.layer, BatchNorm2d):
                dx, own = node.layer.backward_all(dy, cache)
                grads.update(_prefixed(node.name, own))
            else:
                grads.update(_prefixed(node.name, node.layer.backward_params(dy, cache)))
                if node.inputs == (INPUT,):
                    continue  # nothing below has parameters
                dx = node.layer.backward(dy, cache, params, rule)
            parts = dx if isinstance(node.layer, Concat) else [dx]
            for source, part in zip(node.inputs, parts, strict=True):
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


def _prefixed(name, own):
    return {f"{name}.{param}": grad for param, grad in own.items()}
