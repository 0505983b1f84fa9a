"""ONNX files, without onnx: the constant arrays of the graph, under their names.

    ModelProto   graph = 7
    GraphProto   initializer = 5
    TensorProto  dims = 1   data_type = 2   float_data = 4   name = 8   raw_data = 9
                 double_data = 10   external_data = 13 (in another file)

Kernels of Conv are (K, C / groups, R, S), as ours. Whole numbers are shapes and axes of the graph:
they are left out.

Source: onnx/onnx.proto3.
"""

from minicnn.errors import MinicnnError
from minicnn.storage.limits import array_from
from minicnn.weights.formats.protobuf import BYTES, VARINT, fields, sizes

GRAPH, INITIALIZER = 7, 5
DATA_TYPE, NAME, EXTERNAL = 2, 8, 13
DTYPES = {1: "<f4", 10: "<f2", 11: "<f8"}
DATA = {1: (4, 9), 10: (9,), 11: (10, 9)}  # fields that hold the values of a type


def read(data: bytes, budget) -> dict:
    """Return {name: array} of all floating point initialisers.

    Raises
    ------
    MinicnnError
        If two have the same name, or one keeps its values in another file.
    """
    found = {}
    for graph in _all(data, GRAPH, budget):
        for tensor in _all(graph, INITIALIZER, budget):
            name, dtype, values = _tensor(tensor, budget)
            if dtype in DTYPES:
                array = array_from(values, DTYPES[dtype], sizes(tensor, budget), budget)
                budget.put(found, name, array)
    return found


def _all(message, wanted, budget):
    """Yield every message in the field `wanted`."""
    for number, wire, value in fields(message, budget):
        if number == wanted and wire == BYTES:
            yield value


def _tensor(message, budget):
    """Return (name, number of the type, bytes of the values)."""
    dtype, found = None, {}
    for number, wire, value in fields(message, budget):
        if number == DATA_TYPE and wire == VARINT:
            dtype = value
        elif wire != VARINT:
            found[number] = value
    name = bytes(found.get(NAME, b"")).decode()
    if EXTERNAL in found:
        raise MinicnnError(f"{name[:60]} keeps its values in another file, which is not read")
    return name, dtype, next((found[at] for at in DATA.get(dtype, ()) if at in found), b"")
