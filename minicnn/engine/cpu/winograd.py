"""Convolution of stride 1 with 3x3 filters by Winograd's F(m, 3), and its gradients.

Two-dimensional F(m x m, 3 x 3), for each tile of m x m outputs and its (m+2) x (m+2) inputs d:

    forward          y  = Aᵀ [ Σ_c U[c,k] ∘ V[c] ] A         U = G w Gᵀ,   V = Bᵀ d B
    backward_data    the same with w flipped in r, s and transposed in c, k, on dy padded by
                     2 - pad
    backward_params  dw = Gᵀ [ Σ_tiles V[c] ∘ (A dy Aᵀ)[k] ] G

The sum over c is a matrix product for each of the (m+2)² frequencies: (m+2)² / (9 m²) of the
multiplications of the direct sum, 0.25 for m = 4 and 0.20 for m = 6.

Arrays are (N, C, H, W) as everywhere, but lie in memory as (N, H, W, C). Then all five steps, Bᵀ
along the rows, Bᵀ along the columns, U, Aᵀ along the rows, Aᵀ along the columns, are matrix
products from one view of memory into another, and nothing is copied between them (but see
`products.together`).
"""

import math

import numpy as np

from minicnn.engine.cpu import aligned, products, winograd_tiles
from minicnn.engine.cpu.recorded_calls import PASS_WORK, Calls, cut, share
from minicnn.engine.cpu.threads import at_hand
from minicnn.engine.cpu.transforms import data_matrices, matrices
from minicnn.ops.shapes import pair

TILES = (4, 6)
CHUNK_BYTES = 1 << 20  # of transformed input at a time, so that a chunk stays in the cache
ONCE_BYTES = 2 << 20  # where calls are made once: to note one takes longer than to make it again
FEW_TILES = 256  # up to so many the products with a large bank of filters are shared out
LARGE_BYTES = 16 << 20  # of a bank
FREQUENCIES = 8  # at a time at least
FEW_CHUNKS = 2  # up to so many products of some frequencies go on from the cache


def suits(w_shape, stride, dilation, groups):
    """Return whether a convolution can be done here, and is better done here."""
    return (
        tuple(w_shape[2:]) == (3, 3)
        and pair(stride) == (1, 1)
        and pair(dilation) == (1, 1)
        and groups == 1
        and w_shape[1] >= 8
    )


