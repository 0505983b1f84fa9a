"""A network's arrays in files that others read: safetensors and NumPy's .npz.

They have the names and shapes of `net.params`: conv1_1.weight (K, C, R, S), fc6.weight (out, in).
"""

import io
import json
from pathlib import Path

import numpy as np

from minicnn.backend import to_host
from minicnn.errors import MinicnnError
from minicnn.storage.atomic import write_whole

TYPES = {"float32": ("F32", "<f4"), "float16": ("F16", "<f2")}


def export(net, path, dtype="float32") -> None:
    """Write the parameters of a network to a file of the format that its name ends in.

    Parameters
    ----------
    net : Network
    path : path
        Ending in one of `FORMATS`.
    dtype : {"float32", "float16"}

    Raises
    ------
    MinicnnError
        If there is no such format, a value is too large for it, or the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS or dtype not in TYPES:
        raise MinicnnError(f"{path} in {dtype}: use {' or '.join(FORMATS)}, {' or '.join(TYPES)}")
    with np.errstate(over="ignore"):
        arrays = {
            key: np.ascontiguousarray(to_host(array), TYPES[dtype][1])
            for key, array in net.params.items()
        }
    for key, array in arrays.items():
        if not np.isfinite(array).all():
            raise MinicnnError(f"{key} has values that are NaN or infinite in {dtype}")
    write_whole(path, FORMATS[suffix](arrays, TYPES[dtype][0]))


def _npz(arrays, kind):
    memory = io.BytesIO()
    np.savez(memory, **arrays)
    return memory.getbuffer()


def _safetensors(arrays, kind):
    """Return the length of the header, the header, the values; see `formats.safetensors`."""
    header, end = {}, 0
    for key, array in arrays.items():
        offsets = [end, end := end + array.nbytes]
        header[key] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the values begin at a multiple of 8
    return b"".join([len(text).to_bytes(8, "little"), text, *arrays.values()])


FORMATS = {".safetensors": _safetensors, ".npz": _npz}
