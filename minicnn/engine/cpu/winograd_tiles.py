"""Tiles for Winograd's filtering: their order, their transform, what hangs over the edges."""

from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minicnn.engine.cpu import products

GROUP = 4  # chunks for which rows are read at once


def neighbours(parts, workers):
    """Gather chunks of one picture, up to `GROUP` together, in equally many groups a worker."""
    count = min(len(parts), workers * -(-len(parts) // (workers * GROUP)))
    groups = []
    for first, last in pairwise(len(parts) * i // count for i in range(count + 1)):
        for i, where in enumerate(parts[first:last], first):
            if i > first and where[0] == parts[i - 1][0]:
                groups[-1].append(where)
            else:
                groups.append([where])
    return groups


def transform(calls, L, rows, low, H, first, m, V):
    """Note V = L d Lᵀ of tiles d of k x k pixels, m apart, with zeros beyond the edges of x.

    L is (n, k). `rows` (pictures, rows, W, C) are those of x from the row `low` on; x has H of
    them. `first` is the row of x at which the tiles begin, and the columns of zeros before x. V is
    (n column frequencies, n row frequencies, pictures, tile rows, tile columns, C).
    """
    (n, k), (N, count, columns, C), (top, left) = L.shape, V.shape[2:], first
    W, width = rows.shape[2], m * (columns - 1) + k
    item = rows.itemsize  # no stride of one channel, which says nothing
    E = calls.buffer("E", (N, count, n, width, C), V.dtype)
    for outside in (E[..., :left, :], E[..., left + W :, :]):
        if outside.size:
            calls.add(outside.fill, 0)
    inside = E[..., left : left + W, :].reshape(N, count, n, -1)
    for begin, end, a, b in _tile_rows(count, top, m, k, H):
        if b <= a:
            calls.add(inside[:, begin:end].fill, 0)
            continue
        source = rows[:, top + m * begin + a - low :]
        sN, sH, _, _ = source.strides
        strips = as_strided(source, (N, end - begin, b - a, W * C), (sN, m * sH, sH, item))
        products.of_small(calls, L[:, a:b], strips, inside[:, begin:end])
    sN, st, si, sw, _ = E.strides
    if not products.together(C):
        windows = as_strided(E, (N, count, n, columns, k, C), (sN, st, si, m * sw, sw, item))
        calls.add(np.matmul, L, windows, out=V.transpose(2, 3, 1, 4, 0, 5))
        return
    tiles = calls.buffer("tiles", (N, count, n, k, columns, C), V.dtype)
    windows = as_strided(E, tiles.shape, (sN, st, si, sw, m * sw, item))
    calls.add(np.copyto, tiles, windows)
    calls.add(np.matmul, L, _merged(tiles), out=_merged(V.transpose(2, 3, 1, 0, 4, 5)))


def place(calls, A, Z, y):
    """Note y = Z Aᵀ of whole tiles, the columns back into the pixels.

    A is (width, n), Z (n column frequencies, height, pictures, tile rows, tile columns, K), and y
    (pictures, tile rows, height, tile columns, width, K).
    """
    if not products.together(Z.shape[-1]):
        calls.add(np.matmul, A, Z.transpose(2, 3, 1, 4, 0, 5), out=y)
        return
    N, count, height, columns, width, K = y.shape
    tiles = calls.buffer("tiles", (N, count, height, width, columns, K), y.dtype)
    calls.add(np.matmul, A, _merged(Z.transpose(2, 3, 1, 0, 4, 5)), out=_merged(tiles))
    calls.add(np.copyto, y, tiles.transpose(0, 1, 2, 4, 3, 5))


def _merged(x):
    """View (..., columns, C) as (..., columns C)."""
    *shape, columns, C = x.shape
    return as_strided(x, (*shape, columns * C), (*x.strides[:-2], x.itemsize))


def _tile_rows(count, top, m, k, H):
    """Return runs of tile rows, (first, last + 1, a, b): rows a .. b of their k lie in 0 .. H."""
    inside = [(max(0, -(top + m * t)), min(k, H - top - m * t)) for t in range(count)]
    edges = [0, *(t for t in range(1, count) if inside[t] != inside[t - 1]), count]
    return [(begin, end, *inside[begin]) for begin, end in pairwise(edges)]


def whole_and_rest(size, m):
    """Return (first tile, last + 1, its size) of the whole tiles of `size`, and of what is left."""
    whole = size // m
    found = [(0, whole, m), (whole, whole + 1, size % m)]
    return [(first, last, size) for first, last, size in found if last > first and size]
