"""Two-dimensional convolution (cross-correlation, as in every framework), by im2col.

    forward          y[n,k,p,q]   = b[k] + Σ_crs w[k,c,r,s] x[n,c, p u + r d - pad, q u + s d - pad]
    backward_data    dx[n,c,h,w]  = Σ_k,r,s,p,q with (p u + r d - pad, q u + s d - pad) = (h, w)
                                    w[k,c,r,s] dy[n,k,p,q]
    backward_params  dw[k,c,r,s]  = Σ_npq dy[n,k,p,q] x[n,c, p u + r d - pad, q u + s d - pad]
                     db[k]        = Σ_npq dy[n,k,p,q]

    u is the stride, d the dilation. With X = im2col(x), a matrix (C R S, P Q) for each picture,
    and w as a matrix (K, C R S):    y = w X,    dx = col2im(wᵀ dy),    dw = dy Xᵀ.

`backward_data` is also the transposed convolution (Dumoulin & Visin 2016, arXiv 1603.07285).
X is made for a strip of output rows at a time, so that it stays in the cache.
"""

from minicnn.backend import array_module
from minicnn.errors import MinicnnError
from minicnn.kernels import launch
from minicnn.kernels.strips import strip_bytes
from minicnn.ops.im2col import add_columns, crop, im2col, pad
from minicnn.ops.shapes import out_size, pair

STRIP_BYTES = 4 << 20


def forward(x, w, b=None, *, stride=1, padding=0, dilation=1, groups=1):
    """Convolve.

    Parameters
    ----------
    x : array (N, C, H, W)
    w : array (K, C / groups, R, S)
    b : array (K,), optional
    stride, padding, dilation : int or (int, int)
        (rows, columns); the padding is zeros.
    groups : int
        Output channels k of group g see the input channels of group g alone.

    Returns
    -------
    y : array (N, K, P, Q)
    x : array
        The cache: `backward_params` needs the input, `backward_data` its shape.

    Raises
    ------
    MinicnnError
        If the channels do not fit, or no window does.
    """
    xp = array_module(x)
    P, Q = out_shape(x.shape, w.shape, stride, padding, dilation, groups)
    y = xp.empty((x.shape[0], w.shape[0], P, Q), x.dtype)
    wg = _as_matrices(w, groups)  # (G, K/G, C/G R S)
    for n, rows, cols in _strips(x, w, P, Q, stride, padding, dilation, groups):
        y[n, :, rows] = xp.matmul(wg, cols).reshape(w.shape[0], -1, Q)
    if b is not None:
        y += b[:, None, None]
    return y, x


def backward_data(dy, w, x_shape, *, stride=1, padding=0, dilation=1, groups=1):
    """Return dx: the derivative with respect to the input, projected onto `dy` (N, K, P, Q).

    Parameters
    ----------
    dy : array (N, K, P, Q)
    w : array (K, C / groups, R, S)
    x_shape : (int, int, int, int)
        Shape of the input, stored rather than guessed: several sizes give the same P, Q.

    Returns
    -------
    dx : array (N, C, H, W)
    """
    xp = array_module(dy)
    N, C, H, W = x_shape
    P, Q = dy.shape[2:]
    (R, S), (ph, pw) = w.shape[2:], pair(padding)
    dx = xp.zeros((N, C, H + 2 * ph, W + 2 * pw), dy.dtype)
    wt = _as_matrices(w, groups).transpose(0, 2, 1)  # (G, C/G R S, K/G)
    for n in range(N):
        for p0, p1 in row_ranges(C * R * S * Q * dy.itemsize, P, dy):
            dyg = dy[n, :, p0:p1].reshape(groups, -1, (p1 - p0) * Q)
            dcols = xp.matmul(wt, dyg).reshape(1, C, R, S, p1 - p0, Q)
            add_columns(dx[n : n + 1], dcols, stride=stride, dilation=dilation, first_row=p0)
    return crop(dx, padding)


def backward_params(dy, x, w_shape, *, stride=1, padding=0, dilation=1, groups=1):
    """Return (dw, db): the derivatives with respect to the parameters, projected onto `dy`.

    Parameters
    ----------
    dy : array (N, K, P, Q)
    x : array (N, C, H, W)
        The input of `forward`.
    w_shape : (int, int, int, int)

    Returns
    -------
    dw : array (K, C / groups, R, S)
    db : array (K,)
    """
    xp = array_module(dy)
    K = w_shape[0]
    P, Q = dy.shape[2:]
    dw = xp.zeros((groups, K // groups, w_shape[1] * w_shape[2] * w_shape[3]), dy.dtype)
    w_like = xp.empty(w_shape, dy.dtype)
    for n, rows, cols in _strips(x, w_like, P, Q, stride, padding, dilation, groups):
        dw += xp.matmul(dy[n, :, rows].reshape(groups, K // groups, -1), cols.transpose(0, 2, 1))
    return dw.reshape(w_shape), dy.sum(axis=(0, 2, 3))


def out_shape(x_shape, w_shape, stride=1, padding=0, dilation=1, groups=1):
    """Return (P, Q), the size of the output; raise `MinicnnError` if the shapes do not fit."""
    if x_shape[1] != w_shape[1] * groups or w_shape[0] % groups:
        raise MinicnnError(
            f"a convolution with weights {tuple(w_shape)} in {groups} group(s) takes "
            f"{w_shape[1] * groups} channels, the input has {x_shape[1]}"
        )
    u, pad_, d = pair(stride), pair(padding), pair(dilation)
    return tuple(
        out_size(x_shape[2 + i], w_shape[2 + i], u[i], pad_[i], dilation=d[i]) for i in (0, 1)
    )


def _as_matrices(w, groups):
    """(K, C/G, R, S) -> (G, K/G, C/G R S)."""
    return w.reshape(groups, w.shape[0] // groups, -1)


def row_ranges(bytes_per_row, P, x):
    """Split P output rows into ranges whose columns take about `STRIP_BYTES`, on a GPU more."""
    step = max(1, (strip_bytes() if launch.suit(x) else STRIP_BYTES) // bytes_per_row)
    return [(p, min(p + step, P)) for p in range(0, P, step)]


def _strips(x, w, P, Q, stride, padding, dilation, groups):
    """Yield (picture, slice of output rows, columns (G, C/G R S, p Q)) strip by strip."""
    x = pad(x, padding)
    C, (R, S) = x.shape[1], w.shape[2:]
    for n in range(x.shape[0]):
        for p0, p1 in row_ranges(C * R * S * Q * x.itemsize, P, x):
            cols = im2col(x[n : n + 1], (R, S), stride=stride, dilation=dilation, rows=(p0, p1))
            yield n, slice(p0, p1), cols.reshape(groups, -1, (p1 - p0) * Q)
