"""Concatenation along the channels.

    forward   y   = the channels of x1, then those of x2, ...
    backward  dxi = the channels of dy that came from xi

Copying is linear, so the derivative is the same copying backwards.
"""

from minicnn.backend import array_module


def forward(xs):
    """Put maps behind each other.

    Parameters
    ----------
    xs : sequence of arrays (N, Ci, H, W)

    Returns
    -------
    y : array (N, C1 + C2 + ..., H, W), in the dtype and memory layout of the first
    sizes : tuple of int
        The cache: C1, C2, ...
    """
    first, sizes = xs[0], tuple(x.shape[1] for x in xs)
    shape = (first.shape[0], sum(sizes), *first.shape[2:])
    y = array_module(first).empty_like(first, shape=shape)
    for part, x in zip(backward(y, sizes), xs, strict=True):
        part[...] = x
    return y, sizes


def backward(dy, sizes):
    """Return the list of dxi (N, Ci, H, W), views of `dy`."""
    parts, start = [], 0
    for size in sizes:
        parts.append(dy[:, start : start + size])
        start += size
    return parts
