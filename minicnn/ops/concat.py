"""Concatenation along the channels.

    forward   y   = the channels of x1, then those of x2, ...
    backward  dxi = the channels of dy that came from xi

Copying is linear, so the derivative is the same copying backwards.
"""

from minicnn.backend import array_module
from minicnn.errors import MinicnnError


def forward(xs: list) -> tuple:
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
    y = array_module(first).empty_like(first, shape=out_shape([x.shape for x in xs]))
    start = 0
    for x, size in zip(xs, sizes, strict=True):
        y[:, start : start + size] = x
        start += size
    return y, sizes


def out_shape(shapes):
    """Return (N, C1 + C2 + ..., H, W) for the shapes of the maps; refuse those that differ."""
    if len({(shape[0], *shape[2:]) for shape in shapes}) > 1:
        listed = ", ".join(str(tuple(shape)) for shape in shapes)
        raise MinicnnError(f"maps to concatenate differ in more than their channels: {listed}")
    return (shapes[0][0], sum(shape[1] for shape in shapes), *shapes[0][2:])


def backward(dy, sizes: tuple) -> list:
    """Return the list of dxi (N, Ci, H, W), views of `dy`."""
    parts, start = [], 0
    for size in sizes:
        parts.append(dy[:, start : start + size])
        start += size
    return parts
