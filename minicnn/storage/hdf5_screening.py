"""Texts in an HDF5 file, checked before they are read: on damaged ones libhdf5 loops or crashes.

A heap holds the texts of attributes:

    "GCOL", version 1 (4 bytes), size of all (uint64), then objects: index (uint16; 0 is free
    space), references (uint16), 4 bytes, size (uint64); a multiple of 8 bytes with 16 of header

Source: HDF5 File Format Specification 3.0, section III.E, Disk Format: Global Heap.
"""

import mmap
import os
import struct

import h5py

from minicnn.errors import MinicnnError

NUMBERS_AND_BYTES = "fiubS"
HEAP = b"GCOL\1\0\0\0"
PIECE = 1 << 24  # bytes that are searched at a time, whole pages


def check_heaps(data) -> None:
    """Check that libhdf5 comes to the end of every heap.

    Parameters
    ----------
    data : bytes or mmap of the whole file

    Raises
    ------
    MinicnnError
        If an object has a size that leads nowhere, or beyond the end.
    """
    for at in _places(data):
        (size,) = struct.unpack("<Q", data[at + 8 : at + 16].ljust(8, b"\0"))
        place, end = at + 16, at + size
        if size < 16 or end > len(data):
            raise MinicnnError("a heap of texts that is larger than the file")
        while place + 16 <= end:
            index, own = struct.unpack("<H6xQ", data[place : place + 16])
            if own > end - place or (index == 0 and own == 0):
                raise MinicnnError("a heap of texts with objects of impossible sizes")
            place += own if index == 0 else 16 + own + -own % 8


def _places(data):
    """Yield where heaps begin; of a map, pages that have been searched are given back."""
    for first in range(0, len(data), PIECE):
        end = first + PIECE + len(HEAP) - 1
        at = data.find(HEAP, first, end)
        while at >= 0:
            yield at
            at = data.find(HEAP, at + len(HEAP), end)
        if isinstance(data, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            data.madvise(mmap.MADV_DONTNEED, first, min(PIECE, len(data) - first))


def attribute(attrs, name, default=None):
    """Return an attribute of numbers or texts, or `default` where there is none.

    Only its type is looked at first: on a text whose type is damaged into a sequence of nothing in
    particular, libhdf5 crashes while it reads.

    Raises
    ------
    MinicnnError
        If it is of another type.
    """
    if name not in attrs:
        return default
    dtype = attrs.get_id(name).dtype
    if dtype.kind not in NUMBERS_AND_BYTES and h5py.check_string_dtype(dtype) is None:
        raise MinicnnError(f"attribute {name!r} has a type that is not read ({dtype})")
    return attrs[name]


def check_file(path) -> None:
    """Check the heaps of a file, see `check_heaps`; the message names it."""
    with open(path, "rb") as file:
        if not file.seek(0, os.SEEK_END):
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                check_heaps(data)
            except MinicnnError as error:
                raise MinicnnError(f"{path} is truncated or damaged: {error}") from None
