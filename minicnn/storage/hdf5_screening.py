"""Texts in an HDF5 file, checked before they are read: on damaged ones libhdf5 loops or crashes.

A heap holds the texts of attributes:

    "GCOL", version 1 (4 bytes), size of all (uint64), then objects: index (uint16; 0 is free
    space), references (uint16), 4 bytes, size (uint64); a multiple of 8 bytes with 16 of header

Source: HDF5 File Format Specification 3.0, section III.E, Disk Format: Global Heap.
"""

import mmap
import struct

from minicnn.errors import MinicnnError

HEAP = b"GCOL\1\0\0\0"
PIECE = 1 << 24  # bytes that are searched at a time, whole pages


def check_heaps(data) -> int:
    """Check that libhdf5 comes to the end of every heap; return the bytes of the longest text.

    Parameters
    ----------
    data : bytes or mmap of the whole file

    Raises
    ------
    MinicnnError
        If an object has a size that leads nowhere, or beyond the end.
    """
    longest = 0
    for at in _places(data):
        (size,) = struct.unpack("<Q", data[at + 8 : at + 16].ljust(8, b"\0"))
        place, end = at + 16, at + size
        if size < 16 or end > len(data):
            raise MinicnnError("truncated or damaged: a heap of texts that is larger than the file")
        while place + 16 <= end:
            index, own = struct.unpack("<H6xQ", data[place : place + 16])
            if own > end - place or (index == 0 and own == 0):
                raise MinicnnError(
                    "truncated or damaged: a heap of texts with objects of impossible sizes"
                )
            longest = max(longest, own if index else 0)
            place += own if index == 0 else 16 + own + -own % 8
    return longest


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


def check_file(path) -> int:
    """Check the heaps of a file that is not empty, see `check_heaps`."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return check_heaps(data)
