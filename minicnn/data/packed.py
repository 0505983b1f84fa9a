"""Labelled pictures in one HDF5 file, read with distrust; `datasets` has the layout."""

import h5py
import numpy as np

from minicnn.data.foreign import PACKER
from minicnn.errors import MinicnnError
from minicnn.storage.hdf5_reading import is_plain, reading

PARTS = ("bytes", "offset", "label")
MAX_CLASSES = 100_000  # where they have no names


def splits(path) -> list:
    """Return the names of the splits in a file."""
    with reading(path) as source:
        members = source.members(source.file)
        return [name for name, member in members if isinstance(member, h5py.Group)]


def read_split(path, split) -> tuple:
    """Return (labels int64 (N,), class names, read): read(i) gives the bytes of picture i.

    Raises
    ------
    MinicnnError
        If there is no such split, or its parts do not fit each other.
    """
    with reading(path) as source:
        groups = dict(source.members(source.file))
        if not isinstance(groups.get(split), h5py.Group):
            raise MinicnnError(f"there is no split {split!r}; it has {', '.join(groups)}")
        parts = dict(source.members(groups[split], f"{split}/"))
        for name in PARTS:
            part = parts.get(name)
            if not isinstance(part, h5py.Dataset) or not is_plain(part) or part.ndim != 1:
                raise MinicnnError(
                    f"split {split!r} lacks {name}, or it is no row of numbers; {PACKER}"
                )
            if part.dtype.kind not in "iu" or (name == "bytes" and part.dtype.itemsize > 1):
                raise MinicnnError(f"{split}/{name} has numbers of the type {part.dtype}")
        offset, labels = (source.values(parts[name]).astype(np.int64) for name in PARTS[1:])
        size = len(parts["bytes"])
        fitting = len(offset) == len(labels) + 1 and offset[0] >= 0 and offset[-1] <= size
        if not fitting or (np.diff(offset) < 0).any():
            raise MinicnnError(f"the offsets of split {split!r} do not fit its labels and bytes")
        names = source.texts(source.file, "class_names")
        most = len(names) or MAX_CLASSES
        if len(labels) and not 0 <= labels.min() <= labels.max() < most:
            raise MinicnnError(f"split {split!r} has labels that are not from 0 to {most - 1}")
        names = names or [str(i) for i in range(int(labels.max(initial=-1)) + 1)]
        start = parts["bytes"].id.get_offset()
        if start is None:  # not in one piece
            whole = source.values(parts["bytes"])
            return labels, names, lambda i: whole[offset[i] : offset[i + 1]].tobytes()

    def read(i):
        with open(path, "rb") as file:
            file.seek(start + offset[i])
            return file.read(offset[i + 1] - offset[i])

    return labels, names, read
