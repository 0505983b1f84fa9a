"""im2col and its adjoint col2im: every window of a picture as a column of a matrix.

    im2col   cols[n, c, r, s, p, q]  = x_pad[n, c, p u + r d, q v + s e]
    col2im   dx_pad[n, c, i, j]      = sum of dcols[n, c, r, s, p, q] over all (r, s, p, q)
                                       with p u + r d = i and q v + s e = j

x (N, C, H, W): pictures, channels, rows, columns. A window has R x S pixels, and P x Q windows fit;
a small letter is an index that runs over its large one. (u, v) is the stride and (d, e) the
dilation, as (rows, columns); x_pad is x with `padding` zeros around it. Windows of 2 x 2 on a
picture of 3 x 3: row (r, s) of the matrix is the picture as element (r, s) of the windows sees it,
column (p, q) is the window at (p, q).

    a b c        (0, 0)  a b d e        with dilation 2 a window       (0, 0)  a
    d e f        (0, 1)  b c e f        leaves out every other row     (0, 1)  c
    g h i        (1, 0)  d e g h        and column; there is one:      (1, 0)  g
                 (1, 1)  e f h i                                       (1, 1)  i

col2im is the transpose of im2col, also called its adjoint: <im2col(x), c> = <x, col2im(c)> for all
x and c. As im2col copies pixels and does nothing else, its derivative projected onto dcols is
col2im(dcols): each copy of a pixel hands its derivative back, and they are added.
"""

from minicnn.backend import array_module
from minicnn.ops.pad import crop, pad
from minicnn.ops.shapes import out_size, pair


def im2col(x, kernel: int | tuple, *, stride=1, padding=0, dilation=1):
    """Copy every window of `x` into a column.

    Parameters
    ----------
    x : array (N, C, H, W)
    kernel, stride, padding, dilation : int or (int, int)
        (rows, columns); the padding is zeros.

    Returns
    -------
    cols : array (N, C, R, S, P, Q)

    >>> import numpy as np
    >>> im2col(np.arange(9).reshape(1, 1, 3, 3), 2).reshape(4, 4)  # (R S, P Q), as drawn above
    array([[0, 1, 3, 4],
           [1, 2, 4, 5],
           [3, 4, 6, 7],
           [4, 5, 7, 8]])
    """
    x_pad = pad(x, padding)
    N, C, H, W = x_pad.shape
    (R, S), (u, v), (d, e) = pair(kernel), pair(stride), pair(dilation)
    P, Q = out_size(H, R, u, 0, dilation=d), out_size(W, S, v, 0, dilation=e)
    cols = array_module(x).empty((N, C, R, S, P, Q), x.dtype)
    for r in range(R):
        for s in range(S):
            cols[:, :, r, s] = x_pad[_seen(r * d, s * e, P, Q, u, v)]  # (N, C, P, Q)
    return cols


def col2im(cols, x_shape: tuple, *, stride=1, padding=0, dilation=1):
    """Add every column back to where it was read from: the adjoint of `im2col`.

    Parameters
    ----------
    cols : array (N, C, R, S, P, Q)
    x_shape : (int, int, int, int)
        Shape of the picture, padding not counted.

    Returns
    -------
    dx : array, shape `x_shape`, dtype of `cols`
    """
    N, C, H, W = x_shape
    (rows, columns) = pair(padding)
    dx_pad = array_module(cols).zeros((N, C, H + 2 * rows, W + 2 * columns), cols.dtype)
    add_columns(dx_pad, cols, stride=stride, dilation=dilation)
    return crop(dx_pad, padding)


def add_columns(dx_pad, cols, *, stride=1, dilation=1):
    """Add the columns (N, C, R, S, P, Q) to the padded picture `dx_pad` in place."""
    (u, v), (d, e) = pair(stride), pair(dilation)
    R, S, P, Q = cols.shape[2:]
    for r in range(R):
        for s in range(S):
            seen = dx_pad[_seen(r * d, s * e, P, Q, u, v)]  # (N, C, P, Q), a view
            seen += cols[:, :, r, s]


def _seen(down, right, P, Q, u, v):
    """Index of the pixels, in all P x Q windows, so many rows and columns into the window."""
    rows = slice(down, down + u * (P - 1) + 1, u)
    columns = slice(right, right + v * (Q - 1) + 1, v)
    return slice(None), slice(None), rows, columns