def tile_size(P, Q, slack=0):
    """Return the m of `TILES` that does P x Q outputs with the fewest products.

    The larger one only where it saves more than the share `slack` of them.
    """
    few, many = (-(-P // m) * -(-Q // m) * (m + 2) ** 2 for m in TILES)
    return TILES[many < (1 - slack) * few]


def chunk_bytes(bank_bytes, least=CHUNK_BYTES):
    """Return how many bytes of transformed input go through a bank of filters together.

    The filters are read for each chunk, and large ones packed.
    """
    return max(least, bank_bytes // (2 if bank_bytes > LARGE_BYTES else 4))


def transform_filters(w, m, dtype, in_panels=False):
    """Return U = G w Gᵀ of filters (K, C, 3, 3) as (frequencies (column, row), C, K).

    Or its `products.panels`, which may differ in the last bit.
    """
    G, taps = matrices(m)[1], w.transpose(3, 2, 1, 0).astype(dtype, copy=False)
    taps = products.panels(taps) if in_panels else np.ascontiguousarray(taps)
    U, calls = aligned.empty(((m + 2) ** 2, w.size // 9), dtype), Calls()
    products.of_small(calls, np.kron(G, G).astype(dtype), taps.reshape(9, -1), U)
    calls()
    return U.reshape(-1, *taps.shape[2:])


def correlate(x, U, b, padding, *, flipped=False):
    """Return y[n,k] = b[k] + Σ_c w[k,c] * x[n,c], (N, K, P, Q), stride 1, any padding.

    U ((m + 2)², C, K), or its `products.panels`, is from `transform_filters`; with its last two
    axes exchanged if `flipped`: then the filters are taken flipped in r and s, for the gradient of
    the data.
    """
    N, C, H, W = x.shape
    K, P, Q = U[0].size // C, H + 2 * padding[0] - 2, W + 2 * padding[1] - 2
    y = aligned.empty((N, P, Q, K), x.dtype)
    crew = at_hand()
    how = {"flipped": flipped, "target": lambda calls, *where: y[where], "size": ONCE_BYTES}
    crew.play(TileCorrelation(Rows(x), U, b, padding, **how).program(crew.scratches))
    return y.transpose(0, 3, 1, 2)


class Rows:
    """The rows of an array x (N, C, H, W), for `TileCorrelation`."""

    reading = None

    def __init__(self, x):
        self.array = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        self.shape, self.dtype = x.shape, x.dtype

    def read(self, calls, pictures, first, last):
        """Return some rows of some pictures, (n, last - first, W, C)."""
        return self.array[pictures, first:last]


class TileCorrelation:
    """What `correlate` computes, part by part, as a program of `recorded_calls`.

    x is a `Rows`, or what has its attributes and `read`, which may note calls that make the rows.
    Its `reading`, if not None, notes what is to be done with rows of x while they are in the cache:
    reading(calls, part, pictures, rows) for parts (n, rows, W, C), with each row once if the
    padding is at most 2.
    target(calls, pictures, rows) returns where a part of y goes, (n, rows, Q, K), contiguous, for a
    slice of pictures and one of rows; then(calls, part, pictures, rows) notes what is to be done
    with it while it is in the cache, `then_work` multiplications in all. `size` is bytes of a chunk
    of transformed input, and of products before they are transformed back.
    """

    def __init__(
        self, x, U, b, padding, *, flipped=False, target, then=None, size=CHUNK_BYTES, then_work=0
    ):
        N, C, H, W = x.shape
        self.x, self.U, self.b, self.padding = x, U, b, padding
        self.target, self.then, self.size, self.then_work = target, then, size, then_work
        self.m, self.C, self.K = round(len(U) ** 0.5) - 2, C, U[0].size // C
        self.AT, self.BT = (M.astype(x.dtype) for M in data_matrices(self.m, flipped))
        self.P = H + 2 * padding[0] - 2
        Q = W + 2 * padding[1] - 2
        self.N, self.counts = N, (-(-self.P // self.m), -(-Q // self.m))

    def program(self, scratches):
        """Return the stages."""
        count = self.N * self.counts[0] * self.counts[1]
        if count <= FEW_TILES and self.U.nbytes > LARGE_BYTES:
            return self._in_stages(scratches, count)
        per_tile = len(self.U) * max(self.C, self.K) * self.x.dtype.itemsize
        size = chunk_bytes(self.U.nbytes, self.size)
        chunks = cut(self.N, self.counts[0], size // (self.counts[1] * per_tile))
        groups = winograd_tiles.neighbours(chunks, len(scratches))
        work = count * (self.U.size + PASS_WORK * len(self.U) * (self.C + self.K))
        return [share(scratches, groups, self._group, work + self.then_work)]

    def _group(self, calls, chunks):
        """Note some neighbouring chunks, for which the input is read at once."""
        seen = self._read(calls, chunks[0][0], chunks[0][1][0], chunks[-1][1][1])
        for where in chunks:
            self._chunk(calls, where, seen)

    def _read(self, calls, pictures, first, last):
        """Return the input of some tile rows as (rows, index of the first)."""
        top = self.m * first - self.padding[0]
        low, high = max(0, top), min(self.x.shape[2], top + self.m * (last - first) + 2)
        return self.x.read(calls, pictures, low, max(low, high)), low

    def _chunk(self, calls, where, seen):
        n, T = self.m + 2, math.prod(self._shape(where))
        V = calls.buffer("V", (n, n, T, self.C), self.x.dtype)
        Z = calls.buffer("Z", (n, self.m, T, self.K), self.x.dtype)
        self._transform(calls, where, V, seen)
        bytes_each = n * T * self.K * V.itemsize
        step = max(
            s for s in (1, 2, 3, 4, n) if n % s == 0 and (s == 1 or s * bytes_each <= self.size)
        )
        for j in range(0, n, step):
            self._multiply(calls, V, Z, slice(j, j + step))
        self._place(calls, where, Z)

    def _in_stages(self, scratches, count):
        """Return the stages for so few tiles that the products are shared out by frequency.

        So a worker reads a share of the filters, not all of them for a share of the tiles.
        """
        n, room, work = self.m + 2, Calls(scratches[0]), count * self.U.size
        V = room.buffer("V", (n, n, count, self.C), self.x.dtype)
        Z = room.buffer("Z", (n, self.m, count, self.K), self.x.dtype)
        parts = [
            (slice(i, i + 1), (t, t + 1)) for i in range(self.N) for t in range(self.counts[0])
        ]

        def span(where):
            first = (where[0].start * self.counts[0] + where[1][0]) * self.counts[1]
            return slice(first, first + self.counts[1])

        def before(calls, where):
            self._transform(
                calls, where, V[:, :, span(where)], self._read(calls, where[0], *where[1])
            )

        def between(calls, j):
            self._multiply(calls, V, Z, slice(j, j + 1))

        def after(calls, where):
            self._place(calls, where, Z[:, :, span(where)])

        return [
            share(scratches, parts, before, work, room),
            share(scratches, range(n), between, work, room),
            share(scratches, parts, after, work, room),
        ]

    def _transform(self, calls, where, V, seen):
        """Note V = Bᵀ d B, (column frequency, row frequency, tiles, C)."""
        if self.x.reading:
            self._note_reading(calls, where, *seen)
        V = V.reshape(*V.shape[:2], *self._shape(where), self.C)
        first = (self.m * where[1][0] - self.padding[0], self.padding[1])
        winograd_tiles.transform(calls, self.BT, *seen, self.x.shape[2], first, self.m, V)

    def _note_reading(self, calls, where, read, low):
        """Note `reading` of the rows that no part before this one has had."""
        pictures, (first, last) = where
        top = max(0, self.m * first - self.padding[0])
        end = self.x.shape[2] if last == self.counts[0] else self.m * last - self.padding[0]
        self.x.reading(calls, read[:, top - low : end - low], pictures, slice(top, end))

    def _multiply(self, calls, V, Z, columns):
        """Note Z = Aᵀ (V U), (column frequency, row of the tile, tiles, K), of some columns."""
        n, (T, K) = self.m + 2, Z.shape[2:]
        U = self.U.reshape(n, n, *self.U.shape[1:])[columns]
        M = calls.buffer("M", (len(U), n, T, K), Z.dtype)
        V = V[columns].reshape(-1, T, self.C)
        products.by(calls, V, U.reshape(-1, *U.shape[2:]), M.reshape(-1, T, K))
        if self.b is not None and columns.start <= 1 < columns.stop:
            at_one = M[1 - columns.start, 1]  # Aᵀ has ones in the column of the point 1
            calls.add(np.add, at_one, self.b, out=at_one)
        Z = Z[columns]
        products.of_small(calls, self.AT, M.reshape(len(U), n, -1), Z.reshape(len(U), self.m, -1))

    def _place(self, calls, where, Z):
        """Note y = Z A of some tiles; what hangs over the edges is left out."""
        pictures, rows = where
        m, mine = self.m, slice(self.m * rows[0], min(self.m * rows[1], self.P))
        y = self.target(calls, pictures, mine)
        Z = Z.reshape(m + 2, m, *self._shape(where), self.K)
        for up, down, height in winograd_tiles.whole_and_rest(y.shape[1], m):
            for left, right, width in winograd_tiles.whole_and_rest(y.shape[2], m):
                part = y[
                    :,
                    m * up : m * up + (down - up) * height,
                    m * left : m * left + (right - left) * width,
                ]
                part = part.reshape(len(y), down - up, height, right - left, width, self.K)
                source = Z[:, :height, :, up:down, left:right]
                winograd_tiles.place(calls, self.AT[:width], source, part)
        if self.then:
            self.then(calls, y, pictures, mine)

    def _shape(self, where):
        """Return (pictures, tile rows, tile columns) of a part."""
        pictures, rows = where
        return pictures.stop - pictures.start, rows[1] - rows[0], self.counts[1]


def filter_gradient(x, dy, padding):
    """Return dw (K, C, 3, 3) for the input x (N, C, H, W) and dy (N, K, P, Q).

    Gᵀ takes the products of some frequencies while they are in the cache; where there are many
    chunks, their sum in the end.
    """
    N, K, P, Q = dy.shape
    C, m = x.shape[1], tile_size(P, Q)
    AT, G, BT = (M.astype(x.dtype) for M in matrices(m))
    A = np.ascontiguousarray(AT.T)
    counts, n = (-(-P // m), -(-Q // m)), m + 2
    x, dy = Rows(x), Rows(dy)
    GG, dw = np.kron(G, G).T, np.zeros((9, C * K), dy.dtype)  # taps: (column, row), as frequencies
    frequency, per_tile = C * K * dw.itemsize, n * n * max(C, K) * dw.itemsize
    step = max(FREQUENCIES, ONCE_BYTES // frequency)
    size = chunk_bytes(n * n * frequency, ONCE_BYTES)
    chunks = cut(N, counts[0], size // (counts[1] * per_tile))
    total = np.zeros((n * n, C * K), dy.dtype) if len(chunks) > FEW_CHUNKS else None
    for pictures, rows in chunks:
        calls = Calls()
        shape = (pictures.stop - pictures.start, rows[1] - rows[0], counts[1])
        V = calls.buffer("V", (n, n, *shape, C), dw.dtype)
        M = calls.buffer("M", (n, n, *shape, K), dw.dtype)
        first = (m * rows[0] - padding[0], padding[1])
        winograd_tiles.transform(calls, BT, x.array[pictures], 0, x.shape[2], first, m, V)
        winograd_tiles.transform(calls, A, dy.array[pictures], 0, P, (m * rows[0], 0), m, M)
        VT, tiles = V.reshape(n * n, -1, C).transpose(0, 2, 1), M.reshape(n * n, -1, K)
        for some in (slice(i, i + step) for i in range(0, n * n, step)):
            dU = calls.buffer("dU", (len(VT[some]), C * K), dw.dtype)
            calls.add(np.matmul, VT[some], tiles[some], out=dU.reshape(-1, C, K))
            if total is not None:
                calls.add(np.add, total[some], dU, out=total[some])
                continue
            part = calls.buffer("part of dw", dw.shape, dw.dtype)
            products.of_small(calls, GG[:, some], dU, part)
            calls.add(np.add, dw, part, out=dw)
        calls()
    dw = dw if total is None else GG @ total
    return np.ascontiguousarray(dw.reshape(3, 3, C, K).transpose(3, 2, 1, 0))
