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

import threading

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minicnn.engine.transforms import matrices
from minicnn.ops.shapes import pair

TILES = (4, 6)
CHUNK_BYTES = 4 << 20  # of transformed input at a time: stays in the outer cache
_scratch = threading.local()


def suits(w_shape, stride, dilation, groups):
    """Return whether a convolution can be done here, and is better done here."""
    return (
        tuple(w_shape[2:]) == (3, 3)
        and pair(stride) == (1, 1)
        and pair(dilation) == (1, 1)
        and groups == 1
        and w_shape[1] >= 8
    )


def filter_gradient(x, dy, padding):
    """Return dw (K, C, 3, 3) for the input x (N, C, H, W) and dy (N, K, P, Q)."""
    N, K, P, Q = dy.shape
    C = x.shape[1]
    m, n, tiles, (AT, G, BT) = _plan(P, Q, x.dtype)
    A = np.ascontiguousarray(AT.T)
    x_pad = _padded(x, padding, m, tiles)
    dy_pad = _padded(dy, (0, 0), m, tiles, halo=0)
    dU = np.zeros((n * n, C, K), dy.dtype)
    product = np.empty_like(dU)
    for first, last in _chunks(N, n * n * tiles[0] * tiles[1] * max(C, K) * x.itemsize):
        V = _transform(x_pad[first:last], BT, m, tiles, "V")
        M = _transform(dy_pad[first:last], A, m, tiles, "M")
        dU += np.matmul(V.transpose(0, 2, 1), M, out=product)
    # (9, n n) @ (n n, C K): the taps in the order (column, row), as the frequencies
    taps = np.kron(G, G).T.astype(dy.dtype) @ dU.reshape(n * n, C * K)
    return np.ascontiguousarray(taps.reshape(3, 3, C, K).transpose(3, 2, 1, 0))


def correlate(x, w, b, padding):
    """Return y[n,k] = b[k] + Σ_c w[k,c] * x[n,c] for 3x3 filters, stride 1, any padding."""
    N, C, H, W = x.shape
    K = w.shape[0]
    P, Q = H + 2 * padding[0] - 2, W + 2 * padding[1] - 2
    m, n, tiles, (AT, G, BT) = _plan(P, Q, x.dtype)
    T = tiles[0] * tiles[1]
    # (n n, 9) @ (9, C K): the taps in the order (column, row), as the frequencies
    taps = np.ascontiguousarray(w.transpose(3, 2, 1, 0)).reshape(9, C * K)
    U = (np.kron(G, G).astype(x.dtype) @ taps).reshape(n * n, C, K)
    x_pad = _padded(x, padding, m, tiles)
    y = np.empty((N, tiles[0] * m, tiles[1] * m, K), x.dtype)
    for first, last in _chunks(N, n * n * T * max(C, K) * x.itemsize):
        V = _transform(x_pad[first:last], BT, m, tiles, "V")
        M = np.matmul(V, U, out=_buffer("M", (n * n, V.shape[1], K), x.dtype))
        Z = np.matmul(AT, M.reshape(n, -1), out=_buffer("D", (m, M.size // n), x.dtype))
        Z = Z.reshape(m, n, -1)  # (column in tile, row frequency, tiles K)
        Y = np.matmul(AT, Z, out=_buffer("V", (m, m, Z.shape[2]), x.dtype))
        Y = Y.reshape(m, m, last - first, *tiles, K)
        target = y[first:last].reshape(last - first, tiles[0], m, tiles[1], m, K)
        if b is None:
            target[...] = Y.transpose(2, 3, 1, 4, 0, 5)
        else:
            np.add(Y.transpose(2, 3, 1, 4, 0, 5), b, out=target)
    y = y[:, :P, :Q]
    return y.transpose(0, 3, 1, 2) if y.flags.c_contiguous else channels_last(y.transpose(0, 3, 1, 2))


def channels_last(x):
    """Return `x` (N, C, H, W) laid out in memory as (N, H, W, C)."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def _plan(P, Q, dtype):
    """Return (m, m + 2, tiles (rows, columns), matrices) of the cheapest tile size for P x Q."""

    def cost(m):
        return -(-P // m) * -(-Q // m) * (m + 2) ** 2

    m = min(TILES, key=cost)
    return m, m + 2, (-(-P // m), -(-Q // m)), tuple(M.astype(dtype) for M in matrices(m))


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


def _transform(x_pad, L, m, tiles, name):
    """Return (L d Lᵀ) of every tile d, as (n n, N tiles, C): frequencies (column, row).

    `L` is (n, k): tiles of k x k pixels, m apart.
    """
    n, k = L.shape
    N, _, width, C = x_pad.shape
    sN, sH, _, item = x_pad.strides[0], x_pad.strides[1], None, x_pad.itemsize
    rows = as_strided(x_pad, (N, tiles[0], k, width * C), (sN, m * sH, sH, item))
    E = np.matmul(L, rows, out=_buffer("E", (N, tiles[0], n, width * C), x_pad.dtype))
    tile_columns = as_strided(
        E,
        (k, n, N, tiles[0], tiles[1], C),
        (C * item, E.strides[2], E.strides[0], E.strides[1], m * C * item, item),
    )
    D = _buffer("D", tile_columns.shape, x_pad.dtype)
    np.copyto(D, tile_columns)
    T = N * tiles[0] * tiles[1]
    V = np.matmul(L, D.reshape(k, -1), out=_buffer(name, (n, n * T * C), x_pad.dtype))
    return V.reshape(n * n, T, C)


def _chunks(N, bytes_per_picture):
    step = max(1, CHUNK_BYTES // bytes_per_picture)
    return [(i, min(i + step, N)) for i in range(0, N, step)]


def _buffer(name, shape, dtype):
    """Scratch memory of this thread, reused from call to call."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    held = _scratch.__dict__.get(name)
    if held is None or held.size < size:
        held = _scratch.__dict__[name] = np.empty(size, np.uint8)
    return held[:size].view(dtype).reshape(shape)
