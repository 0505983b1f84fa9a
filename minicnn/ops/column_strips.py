"""The columns of a convolution, a strip of output rows at a time.

All columns together take R S times the memory of the picture. A strip holds those of a few output
rows of one picture: few enough to stay in the processor's cache until the product has read them.

    strip of the output rows p0 to p1 - 1  =  im2col(rows p0 u to (p1 - 1) u + d (R - 1) of x_pad)

Arrays on a GPU go to the kernels, in larger strips (`kernels.strips`): a launch costs more there.
"""

from minicnn.backend import array_module
from minicnn.kernels import launch
from minicnn.kernels.strips import strip_bytes
from minicnn.ops.im2col import add_columns, im2col
from minicnn.ops.pad import pad
from minicnn.ops.shapes import pair

STRIP_BYTES = 4 << 20


def strips(x, w_shape, size, *, stride, padding, dilation, groups):
    """Yield (n, rows, X) for every strip of the padded x (N, C, H, W).

    n is the picture, `rows` a slice of p of the P output rows, and X (groups, C/groups R S, p Q)
    their columns. `w_shape` is (K, C / groups, R, S), `size` (P, Q).
    """
    x_pad = pad(x, padding)
    for n in range(len(x)):
        for rows in row_strips(x, w_shape, size, groups):
            cols = read(x_pad[n : n + 1], w_shape[2:], rows, size[1], stride, dilation)
            X = cols.reshape(groups, -1, cols.shape[4] * size[1])  # (G, C/G R S, p Q)
            yield n, rows, X


def row_strips(x, w_shape, size, groups):
    """Return slices of the P output rows; the columns of each, like x, take about `STRIP_BYTES`."""
    P, Q = size
    bytes_per_row = groups * w_shape[1] * w_shape[2] * w_shape[3] * Q * x.itemsize  # C R S Q
    step = max(1, (strip_bytes() if launch.suit(x) else STRIP_BYTES) // bytes_per_row)
    return [slice(p, min(p + step, P)) for p in range(0, P, step)]


def read(x_pad, kernel, rows, Q, stride, dilation):
    """Return the columns (N, C, R, S, p, Q) of a strip: `rows` is a slice of output rows."""
    (R, S), stride, dilation = kernel, pair(stride), pair(dilation)
    if not launch.suit(x_pad):
        seen = x_pad[:, :, _seen(rows, R, stride[0], dilation[0])]
        return im2col(seen, kernel, stride=stride, dilation=dilation)
    shape = (*x_pad.shape[:2], R, S, rows.stop - rows.start, Q)
    cols = array_module(x_pad).empty(shape, x_pad.dtype)
    launch.im2col(x_pad, cols, stride=stride, dilation=dilation, first_row=rows.start)
    return cols


def add_back(dx_pad, cols, rows, stride, dilation):
    """Add the columns (N, C, R, S, p, Q) of a strip to `dx_pad` in place: the adjoint of `read`."""
    windows = {"stride": pair(stride), "dilation": pair(dilation)}
    if launch.suit(dx_pad):
        launch.add_columns(dx_pad, cols, first_row=rows.start, **windows)
    else:
        seen = _seen(rows, cols.shape[2], windows["stride"][0], windows["dilation"][0])
        add_columns(dx_pad[:, :, seen], cols, **windows)


def _seen(rows, R, u, d):
    """Return the rows of the padded picture that a strip of output rows sees."""
    return slice(rows.start * u, (rows.stop - 1) * u + d * (R - 1) + 1)
