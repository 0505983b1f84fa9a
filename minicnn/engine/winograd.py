"""Convolution of stride 1 with 3x3 filters by Winograd's F(m, 3), and its gradients.

Two-dimensional F(m x m, 3 x 3), for each tile of m x m outputs and its (m+2) x (m+2) inputs d:

    forward          y  = Aᵀ [ Σ_c U[c,k] ∘ V[c] ] A         U = G w Gᵀ,   V = Bᵀ d B
    backward_data    the same with w flipped in r, s and transposed in c, k, on dy padded by
                     2 - pad
    backward_params  dw = Gᵀ [ Σ_tiles V[c] ∘ (A dy Aᵀ)[k] ] G

The sum over c is a matrix product for each of the (m+2)² frequencies: (m+2)² / (9 m²) of the
multiplications of the direct sum, 0.25 for m = 4 and 0.20 for m = 6.

Arrays are (N, C, H, W) as everywhere, but lie in memory as (N, H, W, C), so that a transform is a
matrix product over long contiguous runs.
"""

from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minicnn.engine.scratch import buffer
from minicnn.engine.threads import parallel_map
from minicnn.engine.transforms import matrices
from minicnn.ops.shapes import pair

TILES = (4, 6)
CHUNK_BYTES = 512 << 10  # of transformed input at a time, so that a chunk stays in the cache


def suits(w_shape, stride, dilation, groups):
    """Return whether a convolution can be done here, and is better done here."""
    return (
        tuple(w_shape[2:]) == (3, 3)
        and pair(stride) == (1, 1)
        and pair(dilation) == (1, 1)
        and groups == 1
        and w_shape[1] >= 8
    )


