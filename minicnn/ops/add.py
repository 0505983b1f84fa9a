"""The sum of maps of one shape: where the branches of a residual network meet.

    forward   y   = x1 + x2 + ...
    backward  dxi = dy, for every i

A sum passes what comes down to each of its terms, unchanged.

Source: He et al. 2015, arXiv 1512.03385, section 3.2.
"""

from minicnn.errors import MinicnnError


def forward(xs: list) -> tuple:
    """Add maps.

    Parameters
    ----------
    xs : sequence of arrays (N, C, H, W)

    Returns
    -------
    y : array (N, C, H, W), in their dtype
    count : int
        The cache: how many maps there are.

    Raises
    ------
    MinicnnError
        If their shapes differ.
    """
    out_shape([x.shape for x in xs])
    return sum(xs[1:], xs[0]), len(xs)


def out_shape(shapes):
    """Return the shape that all maps have; refuse those that differ."""
    if len(set(shapes)) > 1:
        listed = ", ".join(str(tuple(shape)) for shape in shapes)
        raise MinicnnError(f"maps to add differ in shape: {listed}")
    return tuple(shapes[0])


def backward(dy, count: int) -> list:
    """Return the list of dxi (N, C, H, W): `dy` itself, `count` times."""
    return [dy] * count
