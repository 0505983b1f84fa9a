"""MXNet's `.params`: arrays one after the other, then their names.

    uint64 0x112, 0, number of arrays; arrays; uint64 number of names; names (uint64 length, bytes)
    array    uint32 0xF993FAC9 (V2) or 0xF993FACA (V3), int32 kind of storage (0: dense)
             or uint32 0xF993FAC8 (V1); or none of these, and the number of axes at once
             shape: uint32 number of axes, then int64 each, uint32 each in the oldest files
             int32 device, its number, type; values, little endian, in C order

"arg:" and "aux:" before the names are dropped. Kernels are (K, C, R, S), matrices (out, in).

Source: src/ndarray/ndarray.cc of Apache MXNet.
"""

import math

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.storage.limits import Cursor, array_from

SIGNATURE = b"\x12\x01" + bytes(14)
V1, WITH_STORAGE = 0xF993FAC8, (0xF993FAC9, 0xF993FACA)
TYPES = dict(enumerate("<f4 <f8 <f2 u1 <i4 i1 <i8 ?".split()))
MAX_AXES = 8


def read(data: bytes, budget) -> dict:
    """Return {name: array}; those of a file without names are called by their numbers."""
    cursor = Cursor(data[len(SIGNATURE) :])
    arrays = []
    for _ in range(cursor.number(8)):
        arrays.append(_array(cursor, budget))
    names = [_name(cursor, budget) for _ in range(_count(cursor, len(arrays)))]
    found = {}
    for i, array in enumerate(arrays):
        if array is not None:
            budget.put(found, names[i] if names else str(i), array)
    return found


def _count(cursor, arrays):
    count = cursor.number(8)
    if count not in (0, arrays):
        raise MinicnnError(f"{count} names of {arrays} arrays")
    return count


def _name(cursor, budget):
    budget.step()
    name = bytes(cursor.take(cursor.number(8))).decode()
    return name.removeprefix("arg:").removeprefix("aux:")


def _array(cursor, budget):
    budget.step()
    axes, size = cursor.number(4), 4
    if axes in WITH_STORAGE and cursor.number(4):
        raise MinicnnError("an array that is sparse, which is not read")
    if axes in (V1, *WITH_STORAGE):
        axes, size = cursor.number(4), 8
    if axes > MAX_AXES:
        raise MinicnnError(f"an array with {axes} axes")
    shape = tuple(cursor.number(size) for _ in range(axes))
    if not shape:
        return None  # an array that was never filled
    cursor.take(8)  # the device
    kind = cursor.number(4)
    if kind not in TYPES:
        raise MinicnnError(f"an array of the type {kind}, which is not read")
    dtype = np.dtype(TYPES[kind])
    return array_from(cursor.take(math.prod(shape) * dtype.itemsize), dtype, shape, budget)
