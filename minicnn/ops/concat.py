"""Concatenation along the channels.

    forward   y   = the channels of x1, then those of x2, ...
    backward  dxi = the channels of dy that came from xi

Copying is linear, so the derivative is the same copying backwards.
"""

from minicnn.backend import array_module
from minicnn.errors import MinicnnError


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

    Raises
    ------
    MinicnnError
        If N, H or W differ.
    """
    first, sizes = xs[0], tuple(x.shape[1] for x in xs)
    if len({(x.shape[0], *x.shape[2:]) for x in xs}) > 1:
        shapes = ", ".join(str(x.shape) for x in xs)
        raise MinicnnError(f"maps to concatenate differ in more than their channels: {shapes}")
    shape = (first.shape[0], sum(sizes), *first.shape[2:])
    y = array_module(first).empty_like(first, shape=shape)
    start = 0
    for x, size in zip(xs, sizes, strict=True):
        y[:, start : start + size] = x
        start += size
    return y, sizes


def backward(dy, sizes):
    """Return the list of dxi (N, Ci, H, W), views of `dy`."""
    parts, start = [], 0
    for size in sizes:
        parts.append(dy[:, start : start + size])
        start += size
    return parts
