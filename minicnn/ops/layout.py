"""How an array (N, C, H, W) lies in memory: neighbours are pixels of a row, or channels.

The fast convolution leaves its outputs with the channels last. Two arrays are combined quickly
where they lie alike; of a single pixel (N, C, 1, 1) NumPy does not tell how it lies.
"""

from minicnn.backend import array_module


def channels_last(x):
    """Return whether neighbours in memory are channels."""
    return x.strides[1] < x.strides[3]


def empty(like, shape, last):
    """Return an array (N, C, H, W) of the library and dtype of another, if `last` channels last.

    >>> import numpy as np
    >>> channels_last(empty(np.ones(1), (1, 2, 3, 4), last=True))
    True
    """
    xp, (N, C, H, W) = array_module(like), shape
    if not last:
        return xp.empty(shape, like.dtype)
    return xp.empty((N, H, W, C), like.dtype).transpose(0, 3, 1, 2)


def laid_out(x, last):
    """Return x (N, C, H, W), if `last` in a copy with the channels last."""
    if not last:
        return x
    y = empty(x, x.shape, last)
    y[...] = x
    return y
