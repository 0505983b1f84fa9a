"""HDF5 files of anybody, read with distrust.

Reading one opens no other file and runs nothing: links, external and virtual data sets, and all
types of objects but groups and data sets are refused. So are filters for which libhdf5 would load
a plug-in, and chunks that inflate to more than the data set they belong to. Damage on which libhdf5
would hang is found before (`hdf5_screening`).
"""

import contextlib
import zlib
from pathlib import Path

import h5py
import numpy as np

from minicnn.errors import MinicnnError
from minicnn.storage import hdf5_screening
from minicnn.storage.limits import MAX_DEPTH, Budget, damage_told, regular_file

SIGNATURE = b"\x89HDF\r\n\x1a\n"
STARTS = (0, 512, 1024, 2048)  # where the signature may stand
DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3
INFLATION = 1032  # bytes that DEFLATE can make of one
CHECKSUM = 4  # bytes
OBJECT = 20  # steps that a visit to an object costs


def is_hdf5(head: bytes) -> bool:
    """Tell by the signature."""
    return any(head[start : start + 8] == SIGNATURE for start in STARTS)


@contextlib.contextmanager
def reading(path):
    """Open a file and give its `Hdf5Source`; whatever is wrong is one line that names the file."""
    path = Path(path)
    size, head = regular_file(path)
    if not is_hdf5(head):
        raise MinicnnError(f"{path} is not an HDF5 file")
    with damage_told(path):
        longest = hdf5_screening.check_file(path)
        with h5py.File(path, "r") as file:
            yield Hdf5Source(file, Budget(size), longest)


class Hdf5Source:
    """An open file, and what is left of the budget for reading it.

    Attributes
    ----------
    file : h5py.File
    budget : Budget
    longest : int
        Bytes of the longest text in it.
    """

    def __init__(self, file, budget, longest):
        self.file, self.budget, self.longest = file, budget, longest

    def attribute(self, thing, name, default=None):
        """Return an attribute of numbers or texts, or `default` where there is none.

        Only its type is looked at first: on a text whose type is damaged into a sequence of nothing
        in particular, libhdf5 crashes while it reads.
        """
        if name not in thing.attrs:
            return default
        found = thing.attrs.get_id(name)
        if found.shape is None:
            return default
        if found.dtype.kind not in "fiubS" and h5py.check_string_dtype(found.dtype) is None:
            raise MinicnnError(f"attribute {name!r} has a type that is not read ({found.dtype})")
        size = self.longest if found.dtype.kind == "O" else found.dtype.itemsize
        self.budget.array(found.shape, size)
        value = thing.attrs[name]
        return value.decode() if isinstance(value, bytes) else value

    def texts(self, thing, name):
        """Return a list of texts that is an attribute; an empty one where there is none."""
        values = np.ravel(self.attribute(thing, name, ()))
        return [v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in values]

    def members(self, group, prefix=""):
        """Yield (name, group or data set) of a group."""
        for name in group:
            self.budget.step(OBJECT)
            where = f"{prefix}{name}"[:200]
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise MinicnnError(f"{where} is a link; links are not followed")
            kind = group.get(name, getclass=True)
            if kind not in (h5py.Group, h5py.Dataset):
                raise MinicnnError(f"{where} is a {kind.__name__}, expected a group or an array")
            yield name, group[name]

    def walk(self, group, prefix="", depth=MAX_DEPTH):
        """Yield (path, data set) of every data set below a group."""
        if depth < 0:  # hard links can make loops
            raise MinicnnError(f"too deeply nested, at {prefix[:60]}")
        for name, member in self.members(group, prefix):
            self.budget.take(len(prefix) + len(name), "the names of its arrays")
            if isinstance(member, h5py.Group):
                yield from self.walk(member, f"{prefix}{name}/", depth - 1)
            else:
                yield prefix + name, member

    def values(self, data):
        """Return the array of a data set of numbers."""
        if not is_plain(data):
            raise MinicnnError(f"{data.name} is not an array of numbers (its type is {data.dtype})")
        self.check(data)
        array = np.asarray(data[()])
        return array.astype(array.dtype.newbyteorder("="), copy=False)

    def check(self, data):
        """Check that a data set is in this file, and as large as such a file can hold."""
        if data.external or data.is_virtual:
            raise MinicnnError(f"{data.name} keeps its values in another file, which is not read")
        self.budget.array(data.shape, data.dtype.itemsize)
        properties = data.id.get_create_plist()
        filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
        for code in filters:
            if code not in (DEFLATE, SHUFFLE, FLETCHER32) or filters.count(code) > 1:
                raise MinicnnError(f"{data.name} is compressed by filter {code}, which is not read")
        if data.chunks is not None:
            self._check_chunks(data, filters)

    def _check_chunks(self, data, filters):
        size = self.budget.array(data.chunks, 1) * data.dtype.itemsize
        self.budget.take(size, f"a chunk of {data.chunks} values")
        self.budget.step(data.id.get_num_chunks())
        chunks = []
        data.id.chunk_iter(chunks.append)
        for chunk in chunks:
            self.budget.take(chunk.size, "what its chunks hold")
            plain = DEFLATE not in filters or chunk.filter_mask >> filters.index(DEFLATE) & 1
            if plain or chunk.size * INFLATION <= self.budget.bytes:
                continue
            inflater = zlib.decompressobj()
            inflater.decompress(data.id.read_direct_chunk(chunk.chunk_offset)[1], size + CHECKSUM)
            if inflater.unconsumed_tail:
                raise MinicnnError(f"{data.name} has a chunk that inflates to more than it holds")


def is_plain(data):
    """Tell whether a data set is an array of numbers."""
    return data.shape is not None and data.dtype.kind in "fiub"
