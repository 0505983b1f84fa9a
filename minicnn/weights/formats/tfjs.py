"""TensorFlow.js: `model.json`, and the values in files beside it.

    {"weightsManifest": [{"paths": ["group1-shard1of1.bin", ...],
                          "weights": [{"name", "shape", "dtype", "quantization"}, ...]}, ...]}

The values of a group stand in its files as if these were one, little endian. Codes of one or two
bytes become code * scale + min. Kernels (R, S, C, K) and matrices (in, out) are turned.

Source: tfjs-core/src/io/types.ts, io_utils.ts.
"""

import math

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.storage.limits import Cursor, array_from, parse_json
from minicnn.weights.formats.axes import turned
from minicnn.weights.formats.siblings import read_beside

TYPES = {
    "float32": "<f4", "float16": "<f2", "int32": "<i4", "uint8": "u1", "uint16": "<u2", "bool": "?",
}  # fmt: skip
MARK = b'"weightsManifest"'


def read(data: bytes, path, budget) -> dict:
    """Return {name: array} of the manifest `data` in the file `path`."""
    found, files = {}, set()
    for group in parse_json(data, budget)["weightsManifest"]:
        shards = []
        for name in group["paths"]:
            if name in files:
                raise MinicnnError(f"it wants the file {str(name)[:60]} twice")
            files.add(name)
            shards.append(read_beside(path, name, budget))
            budget.take(len(shards[-1]))
        cursor = Cursor(b"".join(shards))
        for entry in group["weights"]:
            budget.put(found, str(entry["name"]), turned(_array(entry, cursor, budget)))
    return found


def _array(entry, cursor, budget):
    shape, codes = tuple(entry["shape"]), entry.get("quantization")
    stored = codes["dtype"] if codes else entry["dtype"]
    if stored not in TYPES:
        raise MinicnnError(f"an array of the type {str(stored)[:20]}, which is not read")
    if len(shape) > 8 or not all(type(size) is int and size >= 0 for size in shape):
        raise MinicnnError("an array whose shape is no sizes")
    dtype = np.dtype(TYPES[stored])
    array = array_from(cursor.take(math.prod(shape) * dtype.itemsize), dtype, shape, budget)
    if codes and "scale" in codes:
        budget.array(shape, 12)  # what is worked out, and the result
        with np.errstate(all="ignore"):  # what is not finite is refused when it is converted
            array = array * np.float64(codes["scale"]) + np.float64(codes["min"])
            array = array.astype(np.float32)
    return array
