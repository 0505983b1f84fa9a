"""im2col and its adjoint col2im: every window of a picture as a column of a matrix.

    im2col   cols[n, c, r, s, p, q]  = x_pad[n, c, p u + r d, q v + s d]
    col2im   dx_pad[n, c, i, j]      = sum of dcols[n, c, r, s, p, q] over all (r, s, p, q)
                                       with p u + r d = i and q v + s d = j

    (u, v) is the stride, d the dilation, x_pad is x with `padding` zeros around it.
    col2im is the transpose of im2col: <im2col(x), c> = <x, col2im(c)>.

A convolution is then one matrix product. The columns take R S times the memory of x, so the
convolutions ask for a strip of output rows at a time (`rows`).
"""

from minicnn.backend import array_module
from minicnn.kernels import launch
from minicnn.ops.shapes import out_size, pair


def im2col(x, kernel, *, stride=1, padding=0, dilation=1, rows=None):
    """Copy every window of `x` into a column.

    Parameters
    ----------
    x : array (N, C, H, W)
    kernel, stride, padding, dilation : int or (int, int)
        (rows, columns); the padding is zeros.
    rows : (int, int), optional
        First and last + 1 of the output rows wanted; all by default.

    Returns
    -------
    cols : array (N, C, R, S, p, Q)
        p is the number of rows asked for.
    """
    xp = array_module(x)
    x = pad(x, padding)
    (R, S), (d, e) = pair(kernel), pair(dilation)
    p0, p1 = rows or (0, out_size(x.shape[2], R, pair(stride)[0], 0, dilation=d))
    Q = out_size(x.shape[3], S, pair(stride)[1], 0, dilation=e)
    cols = xp.empty((*x.shape[:2], R, S, p1 - p0, Q), x.dtype)
    if launch.suit(x):
        launch.im2col(x, cols, stride=pair(stride), dilation=(d, e), first_row=p0)
        return cols
    for r in range(R):
        for s in range(S):
            cols[:, :, r, s] = x[_window(r * d, s * e, (p0, p1), Q, stride)]
    return cols


def col2im(cols, x_shape, *, stride=1, padding=0, dilation=1):
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
    xp = array_module(cols)
    N, C, H, W = x_shape
    (pad_rows, pad_cols) = pair(padding)
    dx = xp.zeros((N, C, H + 2 * pad_rows, W + 2 * pad_cols), cols.dtype)
    add_columns(dx, cols, stride=stride, dilation=dilation)
    return crop(dx, padding)


def add_columns(dx, cols, *, stride=1, dilation=1, first_row=0):
    """Add a strip of columns, whose top output row is `first_row`, to the padded `dx` in place."""
    d, e = pair(dilation)
    R, S, p, Q = cols.shape[2:]
    if launch.suit(dx):
        options = {"stride": pair(stride), "dilation": (d, e), "first_row": first_row}
        return launch.add_columns(dx, cols, **options)
    for r in range(R):
        for s in range(S):
            where = _window(r * d, s * e, (first_row, first_row + p), Q, stride)
            dx[where] += cols[:, :, r, s]


def pad(x, padding, value=0):
    """Return `x` (N, C, H, W) with `padding` rows and columns of `value` on each side."""
    rows, cols = pair(padding)
    if rows == cols == 0:
        return x
    xp = array_module(x)
    return xp.pad(x, ((0, 0), (0, 0), (rows, rows), (cols, cols)), constant_values=value)


def crop(x, padding):
    """Return the view of `x` (N, C, H, W) without its padding: the adjoint of `pad`."""
    rows, cols = pair(padding)
    return x[:, :, rows : x.shape[2] - rows, cols : x.shape[3] - cols]


def _window(r, s, rows, Q, stride):
    """Index of the pixels that element (r, s) of the windows sees, output rows `rows`."""
    u, v = pair(stride)
    p0, p1 = rows
    return (
        slice(None),
        slice(None),
        slice(r + u * p0, r + u * (p1 - 1) + 1, u),
        slice(s, s + v * (Q - 1) + 1, v),
    )
