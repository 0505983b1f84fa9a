"""Convolution by im2col with the channels last: any kernel, stride, padding, dilation, groups.

    forward          y  = X W + b         X (pixels, R S C): a row for each output pixel
    backward_data    dx = col2im(dy Wᵀ)   W (R S C, K)
    backward_params  dw = (Xᵀ dy)ᵀ

Arrays are (N, C, H, W) as everywhere, but lie in memory as (N, H, W, C): a row of X is then R runs
of S C neighbours, which copies fast, and for 1x1 kernels X is x itself. X is made for a strip of
output rows, or for a few small pictures, at a time, so that it stays in the cache.
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minicnn.engine.scratch import buffer
from minicnn.engine.threads import parallel_map
from minicnn.ops.shapes import pair

STRIP_BYTES = 2 << 20  # of X


def filter_matrices(w, groups, dtype):
    """Return filters (K, C/G, R, S) as (G, R S C/G, K/G)."""
    K = w.shape[0]
    matrices = w.reshape(groups, K // groups, *w.shape[1:]).transpose(0, 3, 4, 2, 1)
    return np.ascontiguousarray(matrices, dtype).reshape(groups, -1, K // groups)


def correlate(x, W, b, kernel, size, *, stride, padding, dilation, target=None, then=None):
    """Return y (N, K, P, Q); `W` is from `filter_matrices`, `size` is (P, Q).

    `target` and `then` are those of `winograd.correlate`.
    """
    geometry = kernel, pair(stride), pair(dilation)
    x_pad = _padded(x, padding)
    (N, (P, Q)), (G, _, Kg) = (len(x), size), W.shape
    y = np.empty((N, P, Q, G * Kg), x.dtype) if target is None else None

    def strip(where):
        pictures, rows = where
        mine = slice(*rows)
        part = y[pictures, mine] if target is None else target(pictures, mine)
        for g in range(G):
            X = _columns(x_pad[pictures], g, G, geometry, rows, Q)
            if G == 1:
                np.matmul(X, W[0], out=part.reshape(-1, Kg))
            else:
                part[..., g * Kg : (g + 1) * Kg] = (X @ W[g]).reshape(*part.shape[:3], Kg)
        if b is not None:
            part += b
        if then:
            then(part, pictures, mine)

    parallel_map(strip, _strips(N, P, Q, W))
    return y.transpose(0, 3, 1, 2) if target is None else None


def correlate_adjoint(dy, W, kernel, x_shape, *, stride, padding, dilation):
    """Return dx, shape `x_shape`, for `dy` (N, K, P, Q): the adjoint of `correlate`."""
    dy = _last(dy)

    def strip(where):
        pictures, (p0, p1) = where
        how = {"stride": stride, "padding": padding, "dilation": dilation}
        return pictures, p0, adjoint_strip(dy[pictures, p0:p1], W, kernel, x_shape, **how)

    strips = parallel_map(strip, _strips(*dy.shape[:3], W))
    return add_strips(strips, x_shape, stride=stride, padding=padding)


def adjoint_strip(dy, W, kernel, x_shape, *, stride, padding, dilation):
    """Return what some output rows dy (n, p, Q, K) give to the padded input, (n, rows, W, C)."""
    (u, v), (d, e) = pair(stride), pair(dilation)
    (p, Q), (G, _, Kg), Cg = dy.shape[1:3], W.shape, x_shape[1] // len(W)
    width = x_shape[3] + 2 * pair(padding)[1]
    dx = np.zeros((len(dy), (p - 1) * u + (kernel[0] - 1) * d + 1, width, G * Cg), dy.dtype)
    for g in range(G):
        own = np.ascontiguousarray(dy[..., g * Kg : (g + 1) * Kg]).reshape(-1, Kg)
        dX = buffer("columns", (len(own), W.shape[1]), dy.dtype)
        dX = np.matmul(own, W[g].T, out=dX).reshape(*dy.shape[:3], *kernel, Cg)
        for r in range(kernel[0]):
            for s in range(kernel[1]):
                rows = slice(r * d, r * d + (p - 1) * u + 1, u)
                cols = slice(s * e, s * e + (Q - 1) * v + 1, v)
                dx[:, rows, cols, g * Cg : (g + 1) * Cg] += dX[:, :, :, r, s]
    return dx


def add_strips(strips, x_shape, *, stride, padding):
    """Return dx, shape `x_shape`, the sum of [(pictures, first output row, `adjoint_strip`), ...].

    Neighbouring strips overlap, so they are added one by one, in the order of the list.
    """
    (ph, pw), u = pair(padding), pair(stride)[0]
    N, C, H, W = x_shape
    dx = np.zeros((N, H + 2 * ph, W + 2 * pw, C), strips[0][2].dtype)
    for pictures, p0, strip in strips:
        dx[pictures, p0 * u : p0 * u + strip.shape[1]] += strip
    return dx[:, ph : ph + H, pw : pw + W].transpose(0, 3, 1, 2)


def filter_gradient(x, dy, w_shape, *, stride, padding, dilation, groups):
    """Return dw (K, C/G, R, S) for the input x (N, C, H, W) and dy (N, K, P, Q)."""
    K, Cg, R, S = w_shape
    geometry = (R, S), pair(stride), pair(dilation)
    x_pad, dy, Kg = _padded(x, padding), _last(dy), K // groups
    dW = np.zeros((groups, R * S * Cg, Kg), dy.dtype)
    for pictures, rows in _strips(len(x), *dy.shape[1:3], dW):
        mine = dy[pictures, rows[0] : rows[1]]
        for g in range(groups):
            X = _columns(x_pad[pictures], g, groups, geometry, rows, dy.shape[2])
            own = np.ascontiguousarray(mine[..., g * Kg : (g + 1) * Kg]).reshape(-1, Kg)
            dW[g] += X.T @ own
    dw = dW.reshape(groups, R, S, Cg, Kg).transpose(0, 4, 3, 1, 2)
    return np.ascontiguousarray(dw).reshape(w_shape)


def _last(x):
    """Return x (N, C, H, W) as a contiguous (N, H, W, C), without a copy where it lies so."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def _padded(x, padding):
    ph, pw = pair(padding)
    if ph == pw == 0:
        return _last(x)
    N, C, H, W = x.shape
    x_pad = np.zeros((N, H + 2 * ph, W + 2 * pw, C), x.dtype)
    x_pad[:, ph : ph + H, pw : pw + W] = x.transpose(0, 2, 3, 1)
    return x_pad


