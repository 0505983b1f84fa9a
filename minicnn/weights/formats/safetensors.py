"""Safetensors: the length of a header, the header in JSON, then the values.

    8 bytes                    length of the header, little endian
    {"conv1.weight": {"dtype": "F32", "shape": [8, 3, 3, 3], "data_offsets": [0, 864]}, ...}
    values                     little endian, in C order; the offsets count from here

Source: github.com/huggingface/safetensors, section Format.
"""

import itertools

from minicnn.errors import MinicnnError
from minicnn.storage.limits import Cursor, array_from, parse_json, widen_bfloat16

BFLOAT16 = "BF16"
TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", BFLOAT16: "<u2", "I64": "<i8", "I32": "<i4",
    "I16": "<i2", "I8": "i1", "U8": "u1", "U16": "<u2", "U32": "<u4", "U64": "<u8", "BOOL": "?",
}  # fmt: skip


def read(data: bytes, budget) -> dict:
    """Return {name: array}; bfloat16 becomes float32, all else keeps its type."""
    cursor = Cursor(data)
    header = parse_json(bytes(cursor.take(cursor.number(8))), budget)
    values, found = cursor.rest, {}
    if not isinstance(header, dict):
        raise MinicnnError("a header that is no table of arrays")
    header.pop("__metadata__", None)
    used = []
    for name, entry in header.items():
        dtype, shape, (start, end) = (entry[key] for key in ("dtype", "shape", "data_offsets"))
        if dtype not in TYPES:
            raise MinicnnError(f"{name[:60]} is of the type {str(dtype)[:20]}, which is not read")
        if not all(type(v) is int for v in (*shape, start, end)) or not (
            0 <= start <= end <= len(values)
        ):
            raise MinicnnError(f"{name[:60]} has offsets or sizes that are none")
        array = array_from(values[start:end], TYPES[dtype], tuple(shape), budget)
        found[name] = widen_bfloat16(array) if dtype == BFLOAT16 else array
        used.append((start, end))
    _check_no_overlap(used)
    return found


def _check_no_overlap(used):
    used.sort()
    for (_, end), (start, _) in itertools.pairwise(used):
        if start < end:
            raise MinicnnError("two arrays share their bytes")
