"""The calls in pickles of NumPy arrays, as `pickles.loads` needs them.

    _reconstruct(ndarray, (0,), b"b")       then its state (1, shape, dtype, is_fortran, values)
    dtype("f4", False, True)                then its state (3, "<", ...)
    _codecs.encode(text, "latin1")          the values in protocol 2 of Python 3
    _frombuffer(values, dtype, shape, "C")  protocol 5

Arrays of objects hold a list in the place of the values; it is kept as it is.
"""

import io
import re

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.storage.limits import array_from
from minicnn.weights.formats.pickles import Built, flatten, loads, shown

PROTOCOLS = tuple(bytes([0x80, version]) for version in (2, 3, 4, 5))  # first bytes
PLAIN = re.compile(r"[<>|=]?[fiu][1248]|\|?b1|\??")
OBJECTS = ("O", "O8", "O4", "|O")


def read(data, budget) -> dict:
    """Return {name: array} of the arrays in nested dictionaries, lists and tuples."""
    refusal = "only arrays are read"
    found = flatten(loads(io.BytesIO(data), allowed(budget), budget, refusal=refusal), budget)
    if not found:
        raise MinicnnError("a pickle without arrays")
    return found


class _Dtype(Built):
    """A dtype in two steps: its letters, then the byte order."""

    def __init__(self, letters):
        letters = _text(letters)
        if letters not in OBJECTS and not PLAIN.fullmatch(letters):
            raise MinicnnError(f"an array of the type {shown(letters)}, which is not read")
        super().__init__(letters)

    def build(self, state):
        order = _text(state[1]) if isinstance(state, tuple) and len(state) > 1 else ""
        if order not in ("<", ">", "|", "="):
            raise MinicnnError("an array of an unknown byte order")
        if self.value not in OBJECTS:
            self.value = np.dtype(self.value).newbyteorder(order).str


class _Array(Built):
    def __init__(self, budget):
        super().__init__()
        self.budget = budget

    def build(self, state):
        if not isinstance(state, tuple) or len(state) != 5:
            raise MinicnnError("an array with an unknown state")
        _, shape, dtype, fortran, values = state
        self.value = _array(values, dtype, shape, bool(fortran), self.budget)


def allowed(budget) -> dict:
    """Return {(module, name): function}; all arrays together stay within the budget."""

    def encode(text, *_):
        budget.take(len(text))
        return _bytes(text)

    def scalar(dtype, raw):
        return Built(_array(raw, dtype, (), False, budget))

    def from_buffer(raw, dtype, shape, order, *_):
        return Built(_array(raw, dtype, shape, order == "F", budget))

    table = {
        ("numpy", "dtype"): lambda letters, *_: _Dtype(letters),
        ("_codecs", "encode"): encode,
        ("collections", "OrderedDict"): lambda *_: {},
    }
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray", "_reconstruct"] = lambda *_: _Array(budget)
        table[f"{core}.multiarray", "scalar"] = scalar
        table[f"{core}.numeric", "_frombuffer"] = from_buffer
    return table


def _array(values, dtype, shape, fortran, budget):
    if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple) or len(shape) > 8:
        raise MinicnnError("an array without a type and a shape")
    if not all(type(size) is int for size in shape):
        raise MinicnnError("an array whose shape is no sizes")
    if dtype.value in OBJECTS:
        if not isinstance(values, list):
            raise MinicnnError("an array of objects without a list of them")
        return values[0] if shape == () and len(values) == 1 else values
    return array_from(_bytes(values), dtype.value, shape, budget, order="F" if fortran else "C")


def _text(value):
    if isinstance(value, bytes):
        value = value[:20].decode("latin-1")
    if not isinstance(value, str):
        raise MinicnnError("a type without a name")
    return value


def _bytes(value):
    """Bytes as they are; pickles of Python 2 hold them as text of the same length."""
    if isinstance(value, str):
        return value.encode("latin-1")
    if not isinstance(value, (bytes, bytearray)):
        raise MinicnnError("an array without values")
    return value
