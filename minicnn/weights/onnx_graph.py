"""An ONNX graph as a network: every operator a layer of ours, or folded into one.

What ours cannot say otherwise is written out, with the same result: a dilated kernel with the
zeros between its rows, a padding that differs at opposite edges with zeros beside the kernel, the
product with a constant and the sum with one as a batch normalisation of mean 0 and variance 1.

Source: github.com/onnx/onnx/blob/main/docs/Operators.md.
"""

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.network.build import names
from minicnn.network.network import INPUT, Network
from minicnn.network.sizes import checked_input
from minicnn.network.tables import LARGEST, MOST_LAYERS, PARAMETERS
from minicnn.storage.limits import Budget, damage_told, weight_file
from minicnn.weights.formats import onnx
from minicnn.weights.onnx_operators import OPERATORS

OLDEST = 7  # opset
SIZE = 224  # of the picture, where the file leaves it open


class Value(NamedTuple):
    """What goes from node to node: the layer that makes it, and (C, H, W) of it for one picture."""

    layer: str
    shape: tuple
    flat: bool = False  # (N, C H W) in the graph


def network_of_file(path) -> Network:
    """Read a network from an ONNX file; the first output of its graph is the last layer.

    Parameters
    ----------
    path : path

    Returns
    -------
    Network
        With `attrs["name"]` after the file, and no "preprocess", which no ONNX file says.

    Raises
    ------
    MinicnnError
        If the file is damaged, or an operator is none of those that are read: it is named.
    """
    path = Path(path)
    size, _ = weight_file(path)
    with damage_told(path):
        budget = Budget(size)
        builder = Builder(onnx.read_graph(path.read_bytes(), budget), budget)
        name = re.sub(r"[^\w.-]+", "_", path.stem)
        name = f"{name}-onnx" if name in names() else name
        return Network(builder.layers, builder.params, builder.shape, {"name": name})


class Builder:
    """The layers and parameters of a graph, node by node."""

    def __init__(self, graph, budget):
        if graph.opset < OLDEST:
            raise MinicnnError(f"operators of opset {graph.opset}; {OLDEST} and newer are read")
        if len(graph.inputs) != 1 or not graph.outputs:
            raise MinicnnError(
                f"a graph of {len(graph.inputs)} inputs; it must have one, a picture"
            )
        self.opset, self.constants, self.budget = graph.opset, dict(graph.arrays), budget
        self.layers, self.params, self._names = [], {}, {INPUT}
        ((picture, shape),) = graph.inputs.items()
        self.shape = _picture(shape)
        self.values = {picture: Value(INPUT, self.shape)}
        nodes = _needed(graph)
        self.readers = Counter([name for node in nodes for name in node.inputs] + graph.outputs)
        with np.errstate(all="ignore"):  # what is not finite is refused where it is saved
            for node in nodes:
                try:
                    self._take(node)
                except MinicnnError as error:
                    raise MinicnnError(f"{node}: {error}") from None
        if not self.layers:
            raise MinicnnError("a graph without any layer")

    def _take(self, node):
        if node.kind not in OPERATORS:
            raise MinicnnError(f"this operator is not read; those are {', '.join(OPERATORS)}")
        found = OPERATORS[node.kind](self, node)
        known = self.values if isinstance(found, Value) else self.constants
        known[node.outputs[0]] = found

    def is_constant(self, node, i) -> bool:
        """Tell whether an input is a constant array."""
        return node.inputs[i] in self.constants

    def constant(self, node, i, *default):
        """Return the constant array that is an input, or the default where it is left out."""
        name = node.inputs[i] if i < len(node.inputs) else ""
        if not name and default:
            return default[0]
        if name not in self.constants:
            raise MinicnnError(f"its input {name[:60]!r} is no constant of a type that is read")
        return self.constants[name]

    def value(self, node, i=0) -> Value:
        """Return what comes from another node."""
        if node.inputs[i] not in self.values:
            raise MinicnnError(f"its input {node.inputs[i][:60]!r} is made by no node before it")
        return self.values[node.inputs[i]]

    def map(self, node, i=0) -> Value:
        """Return what comes from another node, as maps: not flattened, or of one pixel."""
        value = self.value(node, i)
        if value.flat and value.shape[1:] != (1, 1):
            raise MinicnnError("it reads a flattened map; only fully connected layers can")
        return value

    def add(self, node, layer, *inputs, **params) -> Value:
        """Append a layer with its parameters; return what it makes."""
        name, first = self._name(node), inputs[0]
        shape = tuple(layer.out_shape(*(value.shape for value in inputs)))
        if shape[0] > LARGEST or len(self.layers) == MOST_LAYERS:
            raise MinicnnError(
                f"{shape[0]} channels; at most {LARGEST} are read, and {MOST_LAYERS} layers"
            )
        for kind, due in layer.param_shapes(first.shape).items():
            array = np.asarray(params[kind])
            if array.shape != due:
                raise MinicnnError(f"its {kind} is {array.shape}, where {due} is due")
            self.budget.array(due, 4)
            self.params[f"{name}.{kind}"] = np.ascontiguousarray(array, np.float32)
        self.layers.append((name, layer, tuple(value.layer for value in inputs)))
        return Value(name, shape, first.flat)

    def _name(self, node):
        """Return a layer's name: "/layer1/layer1.0/conv1/Conv" is layer1.0/conv1/Conv."""
        parts = re.sub(r"[^\w./-]+", "_", node.name or node.outputs[0]).split("/")
        # a part named as a parameter would be where its layer's own are
        parts = [part + "_" * (part in PARAMETERS) for part in parts if part.strip(".")]
        kept = [
            a for a, b in zip(parts, [*parts[1:], ""], strict=True) if not b.startswith(a + ".")
        ]
        name = whole = "/".join(kept)[-80:].strip("/") or node.kind
        again = 2
        while name in self._names:
            name, again = f"{whole}_{again}", again + 1
        self._names.add(name)
        return name


def _picture(shape):
    """Return (3, N, N) of a graph's input (N, C, H, W), with `SIZE` for what is left open."""
    if len(shape) != 4 or shape[1] != 3:
        told = [size or "?" for size in shape]
        raise MinicnnError(f"its input is {told}; it must be pictures [N, 3, H, W]")
    return checked_input([3, *(size or SIZE for size in shape[2:])])


def _needed(graph):
    """Return the nodes that the first output depends on, in order."""
    wanted, found = {graph.outputs[0]}, []
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs):
            found.append(node)
            wanted.update(node.inputs)
    return found[::-1]