def _columns(x_pad, group, groups, geometry, rows, Q):
    """Return X (pixels, R S C/G) of the output rows `rows` (first, last + 1)."""
    (R, S), (u, v), (d, e) = geometry
    N, _, _, C = x_pad.shape
    p0, p1 = rows
    if R == S == u == v == groups == 1:
        return x_pad[:, p0:p1].reshape(-1, C)
    sN, sH, sW, item = x_pad.strides
    Cg = C // groups
    first = x_pad[:, u * p0 :, :, group * Cg :]
    if groups == e == 1:  # S C neighbours
        shape, inner = (R, S * C), (d * sH, item)
    else:
        shape, inner = (R, S, Cg), (d * sH, e * sW, item)
    windows = as_strided(first, (N, p1 - p0, Q, *shape), (sN, u * sH, v * sW, *inner))
    X = buffer("columns", windows.shape, x_pad.dtype)
    np.copyto(X, windows)
    return X.reshape(-1, R * S * Cg)


def _strips(N, P, Q, W):
    """Cut the work into [(slice of pictures, (first, last + 1) output row), ...]."""
    rows = max(1, STRIP_BYTES // (Q * W.shape[1] * W.itemsize))
    if rows >= 2 * P:
        step = rows // P
        return [(slice(n, min(n + step, N)), (0, P)) for n in range(0, N, step)]
    return [(slice(n, n + 1), (p, min(p + rows, P))) for n in range(N) for p in range(0, P, rows)]
