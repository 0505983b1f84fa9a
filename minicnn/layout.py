"""How an array (N, C, H, W) lies in memory: neighbours are pixels of a row, or channels.

The fast convolution leaves its outputs with the channels last. Two arrays are combined quickly
where they lie alike; of a single pixel (N, C, 1, 1) NumPy does not tell how it lies.
"""

from minicnn.backend import array_module


def channels_last(x):
    """Return whether neighbours in memory are channels."""
    return x.strides[1] < x.strides[3]


def empty(like, shape, last, dtype=None):
    """Return an array (N, C, H, W) where another one is, if `last` with its channels last.

    >>> import numpy as np
    >>> channels_last(empty(np.ones(1), (1, 2, 3, 4), last=True))
    True
    """
    xp, (N, C, H, W), dtype = array_module(like), shape, dtype or like.dtype
    if not last:
        return xp.empty(shape, dtype)
    return xp.empty((N, H, W, C), dtype).transpose(0, 3, 1, 2)


def laid_out(x, last):
    """Return x (N, C, H, W) contiguous in one of the two layouts, in a copy if need be."""
    xp = array_module(x)
    if not last:
        return xp.ascontiguousarray(x)
    return xp.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
