"""The matrix X of im2col with the channels last: a row for each output pixel, R runs of S C.

    X[(p, q), (r, s, c)] = x[p u + r d, q v + s e, c]

A window holds R - u rows of the one above it. Where a row of windows is long, the runs of each row
of x are written once for all windows, below those of the row above, and rows of X overlap.
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minicnn.engine.cpu.recorded_calls import WORKERS, cut


def overlaps(W, geometry, Q):
    """Return whether to use `overlapping` in the place of `columns`.

    Each row of windows is a product of its own then, which pays where packing W for each takes
    less time than the copies that are saved.
    """
    ((R, _), (u, _), dilation), (G, _, K) = geometry, W.shape
    return G == 1 and dilation == (1, 1) and R * K < (R - u) * Q


def columns(calls, x_pad, group, groups, geometry, rows, Q):
    """Return X (pixels, R S C/G) of the output rows `rows` (first, last + 1), once called."""
    (R, S), (u, v), (d, e) = geometry
    N, _, _, C = x_pad.shape
    p0, p1 = rows
    if R == S == u == v == groups == 1:
        return x_pad[:, p0:p1].reshape(-1, C)
    # the stride of an axis of length 1 says nothing, so that of the channels is not asked for
    sN, sH, sW, _ = x_pad.strides
    item, Cg = x_pad.itemsize, C // groups
    first = x_pad[:, u * p0 :, :, group * Cg :]
    if groups == e == 1:  # S C neighbours
        shape, inner = (R, S * C), (d * sH, item)
    else:
        shape, inner = (R, S, Cg), (d * sH, e * sW, item)
    windows = as_strided(first, (N, p1 - p0, Q, *shape), (sN, u * sH, v * sW, *inner))
    X = calls.buffer("columns", windows.shape, x_pad.dtype)
    calls.add(np.copyto, X, windows)
    return X.reshape(-1, R * S * Cg)


def overlapping(calls, x_pad, geometry, rows, Q):
    """Return X as (pictures, rows, Q, R S C) of the output rows `rows`, once called."""
    ((R, S), (u, v), _), (p0, p1) = geometry, rows
    N, _, _, C = x_pad.shape
    sN, sH, sW, _ = x_pad.strides
    item, size = x_pad.itemsize, (N, Q, (p1 - p0 - 1) * u + R, S * C)
    runs = calls.buffer("columns", size, x_pad.dtype)
    calls.add(np.copyto, runs, as_strided(x_pad[:, u * p0 :], size, (sN, v * sW, sH, item)))
    sN, sQ, sH, _ = runs.strides
    return as_strided(runs, (N, p1 - p0, Q, R * S * C), (sN, u * sH, sQ, item))


def strips(N, P, Q, W, size, overlap=False):
    """Cut N pictures of P x Q outputs into parts of `size` bytes, see `recorded_calls.cut`.

    Several small pictures are shared out, too.
    """
    made = W.shape[0] * W.shape[2]
    widest = made if overlap else max(W.shape[1], made)
    return cut(N, P, min(size // (Q * widest * W.itemsize), P * max(1, N // WORKERS)))
