"""What a network tells about itself and its last pass, beside walking forward and backward."""

import math
from itertools import islice

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.network import receptive_fields
from minicnn.network.layers import BatchNorm2d, MaxPool2d, Rule
from minicnn.network.nodes import INPUT
from minicnn.network.parameters import random_params

LRN_RULES = ("gradient", "identity")


class Facts:
    """The base of `Network`: what follows from its layers, parameters and caches."""

    @property
    def layers(self) -> list[str]:
        """The names of the layers, in order."""
        return [node.name for node in self.nodes]

    @property
    def dtype(self) -> np.dtype:
        """The dtype that the network computes in: that of its parameters."""
        return next(iter(self.params.values())).dtype if self.params else np.dtype("float32")

    def __repr__(self) -> str:
        """Return its table: the name, class, output and number of parameters of every layer."""
        rows = [
            f"{name:20} {type(node.layer).__name__:15} {' x '.join(map(str, out)):>15} "
            f"{sum(map(math.prod, own.values())):>12,}"
            for node, (name, own, out) in zip(self.nodes, self._walk(check=False), strict=True)
        ]
        shape = " x ".join(map(str, self.input_shape))
        return "\n".join([f"{self.attrs.get('name', 'Network')} for pictures {shape}", *rows])

    def initialise(self, seed: int = 0, dtype: str = "float32") -> None:
        """Put random weights in the place of all parameters, see `parameters`."""
        self.params = random_params(self.param_shapes(), seed, dtype)

    def layer(self, name: str):
        """Return the layer called `name`."""
        return self.nodes_until([name])[-1].layer

    def shapes(self, input_shape: tuple | None = None, taps: list | None = None) -> dict:
        """Return {layer: (C, H, W) of its output} for an input of `input_shape` (C, H, W).

        Of the layers that `forward` computes for `taps`, all by default.

        Raises
        ------
        MinicnnError
            If a layer's window, or the parameters that it has, do not fit.
        """
        count = len(self.nodes) if taps is None else len(self.nodes_until(taps))
        return {name: out for name, _, out in islice(self._walk(input_shape), count)}

    def param_shapes(self) -> dict:
        """Return {"conv1_1.weight": shape, ...}: what the layers need, whatever `params` holds."""
        return {
            f"{name}.{param}": shape
            for name, own, _ in self._walk(check=False)
            for param, shape in own.items()
        }

    def _walk(self, input_shape=None, check=True):
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

    def trace(self, x, dy=None, relu_rule: str = "gradient"):
        """Return a table of a forward and a backward pass, layer by layer.

        Parameters
        ----------
        x : array (N, C, H, W)
        dy : array, or {layer: array}, optional
            The gradient of the last layer's output, or of the layers named; without it there is no
            way back.
        relu_rule : {"gradient", "deconvnet", "guided"}

        Returns
        -------
        Trace
            Its `rows` have shapes, bytes, norms and formulas, its `dx` is what `backward` returns.
            Printed it is a table; a layer of your own may have `formulas` = (forward, backward).

        >>> import numpy as np
        >>> from minicnn.network import Network
        >>> from minicnn.network.layers import ReLU
        >>> net = Network([("relu1", ReLU())], {}, (1, 1, 2))
        >>> net.trace(np.array([[[[-3.0, 4.0]]]]), np.array([[[[1.0, 2.0]]]]))
        layer  class         output  bytes  |y|   |dy|  forward        backward
        input         1 x 1 x 1 x 2     16    5      2
        relu1  ReLU   1 x 1 x 1 x 2     16    4  2.236  y = max(x, 0)  dx = dy (x > 0)
        """
        from minicnn.network.tracing import trace

        return trace(self, x, dy, relu_rule)

    def receptive_fields(self) -> dict:
        """Return {layer: `Field` (size, stride, offset)}, in pixels of the picture."""
        return receptive_fields.of_layers(self)

    def caches_of(self, kind: type) -> dict:
        """Return {layer: cache} of the layers of a class that the last forward pass has kept."""
        kept = (node for node in self.nodes if node.name in self._caches)
        return {node.name: self._caches[node.name] for node in kept if isinstance(node.layer, kind)}

    def switches(self) -> dict:
        """Return {layer: `ops.maxpool2d.Cache`} of the max poolings in the last forward pass."""
        return self.caches_of(MaxPool2d)

    def gradients(self, dys: dict) -> dict:
        """Return {parameter: gradient} for `dys`, {layer: gradient of its output}.

        It is refused unless the last forward pass was one with `training=True`.
        """
        if not self.trained:
            raise MinicnnError(
                "parameter gradients need a forward pass with training=True just before"
            )
        grads = {}

        def step(node, dy, cache):
            """Collect the gradients of a layer's own parameters on the way."""
            if isinstance(node.layer, BatchNorm2d):
                dx, own = node.layer.backward_all(dy, cache)
            else:
                own = node.layer.backward_params(dy, cache)
                dx = None  # if nothing below has parameters
                if node.inputs != (INPUT,):
                    dx = node.layer.backward(dy, cache, self.own_params(node), Rule())
            grads.update({f"{node.name}.{param}": grad for param, grad in own.items()})
            return dx

        self.walk_back(dys, step)
        return grads

    def gradient_at(self, layer: str, dys: dict):
        """Return dJ/dy (N, C, H, W) of a layer; None if J does not depend on it.

        `dys` is {layer: gradient of its output}, as in `backward`; what is below is not computed.
        """
        self.find([layer])
        found = []

        def step(node, dy, cache):
            """Stop at the layer."""
            if node.name == layer:
                found.append(dy)
                return None
            return node.layer.backward(dy, cache, self.own_params(node), Rule())

        self.walk_back(dys, step)
        return found[0] if found else None

    def batch_statistics(self) -> dict:
        """Return {layer: (mean, var)} of the batch normalisations in the last training pass."""
        if not self.trained:
            return {}
        return {name: cache[2:] for name, cache in self.caches_of(BatchNorm2d).items()}

    def replica(self):
        """Return a network with the same parameter arrays and caches of its own, for a thread."""
        twin = type(self)([tuple(node) for node in self.nodes], self.params, self.input_shape)
        twin.attrs = self.attrs
        return twin

    def until(self, taps: list):
        """Return a network of the layers that `forward` computes for `taps`, with their arrays."""
        nodes = [tuple(node) for node in self.nodes_until(taps)]
        names = {name for name, *_ in nodes}
        params = {key: a for key, a in self.params.items() if key.rpartition(".")[0] in names}
        return type(self)(nodes, params, self.input_shape, self.attrs)

    def own_params(self, node) -> dict:
        """Return a layer's parameters by their short names, {"weight": ..., "bias": ...}."""
        prefix = node.name + "."
        return LayerParams(
            (name, self.params[prefix + name])
            for name in ("weight", "bias", "gamma", "beta", "mean", "var")
            if prefix + name in self.params
        )

    def nodes_until(self, taps: list) -> list:
        """Return the `Node`s that `forward` computes for `taps`."""
        return self.nodes[: self.find(list(taps)) + 1]

    def find(self, names):
        """Return the index of the last of `names`."""
        if not names:
            raise MinicnnError(f"no layer named; the layers are {', '.join(self.layers)}")
        for name in names:
            if name not in self._index:
                listed = ", ".join(self.layers)
                raise MinicnnError(f"no layer named {name!r}; the layers are {listed}")
        return max(self._index[name] for name in names)

    def checked_gradient(self, name, dy):
        """Return dy in the dtype of the layer's output; refuse one of another shape."""
        if name not in self._outputs:
            raise MinicnnError(f"no forward pass with keep=True has reached layer {name!r} yet")
        shape, dtype = self._outputs[name]
        if dy.shape != shape:
            raise MinicnnError(f"layer {name}: the gradient is {dy.shape}, its activation {shape}")
        return dy.astype(dtype, copy=False)


class LayerParams(dict):
    """The parameters of a layer; it says how to get one that is missing."""

    def __missing__(self, name):
        """Refuse the layer."""
        raise MinicnnError(
            f"it has no {name}; net.initialise(seed) draws random weights, net.params takes others"
        )


def check_picture(x):
    """Refuse what is not an array of floating-point pictures (N, C, H, W)."""
    if getattr(x, "ndim", None) != 4 or x.dtype.kind != "f":
        raise MinicnnError(
            "a network takes floating-point pictures (N, C, H, W), got "
            f"{getattr(x, 'dtype', type(x).__name__)} {getattr(x, 'shape', '')}"
        )


def rule_of(relu_rule, lrn_rule, overlap, rectify_first):
    """Return the `Rule` of the arguments of `Network.backward`."""
    if lrn_rule is None:
        lrn_rule = "identity" if relu_rule == "deconvnet" else "gradient"
    if lrn_rule not in LRN_RULES:
        raise MinicnnError(f"no LRN rule {lrn_rule!r}; the rules are {', '.join(LRN_RULES)}")
    return Rule(relu_rule, lrn_rule, overlap, rectify_first)
