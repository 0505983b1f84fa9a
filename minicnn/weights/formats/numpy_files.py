"""NumPy files: `.npy`, `.npz`, and the pickled dictionaries that go by `.npy`.

A header is text, such as {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }; here it is
matched, not evaluated. Members of an `.npz` that are pickles are refused; a `.npy` that is one is
read by `pickles`, because bvlc_alexnet.npy and vgg19.npy are.

The pickled dictionaries come from caffe-tensorflow: {layer: {"weights", "biases"}} or
{layer: [weights, biases]} with kernels (R, S, C, K) and matrices (in, out), which are turned into
(K, C, R, S) and (out, in) here. The rows of a matrix behind a map run over H, W, C.

Source: numpy/lib/format.py; kaffe/transformers.py of ethereon/caffe-tensorflow.
"""

import re

from minicnn.errors import MinicnnError
from minicnn.storage.limits import Cursor, array_from
from minicnn.weights.formats import numpy_pickles
from minicnn.weights.formats.axes import turned
from minicnn.weights.formats.zips import read_member

MAGIC = b"\x93NUMPY"
HEADER = re.compile(
    r"\{ *'descr': *'(?P<descr>[<>|=][fiub]\d+|\|O)', *'fortran_order': *(?P<fortran>True|False), *"
    r"'shape': *\((?P<shape>[0-9L, ]*)\),? *\}\s*"  # in linear time
)
MAX_HEADER = 10_000  # bytes, as in NumPy


def read_npz(archive, budget) -> dict:
    """Return {name: array} of an `.npz`; the arrays are as they were saved."""
    found = {}
    for name in archive.namelist():
        if not name.endswith(".npy"):
            raise MinicnnError(f"a zip archive with a member {name[:60]!r}, no file of numpy.savez")
        raw = read_member(archive, name, budget)
        descr, shape, order, values = _header(raw, f"{name[:60]}: ")
        if descr == "|O":
            raise MinicnnError(
                f"{name[:60]} is a pickle, not an array; save plain arrays with "
                "numpy.savez(file, name=array, ...)"
            )
        array = array_from(values, descr, shape, budget, order=order)
        budget.put(found, name.removesuffix(".npy"), array)
    return found


def read_npy(data: bytes, budget) -> dict:
    """Return {name: array} of a `.npy`: a plain array is called "array".

    That of a pickled dictionary has our order of axes.
    """
    descr, shape, order, values = _header(data)
    if descr != "|O":
        return {"array": array_from(values, descr, shape, budget, order=order)}
    found = numpy_pickles.read(values, budget)
    return {name: _ours(name, array) for name, array in found.items()}


def _ours(name, array):
    if name.rpartition(".")[2] not in ("weights", "0"):
        return array
    return turned(array)


def _header(raw, where=""):
    """Return (descr, shape, order, bytes of the values)."""
    cursor = Cursor(raw)
    if cursor.take(len(MAGIC)) != MAGIC:
        raise MinicnnError(f"{where}an array without the header of a .npy file")
    version, _ = cursor.take(2)
    text = bytes(cursor.take(cursor.number(2 if version == 1 else 4)))[:MAX_HEADER]
    match = HEADER.fullmatch(text.decode("latin-1"))
    if match is None:
        raise MinicnnError(f"{where}a .npy header that does not describe an array of numbers")
    sizes = match["shape"].replace("L", "").split(",")
    shape = tuple(int(size) for size in sizes if size.strip())
    return match["descr"], shape, "F" if match["fortran"] == "True" else "C", cursor.rest
