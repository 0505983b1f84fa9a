"""Replicate padding: beyond the edge, the picture goes on with its outermost row or column.

    forward   y[n,c,i,j]  = x[n,c, clip(i - pad, 0, H-1), clip(j - pad', 0, W-1)]
    backward  dx[n,c,h,w] = Σ dy[n,c,i,j] over the copies (i, j) of (h, w)

Copying is linear, so the derivative is its adjoint: an inner pixel gets its own dy, one at an edge
also those of the pad copies beyond it, one in a corner those of a whole pad x pad' block.
"""

from minicnn.backend import array_module
from minicnn.errors import MinicnnError
from minicnn.ops.shapes import pair


def forward(x, padding: int | tuple) -> tuple:
    """Add rows and columns that repeat the outermost ones.

    Parameters
    ----------
    x : array (N, C, H, W), with at least one row and column
    padding : int or (int, int)
        How many (rows, columns) are added on either side.

    Returns
    -------
    y : array (N, C, H + 2 pad, W + 2 pad'), in the dtype and memory layout of `x`
    padding : (int, int)
        The cache.

    Raises
    ------
    MinicnnError
        If the padding is negative or there is nothing to repeat.
    """
    (pad, pad2), (H, W) = pair(padding), x.shape[2:]
    y = array_module(x).empty_like(x, shape=out_shape(x.shape, padding))
    middle = y[:, :, :, pad2 : pad2 + W]
    middle[:, :, pad : pad + H] = x
    middle[:, :, :pad] = x[:, :, :1]
    middle[:, :, pad + H :] = x[:, :, -1:]
    y[:, :, :, :pad2] = middle[:, :, :, :1]
    y[:, :, :, pad2 + W :] = middle[:, :, :, -1:]
    return y, (pad, pad2)


def out_shape(shape, padding):
    """Return the shape of y for x of `shape` (N, C, H, W)."""
    (pad, pad2), (N, C, H, W) = pair(padding), shape
    if pad < 0 or pad2 < 0 or H < 1 or W < 1:
        raise MinicnnError(
            f"cannot repeat the edges of a map of {H} x {W} by {pad}, {pad2}; "
            "the padding must not be negative and the map not empty"
        )
    return (N, C, H + 2 * pad, W + 2 * pad2)


def backward(dy, padding: tuple):
    """Return dx (N, C, H, W) for `dy` (N, C, H + 2 pad, W + 2 pad'), in the layout of `dy`."""
    for axis, pad in zip((2, 3), padding, strict=True):
        dy = _fold(dy, pad, axis)
    return dy


def _fold(dy, pad, axis):
    """Add what lies beyond the two edges along one axis to the edges: rows, or columns."""
    if not pad:
        return dy
    before = (slice(None),) * axis
    inner = dy[(*before, slice(pad, -pad))].copy(order="K")
    inner[(*before, 0)] += dy[(*before, slice(None, pad))].sum(axis=axis)
    inner[(*before, -1)] += dy[(*before, slice(-pad, None))].sum(axis=axis)
    return inner
