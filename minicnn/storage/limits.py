"""How much a file may make us allocate: in proportion to its size, whatever it claims."""

import math

import numpy as np

from minicnn.errors import MinicnnError

MAX_BYTES = 4 << 30  # twice VGG-19 in float64
MAX_RATIO = 1100  # deflate cannot do better than 1032
ALLOWANCE = 1 << 20
MAX_ENTRIES = 1_000_000
MAX_DEPTH = 16


class Budget:
    """What is left of the memory that a file of `file_bytes` may take when it is read."""

    def __init__(self, file_bytes: int):
        self.left = min(MAX_BYTES, ALLOWANCE + MAX_RATIO * file_bytes)
        self.entries = MAX_ENTRIES

    def take(self, shape, itemsize: int = 1) -> int:
        """Count an array of `shape` in; return the number of its values.

        Raises
        ------
        MinicnnError
            If a size is negative, or all arrays together are larger than such a file can hold.
        """
        if any(size < 0 for size in shape):
            raise MinicnnError(f"an array of the shape {tuple(shape)}")
        count = math.prod(shape)
        self.left -= count * itemsize
        self.count()
        if self.left < 0:
            raise MinicnnError(
                f"an array of the shape {tuple(shape)} is more than a file of this size can hold"
            )
        return count

    def count(self) -> None:
        """Count an entry in, of whatever kind."""
        self.entries -= 1
        if self.entries < 0:
            raise MinicnnError(f"more than {MAX_ENTRIES} entries")


def array_from(data, dtype, shape, budget, *, order="C"):
    """Return the array of `shape` in the bytes `data`, in the byte order of this machine.

    Parameters
    ----------
    data : bytes or memoryview
    dtype : dtype
        As stored, with its byte order.
    shape : tuple of int
    budget : Budget
    order : {"C", "F"}
        In which index runs fastest: the last, or the first.

    Raises
    ------
    MinicnnError
        If the bytes are not as many as the shape needs.
    """
    dtype = np.dtype(dtype)
    count = budget.take(shape, dtype.itemsize)
    if len(data) != count * dtype.itemsize:
        raise MinicnnError(f"{len(data)} bytes for an array {tuple(shape)} of {dtype}")
    array = np.frombuffer(data, dtype).reshape(shape, order=order)
    return array.astype(dtype.newbyteorder("="), order="K")


def widen_bfloat16(bits):
    """Return the float32 array of an array of bfloat16 numbers stored as uint16."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
