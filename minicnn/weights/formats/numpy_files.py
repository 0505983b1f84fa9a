"""NumPy files: `.npy`, `.npz`, and the pickled dictionaries that go by `.npy`.

A header is text, such as {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }; here it is
matched, not evaluated. Members of an `.npz` that are pickles are refused; a `.npy` that is one is
read by `pickles`, because bvlc_alexnet.npy and vgg19.npy are.

The pickled dictionaries come from caffe-tensorflow: {layer: {"weights", "biases"}} or
{layer: [weights, biases]} with kernels (R, S, C, K) and matrices (in, out), which are turned into
(K, C, R, S) and (out, in) here. The rows of a matrix behind a map run over H, W, C.

Source: numpy/lib/format.py; kaffe/transformers.py of ethereon/caffe-tensorflow.
"""

import io
import re

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.storage.limits import Budget, array_from
from minicnn.weights.formats.numpy_pickles import allowed
from minicnn.weights.formats.pickles import flatten, loads
from minicnn.weights.formats.zips import open_zip, read_member

MAGIC = b"\x93NUMPY"
HEADER = re.compile(
    r"\{ *'descr': *'(?P<descr>[<>|=][fiub]\d+|\|O)', *'fortran_order': *(?P<fortran>True|False), *"
    r"'shape': *\((?P<shape>(?:\d+L?,? *)*)\),? *\}\s*"
)
ADVICE = "only arrays are read"


def read_npz(data: bytes) -> dict:
    """Return {name: array} of an `.npz`; the arrays are as they were saved."""
    archive, budget, found = open_zip(data), Budget(len(data)), {}
    for name in archive.namelist():
        if not name.endswith(".npy"):
            raise MinicnnError(f"a zip archive with a member {name[:60]!r}, no file of numpy.savez")
        raw = read_member(archive, name, budget)
        descr, shape, order, start = _header(raw, f"{name[:60]}: ")
        if descr == "|O":
            raise MinicnnError(
                f"{name[:60]} is a pickle, not an array; save plain arrays with "
                "numpy.savez(file, name=array, ...)"
            )
        values = memoryview(raw)[start:]
        found[name.removesuffix(".npy")] = array_from(values, descr, shape, budget, order=order)
    return found


def read_npy(data: bytes) -> dict:
    """Return {name: array} of a `.npy`: a plain array is called "array"."""
    budget = Budget(len(data))
    descr, shape, order, start = _header(data)
    if descr != "|O":
        values = memoryview(data)[start:]
        return {"array": array_from(values, descr, shape, budget, order=order)}
    file = io.BytesIO(data)
    file.seek(start)
    return read_pickle(file, budget)


def read_pickle(file, budget) -> dict:
    """Return {name: array} of a pickled dictionary of arrays, in our order of axes."""
    tree = loads(file, {**allowed(budget), ("collections", "OrderedDict"): lambda *_: {}},
                 refusal=ADVICE)  # fmt: skip
    found = flatten(tree, budget)
    if not found:
        raise MinicnnError("a pickle without arrays")
    return {name: _ours(name, array) for name, array in found.items()}


def _ours(name, array):
    if name.rpartition(".")[2] not in ("weights", "0"):
        return array
    if array.ndim == 4:
        return np.ascontiguousarray(array.transpose(3, 2, 0, 1))
    return np.ascontiguousarray(array.T) if array.ndim == 2 else array


def _header(raw, where=""):
    """Return (descr, shape, order, offset of the values)."""
    if raw[:6] != MAGIC or len(raw) < 10 or raw[6] not in (1, 2, 3):
        raise MinicnnError("an array without the header of a .npy file")
    width = 2 if raw[6] == 1 else 4
    start = 8 + width + int.from_bytes(raw[8 : 8 + width], "little")
    match = HEADER.fullmatch(raw[8 + width : min(start, 10_000)].decode("latin-1"))
    if match is None:
        raise MinicnnError(f"{where}a .npy header that does not describe an array of numbers")
    sizes = match["shape"].replace("L", "").replace(" ", "").split(",")
    shape = tuple(int(size) for size in sizes if size)
    return match["descr"], shape, "F" if match["fortran"] == "True" else "C", start
