"""ONNX files, without onnx: the constant arrays under their names, and the graph of operators.

    ModelProto      graph = 7   opset_import = 8 (domain = 1, version = 2)
    GraphProto      node = 1   initializer = 5   input = 11   output = 12
    NodeProto       input = 1   output = 2   name = 3   op_type = 4   attribute = 5   domain = 7
    AttributeProto  name = 1   f = 2   i = 3   s = 4   t = 5   floats = 7   ints = 8
    ValueInfoProto  name = 1   type = 2 (tensor_type = 1 (shape = 2 (dim = 1 (dim_value = 1))))
    TensorProto     dims = 1   data_type = 2   float_data = 4   int32_data = 5   int64_data = 7
                    name = 8   raw_data = 9   double_data = 10   external_data = 13 (another file)

Kernels of Conv are (K, C / groups, R, S), as ours.

Source: onnx/onnx.proto3.
"""

from typing import NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.storage.limits import array_from
from minicnn.weights.formats.protobuf import BYTES, FIXED32, VARINT, fields, sizes, varints

GRAPH, OPSETS = 7, 8
NODE, INITIALIZER, INPUTS, OUTPUTS = 1, 5, 11, 12
DATA_TYPE, NAME, RAW, EXTERNAL = 2, 8, 9, 13
# data type: (how its values lie in raw_data, the field that has them otherwise)
TYPES = {1: ("<f4", 4), 11: ("<f8", 10), 10: ("<f2", 5), 6: ("<i4", 5), 7: ("<i8", 7)}
WHOLE = (5, 7)  # fields of numbers of any length
STANDARD = ("", "ai.onnx")


class GraphNode(NamedTuple):
    """An operator in its place."""

    name: str
    kind: str
    inputs: list
    outputs: list
    attributes: dict

    def __str__(self):
        """Return what it is called in messages."""
        return f"node {(self.name or ', '.join(self.outputs))[:60]} ({self.kind[:60]})"


class Graph(NamedTuple):
    """A graph: `inputs` is {name: shape} of all but the arrays, with None for an open size."""

    opset: int
    nodes: list
    arrays: dict
    inputs: dict
    outputs: list


def read(data: bytes, budget) -> dict:
    """Return {name: array} of all floating point initialisers.

    Raises
    ------
    MinicnnError
        If two have the same name, or one keeps its values in another file.
    """
    found = {}
    for graph in _all(data, GRAPH, budget):
        _initialisers(graph, found, budget)
    # whole numbers are shapes and axes
    return {name: array for name, array in found.items() if array.dtype.kind == "f"}


def read_graph(data: bytes, budget) -> Graph:
    """Return the graph of a file, see `read`."""
    graphs = list(_all(data, GRAPH, budget))
    if len(graphs) != 1:
        raise MinicnnError("no graph of operators; is it an ONNX file?")
    opset, graph, arrays = 0, graphs[0], {}
    for entry in _all(data, OPSETS, budget):
        found = {number: value for number, _, value in fields(entry, budget)}
        if _text(found.get(1, b"")) in STANDARD:
            opset = found.get(2, 0)
    _initialisers(graph, arrays, budget)
    nodes = [_node(message, budget) for message in _all(graph, NODE, budget)]
    inputs = dict(_value_info(message, budget) for message in _all(graph, INPUTS, budget))
    inputs = {name: shape for name, shape in inputs.items() if name not in arrays}
    outputs = [_value_info(message, budget)[0] for message in _all(graph, OUTPUTS, budget)]
    return Graph(opset, nodes, arrays, inputs, outputs)


def _all(message, wanted, budget):
    """Yield every message in the field `wanted`."""
    for number, wire, value in fields(message, budget):
        if number == wanted and wire == BYTES:
            yield value


def _text(value):
    return bytes(value).decode()


def _initialisers(graph, found, budget):
    """Put the arrays of the types that are read into `found`."""
    for tensor in _all(graph, INITIALIZER, budget):
        name, array = _tensor(tensor, budget)
        if array is not None:
            budget.put(found, name, array)


def _tensor(message, budget):
    """Return the name and the array of a tensor; None for a type that is not read."""
    dtype, found, whole = None, {}, []
    for number, wire, value in fields(message, budget):
        if number == DATA_TYPE and wire == VARINT:
            dtype = value
        elif number in WHOLE and wire in (VARINT, BYTES):
            whole += [value] if wire == VARINT else varints(value, budget)
        elif wire != VARINT:
            found[number] = value
    name = _text(found.get(NAME, b""))
    if EXTERNAL in found:
        raise MinicnnError(f"{name[:60]} keeps its values in another file, which is not read")
    if dtype not in TYPES:
        return name, None
    stored, field = TYPES[dtype]
    values = found.get(RAW, found.get(field, b""))
    if RAW not in found and field in WHOLE:
        as_whole = "<u2" if stored == "<f2" else stored  # half floats come as their bits
        values = np.array([_signed(number) for number in whole], as_whole).tobytes()
    return name, array_from(values, stored, sizes(message, budget), budget)


def _signed(number):
    return number - (1 << 64) if number >> 63 else number


def _node(message, budget):
    texts, attributes = {1: [], 2: [], 3: [""], 4: [""], 7: [""]}, {}
    for number, wire, value in fields(message, budget):
        if wire == BYTES and number in texts:
            texts[number].append(_text(value))
        elif wire == BYTES and number == 5:
            name, value = _attribute(value, budget)
            attributes[name] = value
    kind = texts[4][-1] if texts[7][-1] in STANDARD else f"{texts[7][-1]}.{texts[4][-1]}"
    return GraphNode(texts[3][-1], kind, texts[1], texts[2], attributes)


def _attribute(message, budget):
    """Return (name, value) of an attribute: a number, text, a list, an array; None for others."""
    name, found, listed = "", None, []
    for number, wire, value in fields(message, budget):
        if number == 1 and wire == BYTES:
            name = _text(value)
        elif number in (2, 7) and wire in (FIXED32, BYTES):
            numbers = np.frombuffer(value, "<f4").tolist()
            found = numbers[-1] if number == 2 else [*listed, *numbers]
        elif number == 3 and wire == VARINT:
            found = _signed(value)
        elif number == 4 and wire == BYTES:
            found = _text(value)
        elif number == 5 and wire == BYTES:
            found = _tensor(value, budget)[1]
        elif number == 8 and wire in (VARINT, BYTES):
            listed += map(_signed, [value] if wire == VARINT else varints(value, budget))
            found = listed
    return name, found


def _value_info(message, budget):
    """Return (name, shape) of an input or output; a size that is open, or a name, is None."""
    name, shape = "", []
    for number, wire, value in fields(message, budget):
        if number == 1 and wire == BYTES:
            name = _text(value)
        elif number == 2 and wire == BYTES:
            for tensor in _all(value, 1, budget):
                for dims in _all(tensor, 2, budget):
                    shape = [_size(dim, budget) for dim in _all(dims, 1, budget)]
    return name, shape


def _size(message, budget):
    found = {number: value for number, wire, value in fields(message, budget) if wire == VARINT}
    return found.get(1) or None