def tile_size(P, Q):
    """Return the m of `TILES` that does P x Q outputs with the fewest products."""
    return min(TILES, key=lambda m: -(-P // m) * -(-Q // m) * (m + 2) ** 2)


def transform_filters(w, m, dtype):
    """Return U = G w Gᵀ of filters (K, C, 3, 3) as (frequencies (column, row), C, K)."""
    K, C = w.shape[:2]
    G = matrices(m)[1]
    taps = np.ascontiguousarray(w.transpose(3, 2, 1, 0), dtype).reshape(9, C * K)
    return (np.kron(G, G).astype(dtype) @ taps).reshape((m + 2) ** 2, C, K)


def correlate(x, U, b, padding):
    """Return y[n,k] = b[k] + Σ_c w[k,c] * x[n,c], stride 1, any padding.

    Parameters
    ----------
    x : array (N, C, H, W)
    U : array ((m + 2)², C, K)
        The filters w, from `transform_filters`.
    b : array (K,) or None
    padding : (int, int)

    Returns
    -------
    y : array (N, K, P, Q)
    """
    N, C, H, W = x.shape
    K, m = U.shape[2], round(len(U) ** 0.5) - 2
    P, Q = H + 2 * padding[0] - 2, W + 2 * padding[1] - 2
    AT, BT = (matrices(m)[i].astype(x.dtype) for i in (0, 2))
    tiles = (-(-P // m), -(-Q // m))
    x_pad = _padded(x, padding, m, tiles)
    y = np.empty((N, tiles[0] * m, tiles[1] * m, K), x.dtype)

    def chunk(part):
        pictures, (t0, t1) = part
        V = _transform(x_pad[pictures], BT, m, (t0, t1), tiles[1], "V")
        M = np.matmul(V, U, out=buffer("M", (len(U), V.shape[1], K), x.dtype))
        Z = _product(AT, M.reshape(m + 2, -1), "D")  # (column in tile; row frequency, tile, K)
        Y = _product(AT, Z.reshape(m, m + 2, -1), "V")  # (column, row in tile; tile, K)
        target = y[pictures, m * t0 : m * t1]
        target = target.reshape(len(target), t1 - t0, m, tiles[1], m, K)
        Y = Y.reshape(m, m, len(target), t1 - t0, tiles[1], K).transpose(2, 3, 1, 4, 0, 5)
        if b is None:
            target[...] = Y
        else:
            np.add(Y, b, out=target)

    parallel_map(chunk, _chunks(N, tiles, len(U) * max(C, K) * x.itemsize, U.nbytes))
    y = y[:, :P, :Q].transpose(0, 3, 1, 2)
    return y if tiles == (P / m, Q / m) else channels_last(y)


def filter_gradient(x, dy, padding):
    """Return dw (K, C, 3, 3) for the input x (N, C, H, W) and dy (N, K, P, Q)."""
    N, K, P, Q = dy.shape
    C, m = x.shape[1], tile_size(P, Q)
    AT, G, BT = (M.astype(x.dtype) for M in matrices(m))
    A = np.ascontiguousarray(AT.T)
    tiles = (-(-P // m), -(-Q // m))
    x_pad = _padded(x, padding, m, tiles)
    dy_pad = _padded(dy, (0, 0), m, tiles, halo=0)
    dU = np.zeros(((m + 2) ** 2, C, K), dy.dtype)
    product = np.empty_like(dU)
    for pictures, rows in _chunks(N, tiles, len(dU) * max(C, K) * x.itemsize, dU.nbytes):
        V = _transform(x_pad[pictures], BT, m, rows, tiles[1], "V")
        M = _transform(dy_pad[pictures], A, m, rows, tiles[1], "M")
        dU += np.matmul(V.transpose(0, 2, 1), M, out=product)
    # (9, n n) @ (n n, C K): the taps in the order (column, row), as the frequencies
    taps = np.kron(G, G).T @ dU.reshape(-1, C * K)
    return np.ascontiguousarray(taps.reshape(3, 3, C, K).transpose(3, 2, 1, 0))


def channels_last(x):
    """Return `x` (N, C, H, W) laid out in memory as (N, H, W, C)."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def _padded(x, padding, m, tiles, halo=2):
    """Return (N, tiles m + halo, tiles m + halo, C), zeros around `x`."""
    N, C, H, W = x.shape
    size = (tiles[0] * m + halo, tiles[1] * m + halo)
    source = x.transpose(0, 2, 3, 1)
    if (H, W) == size and source.flags.c_contiguous:
        return source
    x_pad = np.zeros((N, *size, C), x.dtype)
    x_pad[:, padding[0] : padding[0] + H, padding[1] : padding[1] + W] = source
    return x_pad


def _transform(x_pad, L, m, rows, columns, name):
    """Return (L d Lᵀ) of the tiles d in some rows, as (frequencies (column, row), tiles, C).

    `L` is (n, k): tiles of k x k pixels, m apart; `rows` is (first, last + 1), in tiles.
    """
    n, k = L.shape
    N, _, width, C = x_pad.shape
    count, item = rows[1] - rows[0], x_pad.itemsize
    sN, sH = x_pad.strides[:2]
    strips = as_strided(x_pad[:, m * rows[0] :], (N, count, k, width * C), (sN, m * sH, sH, item))
    E = _product(L, strips, "E")  # (N, tile row, row frequency, width C)
    by_column = as_strided(
        E,
        (k, n, N, count, columns, C),
        (C * item, E.strides[2], E.strides[0], E.strides[1], m * C * item, item),
    )
    D = buffer("D", by_column.shape, x_pad.dtype)
    np.copyto(D, by_column)
    return _product(L, D.reshape(k, -1), name).reshape(n * n, N * count * columns, C)


def _product(L, x, name):
    """Return L @ x in the scratch memory `name`."""
    return np.matmul(L, x, out=buffer(name, (*x.shape[:-2], len(L), x.shape[-1]), x.dtype))


def _chunks(N, tiles, bytes_per_tile, bytes_of_filters):
    """Cut the work into [(slice of pictures, (first, last + 1) tile row), ...].

    Whole pictures if several fit into the cache, else rows of one; more where every chunk must
    pass over many filters.
    """
    wanted = max(CHUNK_BYTES, bytes_of_filters // 4) // (tiles[1] * bytes_per_tile)
    step = max(1, wanted // tiles[0])
    if step > 1:
        return [(slice(i, min(i + step, N)), (0, tiles[0])) for i in range(0, N, step)]
    count = -(-tiles[0] // max(1, wanted))
    edges = [tiles[0] * i // count for i in range(count + 1)]
    return [(slice(i, i + 1), rows) for i in range(N) for rows in pairwise(edges)]
