"""Arrays that begin with a line of the cache, which the processor reads and writes faster.

NumPy's begin 16 bytes after one: each vector of 64 bytes would lie in two lines.
"""

import math

import numpy as np

LINE = 64  # bytes


def empty(shape, dtype):
    """Return an uninitialised array."""
    return _within(np.empty, shape, dtype)


def zeros(shape, dtype):
    """Return an array of zeros."""
    return _within(np.zeros, shape, dtype)


def copy(x, dtype=None):
    """Return a contiguous copy."""
    made = empty(x.shape, dtype or x.dtype)
    made[...] = x
    return made


def owner(array):
    """Return the array whose memory this one is a part of."""
    return array if array.base is None else array.base


def _within(make, shape, dtype):
    """Return an array in a block of bytes that is a line longer."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    block = make(size + LINE, np.uint8)
    first = -block.ctypes.data % LINE
    return block[first : first + size].view(dtype).reshape(shape)
