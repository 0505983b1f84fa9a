"""HDF5 files of other programs, read with the distrust of `minicnn.storage.hdf5`.

No link but plain ones is followed, no other file is opened, and the arrays that a file claims to
hold must be in proportion to its size.
"""

import h5py
import numpy as np

from minicnn.errors import MinicnnError
from minicnn.storage.limits import MAX_DEPTH

SIGNATURE = b"\x89HDF\r\n\x1a\n"
FILTERS = (1, 2, 3, 4, 5, 6, 32000)  # deflate, shuffle, fletcher32, szip, nbit, scaleoffset, LZF
STARTS = (0, 512, 1024, 2048)  # where the signature may stand
HEAD = STARTS[-1] + len(SIGNATURE)


def is_hdf5(data: bytes) -> bool:
    """Tell by the signature."""
    return any(data[start : start + 8] == SIGNATURE for start in STARTS)


def members(group, budget):
    """Yield (name, group or data set) of a group, links and strange objects refused."""
    for name in group:
        budget.count()
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise MinicnnError(f"{name[:60]} is a link; links are not followed")
        if group.get(name, getclass=True) not in (h5py.Group, h5py.Dataset):
            continue
        yield name, group[name]


def walk(group, budget, prefix="", depth=MAX_DEPTH):
    """Yield (path, data set) of every data set of numbers below a group."""
    if depth < 0:
        raise MinicnnError(f"too deeply nested, at {prefix[:60]}")
    for name, member in members(group, budget):
        if isinstance(member, h5py.Group):
            yield from walk(member, budget, f"{prefix}{name}/", depth - 1)
        elif member.dtype.kind in "fiub":
            yield prefix + name, member


def values(data, budget):
    """Return the array of a data set."""
    if data.external or data.is_virtual:
        raise MinicnnError(f"{data.name} keeps its values in another file, which is not read")
    if data.shape is None:
        return np.zeros(0)
    _check_filters(data)
    budget.take(data.shape, data.dtype.itemsize)
    array = np.asarray(data[()])
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _check_filters(data):
    """Refuse filters for which libhdf5 would look for a plug-in, and load it."""
    properties = data.id.get_create_plist()
    for i in range(properties.get_nfilters()):
        code = properties.get_filter(i)[0]
        if code not in FILTERS:
            raise MinicnnError(f"{data.name} is compressed by the filter {code}, which is not read")


def read_plain(file, budget) -> dict:
    """Return {path: array}, as it is: files of layer/weight, or of anything else."""
    return {path: values(data, budget) for path, data in walk(file, budget)}


def read_caffe(file, budget) -> dict:
    """Return {"conv1/0": weights, "conv1/1": biases, ...} of a snapshot of Caffe.

    Its data sets are /data/LAYER/0 and so on, with the axes that we have; /diff is not read.
    """
    return {path: values(data, budget) for path, data in walk(file["data"], budget)}


def is_caffe(file) -> bool:
    """Tell whether a file is a snapshot of Caffe."""
    return "data" in file and set(file) <= {"data", "diff"} and _is_group(file, "data")


def _is_group(file, name):
    return file.get(name, getclass=True, getlink=False) is h5py.Group
