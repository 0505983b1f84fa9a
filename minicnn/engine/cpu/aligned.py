"""Arrays that begin with a line of the cache, which the processor reads and writes faster.

NumPy's begin 16 bytes after one: each vector of 64 bytes would lie in two lines.
"""

import math

import numpy as np

LINE = 64  # bytes


def empty(shape, dtype, make=np.empty):
    """Return an uninitialised array, or one that `make` fills, as `np.zeros`."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    block = make(size + LINE, np.uint8)
    first = -block.ctypes.data % LINE
    return block[first : first + size].view(dtype).reshape(shape)


def copy(x, dtype=None):
    """Return a contiguous copy."""
    made = empty(x.shape, dtype or x.dtype)
    made[...] = x
    return made


def owner(array):
    """Return the array whose memory this one is a part of."""
    return array if array.base is None else array.base
