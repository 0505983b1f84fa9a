"""Two-dimensional convolution (cross-correlation, as in every framework), by im2col.

    forward          y[n,k,p,q]   = b[k] + Σ_crs w[k,c,r,s] x[n,c, p u + r d - pad, q u + s d - pad]
    backward_data    dx[n,c,h,w]  = Σ_k,r,s,p,q with (p u + r d - pad, q u + s d - pad) = (h, w)
                                    w[k,c,r,s] dy[n,k,p,q]
    backward_params  dw[k,c,r,s]  = Σ_npq dy[n,k,p,q] x[n,c, p u + r d - pad, q u + s d - pad]
                     db[k]        = Σ_npq dy[n,k,p,q]

u is the stride, d the dilation, here alike for both axes. As matrices, with X = im2col(x) of
(C R S, P Q) for each picture, w of (K, C R S) and dy of (K, P Q):

    y = w X + b        dX = wᵀ dy,  dx = col2im(dX)        dw = dy Xᵀ,  db = dy 1

since y = w X gives Σ dy · (dw X) = Σ (dy Xᵀ) · dw, and likewise for X; the 1 is a column of ones.
dw and db are summed over the pictures. With G groups there are G such products, each with K/G
outputs and C/G inputs of its own; all are one stack of matrices below.

`backward_data` is also the transposed convolution (Dumoulin & Visin 2016, arXiv 1603.07285):
the same matrix wᵀ, whatever dy is. `column_strips` makes X for p output rows at a time: all of X
would take R S times the memory of x. In shapes C/G R S means (C/G) · R · S.
"""

from minicnn.backend import array_module
from minicnn.ops.column_strips import add_back, row_strips, strips
from minicnn.ops.pad import crop
from minicnn.ops.shapes import convolved, pair


def forward(x, w, b=None, *, stride=1, padding=0, dilation=1, groups=1) -> tuple:
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
    windows = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    P, Q = convolved(x.shape, w.shape, **windows)
    K, G = w.shape[0], groups
    wg = w.reshape(G, K // G, -1)  # (G, K/G, C/G R S)
    xp = array_module(x)
    y = xp.empty((x.shape[0], K, P, Q), x.dtype)
    for n, rows, X in strips(x, w.shape, (P, Q), **windows):  # X = im2col, (G, C/G R S, p Q)
        y[n, :, rows] = xp.matmul(wg, X).reshape(K, -1, Q)  # (G, K/G, p Q) -> (K, p, Q)
    if b is not None:
        y += b[:, None, None]  # (K, 1, 1)
    return y, x


def backward_data(dy, w, x_shape: tuple, *, stride=1, padding=0, dilation=1, groups=1):
    """Return dx: the derivative with respect to the input, projected onto `dy`.

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
    (N, C, H, W), (K, _, R, S), G = x_shape, w.shape, groups
    size, (beyond_rows, beyond_cols) = dy.shape[2:], pair(padding)
    wt = w.reshape(G, K // G, -1).transpose(0, 2, 1)  # (G, C/G R S, K/G)
    xp = array_module(dy)
    dx_pad = xp.zeros((N, C, H + 2 * beyond_rows, W + 2 * beyond_cols), dy.dtype)
    for n in range(N):
        for rows in row_strips(dy, w.shape, size, groups):  # p rows, as in `strips`
            dyg = dy[n, :, rows].reshape(G, K // G, -1)  # (K, p, Q) -> (G, K/G, p Q)
            dX = xp.matmul(wt, dyg)  # (G, C/G R S, p Q)
            dX = dX.reshape(1, C, R, S, -1, size[1])  # (1, C, R, S, p, Q)
            add_back(dx_pad[n : n + 1], dX, rows, stride, dilation)  # col2im
    return crop(dx_pad, padding)  # (N, C, H, W)


def backward_params(dy, x, w_shape, *, stride=1, padding=0, dilation=1, groups=1) -> tuple:
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
    windows = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    (K, c, R, S), G = w_shape, groups  # c = C/G
    xp = array_module(dy)
    dw = xp.zeros((G, K // G, c * R * S), dy.dtype)
    for n, rows, X in strips(x, w_shape, dy.shape[2:], **windows):  # X (G, C/G R S, p Q)
        dyg = dy[n, :, rows].reshape(G, K // G, -1)  # (K, p, Q) -> (G, K/G, p Q)
        dw += xp.matmul(dyg, X.transpose(0, 2, 1))  # (G, K/G, p Q) (G, p Q, C/G R S)
    return dw.reshape(w_shape), dy.sum(axis=(0, 2, 3))  # (K, C/G, R, S), (K,)
