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

import math
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minicnn.engine.scratch import buffer
from minicnn.engine.threads import parallel_map
from minicnn.engine.transforms import data_matrices, matrices
from minicnn.ops.shapes import pair

TILES = (4, 6)
PANEL = 64  # output channels of a panel of filters
SMALL_PRODUCT = 1_000_000  # rows, columns, depth of a product that OpenBLAS does without packing
CHUNK_BYTES = 512 << 10  # of transformed input at a time, so that a chunk stays in the cache
LARGE_CHUNK_BYTES = 2 << 20  # where several threads share a picture: they wait for calls more


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


def panels(U):
    """Return a bank U (frequencies, C, K) as (frequencies, K / 64, C, 64), contiguous.

    OpenBLAS multiplies by such narrow matrices without packing them first, up to a third faster.
    """
    F, C, K = U.shape
    return np.ascontiguousarray(U.reshape(F, C, K // PANEL, PANEL).transpose(0, 2, 1, 3))


def correlate(x, U, b, padding, *, flipped=False, target=None, then=None, size=None):
    """Return y[n,k] = b[k] + Σ_c w[k,c] * x[n,c], stride 1, any padding.

    Parameters
    ----------
    x : array (N, C, H, W), or `pooling.Unpooled`
        What has `rows` instead of numbers makes them when they are read.
    U : array ((m + 2)², C, K), or its `panels`
        The filters w, from `transform_filters`; its last two axes exchanged if `flipped`.
    b : array (K,) or None
    padding : (int, int)
    flipped : bool
        Take the filters flipped in r and s: the gradient of the data.
    target : callable, target(pictures, rows) -> array (n, rows, Q, K), contiguous, optional
        Where a part of y goes, a slice of pictures and one of rows.
    then : callable, then(part, pictures, rows), optional
        Called for every finished part of y while it is in the cache.
    size : int, optional
        Bytes of a chunk, `CHUNK_BYTES` by default.

    Returns
    -------
    y : array (N, K, P, Q), or None if there is a `target`
    """
    N, C, H, W = x.shape
    K, m = U[0].size // C, round(len(U) ** 0.5) - 2
    P, Q = H + 2 * padding[0] - 2, W + 2 * padding[1] - 2
    AT, BT = (M.astype(x.dtype) for M in data_matrices(m, flipped))
    tiles = (-(-P // m), -(-Q // m))
    read = x.rows if hasattr(x, "rows") else partial(_rows, _channels_last(x))
    y = np.empty((N, P, Q, K), x.dtype) if target is None else None

    def transformed(where, blocks=1):
        pictures, rows = where
        count = (pictures.stop - pictures.start) * (rows[1] - rows[0]) * tiles[1]
        wanted = blocks * -(-count // blocks)
        found = read(pictures, m * rows[0] - padding[0], m * (rows[1] - rows[0]) + 2)
        return _transform(found, BT, m, tiles[1], padding[1], "V", wanted)

    def place(where, M):
        pictures, rows = where
        shape = (pictures.stop - pictures.start, rows[1] - rows[0], tiles[1])
        Z = _product(AT, M.reshape(m + 2, -1), "D")  # (column in tile; row frequency, tile, K)
        Y = _product(AT, Z.reshape(m, m + 2, -1), "E").reshape(m, m, -1, K)
        mine = slice(m * rows[0], min(m * rows[1], P))
        part = y[pictures, mine] if target is None else target(pictures, mine)
        _place(Y[:, :, : math.prod(shape)].reshape(m, m, *shape, K), part, b)
        if then:
            then(part, pictures, mine)

    def chunk(where):
        count = (where[0].stop - where[0].start) * (where[1][1] - where[1][0]) * tiles[1]
        blocks = -(-count * C * PANEL // SMALL_PRODUCT) if U.ndim == 4 else 1
        place(where, _multiply(transformed(where, blocks), U, blocks))

    count = N * tiles[0] * tiles[1]
    if U.ndim == 3 and count * max(C, K) < U[0].size:
        _in_stages(transformed, place, U, count, N, tiles)
    else:
        per_tile = len(U) * max(C, K) * x.itemsize
        parallel_map(chunk, _chunks(N, tiles, per_tile, U.nbytes, size or CHUNK_BYTES))
    return y.transpose(0, 3, 1, 2) if target is None else None


def _in_stages(transformed, place, U, count, N, tiles):
    """Do `correlate` for fewer tiles than filters: the products are shared out by frequency.

    So a thread reads a share of the filters, not all of them for a share of the tiles.
    """
    F, C, K = U.shape
    V, M = buffer("all V", (F, count, C), U.dtype), buffer("all M", (F, count, K), U.dtype)
    step = -(-tiles[0] // 4)
    starts = range(0, tiles[0], step)
    parts = [(slice(n, n + 1), (t, min(t + step, tiles[0]))) for n in range(N) for t in starts]

    def span(where):
        first = (where[0].start * tiles[0] + where[1][0]) * tiles[1]
        return slice(first, first + (where[1][1] - where[1][0]) * tiles[1])

    def before(where):
        V[:, span(where)] = transformed(where)

    def between(f):
        np.matmul(V[f], U[f], out=M[f])

    def after(where):
        mine = M[:, span(where)]
        own = buffer("M", mine.shape, M.dtype)
        np.copyto(own, mine)
        place(where, own)

    parallel_map(before, parts)
    parallel_map(between, range(F))
    parallel_map(after, parts)


def filter_gradient(x, dy, padding):
    """Return dw (K, C, 3, 3) for the input x (N, C, H, W) and dy (N, K, P, Q)."""
    N, K, P, Q = dy.shape
    C, m = x.shape[1], tile_size(P, Q)
    AT, G, BT = (M.astype(x.dtype) for M in matrices(m))
    A = np.ascontiguousarray(AT.T)
    tiles = (-(-P // m), -(-Q // m))
    x, dy = _channels_last(x), _channels_last(dy)
    dU = np.zeros(((m + 2) ** 2, C, K), dy.dtype)
    product = np.empty_like(dU)
    per_tile = len(dU) * max(C, K) * x.itemsize
    for pictures, rows in _chunks(N, tiles, per_tile, dU.nbytes, CHUNK_BYTES):
        count = m * (rows[1] - rows[0])
        seen = _rows(x, pictures, m * rows[0] - padding[0], count + 2)
        V = _transform(seen, BT, m, tiles[1], padding[1], "V", None)
        M = _transform(_rows(dy, pictures, m * rows[0], count), A, m, tiles[1], 0, "M", None)
        dU += np.matmul(V.transpose(0, 2, 1), M, out=product)
    # (9, n n) @ (n n, C K): the taps in the order (column, row), as the frequencies
    taps = np.kron(G, G).T @ dU.reshape(-1, C * K)
    return np.ascontiguousarray(taps.reshape(3, 3, C, K).transpose(3, 2, 1, 0))


def _place(Y, y, b):
    """Write tiles Y (column, row in the tile; picture, tile row, tile column, K) into their pixels.

    `y` is (pictures, rows, Q, K); what hangs over its edges is left out.
    """
    m, (n, rows, Q, K) = len(Y), y.shape
    whole = rows // m
    # full tiles, and what is left of the last ones
    bands = [(0, whole, m), (whole, whole + 1, rows % m)]
    for first, last, height in [band for band in bands if band[1] > band[0] and band[2]]:
        part = y[:, first * m : first * m + (last - first) * height]
        part = part.reshape(n, last - first, height, Q, K)
        tiles = Y[:, :height, :, first:last]
        if Q % m == 0:
            pairs = [
                (tiles.transpose(2, 3, 1, 4, 0, 5), part.reshape(*part.shape[:3], Q // m, m, K))
            ]
        else:
            widths = [len(range(j, Q, m)) for j in range(m)]
            pairs = [
                (tiles[j, ..., : widths[j], :].transpose(1, 2, 0, 3, 4), part[:, :, :, j::m])
                for j in range(m)
            ]
        for source, target in pairs:
            if b is None:
                np.copyto(target, source)
            else:
                np.add(source, b, out=target)


def _channels_last(x):
    """Return x (N, C, H, W) as a contiguous (N, H, W, C)."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def _rows(x, pictures, first, count):
    """Return rows first .. first + count of some pictures of x (N, H, W, C); zeros beyond them."""
    x = x[pictures]
    N, H, W, C = x.shape
    if 0 <= first and first + count <= H:
        return x[:, first : first + count]
    rows = buffer("rows", (N, count, W, C), x.dtype)
    low, high = max(0, -first), min(count, H - first)
    rows[:, :low] = 0
    rows[:, low:high] = x[:, first + low : first + high]
    rows[:, high:] = 0
    return rows


def _multiply(V, U, blocks):
    """Return M = V U (frequencies, tiles, K); the tiles are cut into `blocks`."""
    F, T, C = V.shape
    M = buffer("M", (F, T, U[0].size // C), V.dtype)
    if U.ndim == 3:
        return np.matmul(V, U, out=M)
    rows = (F, blocks, T // blocks)
    np.matmul(
        V.reshape(*rows, C)[:, None],
        U[:, :, None],
        out=M.reshape(*rows, -1, PANEL).transpose(0, 3, 1, 2, 4),
    )
    return M


def _transform(x, L, m, columns, left, name, tiles):
    """Return (L d Lᵀ) of the tiles d, as (frequencies (column, row), tiles, C).

    `x` is (N, rows, W, C), whole rows of tiles, and has `left` columns of zeros before it; `L` is
    (n, k): tiles of k x k pixels, m apart. Tiles of zeros are added behind, up to the number
    `tiles` if there is one.
    """
    n, k = L.shape
    N, height, W, C = x.shape
    count, item, width = (height - k) // m + 1, x.itemsize, m * (columns - 1) + k
    sN, sH = x.strides[:2]
    strips = as_strided(x, (N, count, k, W * C), (sN, m * sH, sH, item))
    E = buffer("E", (N, count, n, width * C), x.dtype)  # (N, tile row, row frequency, width C)
    left, right = left * C, min(left + W, width) * C
    E[..., :left] = 0
    E[..., right:] = 0
    np.matmul(L, strips[..., : right - left], out=E[..., left:right])
    by_column = as_strided(
        E,
        (k, n, N, count, columns, C),
        (C * item, E.strides[2], E.strides[0], E.strides[1], m * C * item, item),
    )
    found = N * count * columns
    tiles = found if tiles is None else tiles
    D = buffer("D", (k, n, tiles, C), x.dtype)
    D[:, :, found:] = 0
    np.copyto(D[:, :, :found].reshape(by_column.shape), by_column)
    return _product(L, D.reshape(k, -1), name).reshape(n * n, tiles, C)


def _product(L, x, name):
    """Return L @ x in the scratch memory `name`."""
    return np.matmul(L, x, out=buffer(name, (*x.shape[:-2], len(L), x.shape[-1]), x.dtype))


def _chunks(N, tiles, bytes_per_tile, bytes_of_filters, size):
    """Cut the work into [(slice of pictures, (first, last + 1) tile row), ...].

    Whole pictures if several fit into the cache, else rows of one; more where every chunk must
    pass over many filters.
    """
    wanted = max(size, bytes_of_filters // 4) // (tiles[1] * bytes_per_tile)
    step = max(1, wanted // tiles[0])
    if step > 1:
        return [(slice(i, min(i + step, N)), (0, tiles[0])) for i in range(0, N, step)]
    count = -(-tiles[0] // max(1, wanted))
    edges = [tiles[0] * i // count for i in range(count + 1)]
    return [(slice(i, i + 1), rows) for i in range(N) for rows in pairwise(edges)]
