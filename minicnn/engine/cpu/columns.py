"""Convolution by im2col with the channels last: any kernel, stride, padding, dilation, groups.

    forward          y  = X W + b         X (pixels, R S C): a row for each output pixel
    backward_data    dx = col2im(dy Wᵀ)   W (R S C, K)
    backward_params  dw = (Xᵀ dy)ᵀ

Arrays are (N, C, H, W) as everywhere, but lie in memory as (N, H, W, C): a row of X is then R runs
of S C neighbours, which copies fast, and for 1x1 kernels X is x itself. X is made for a strip of
output rows, or for a few small pictures, at a time (`column_matrices`), so that it stays in the
cache.
"""

import math

import numpy as np

from minicnn.engine.cpu import aligned, column_matrices, products
from minicnn.engine.cpu.recorded_calls import PASS_WORK, Calls, ProgramStage, share
from minicnn.engine.cpu.threads import at_hand
from minicnn.ops.shapes import pair

STRIP_BYTES = 1536 << 10  # of X, or of y where that is larger
ADJOINT_BYTES = 1 << 20  # of dy Wᵀ: R S short calls add it to dx, for which threads wait
FEW_CHANNELS = 4


def filter_matrices(w, groups, dtype):
    """Return filters (K, C/G, R, S) as (G, R S C/G, K/G)."""
    K = w.shape[0]
    matrices = w.reshape(groups, K // groups, *w.shape[1:]).transpose(0, 3, 4, 2, 1)
    return aligned.copy(matrices, dtype).reshape(groups, -1, K // groups)


def correlate(x, W, b, kernel, size, *, stride, padding, dilation):
    """Return y (N, K, P, Q); `W` is from `filter_matrices`, `size` is (P, Q)."""
    y = aligned.empty((len(x), *size, W.shape[0] * W.shape[2]), x.dtype)
    how = {"stride": stride, "padding": padding, "dilation": dilation}
    crew = at_hand()
    there = ColumnCorrelation(x, W, b, kernel, size, **how, target=lambda calls, *where: y[where])
    crew.play(there.program(crew.scratches))
    return y.transpose(0, 3, 1, 2)


class ColumnCorrelation:
    """What `correlate` computes, part by part, as a program of `recorded_calls`.

    `target`, `then` and `then_work` are those of `winograd.TileCorrelation`.
    """

    def __init__(
        self, x, W, b, kernel, size, *, stride, padding, dilation, target, then=None, then_work=0
    ):
        self.x, self.W, self.b = x.transpose(0, 2, 3, 1), W, b
        # added in long runs
        self.row_of_b = b if b is None else aligned.copy(np.tile(b, (size[1], 1)))
        self.geometry, self.padding = (kernel, pair(stride), pair(dilation)), pair(padding)
        self.size, self.target, self.then, self.then_work = size, target, then, then_work
        self._overlap = column_matrices.overlaps(self.W, self.geometry, size[1])
        (N, H, W, C), (ph, pw) = self.x.shape, self.padding
        self._x_pad = self.x
        if (ph, pw) != (0, 0) or not self.x.flags.c_contiguous:
            padded = N, H + 2 * ph, W + 2 * pw, C
            self._x_pad = aligned.zeros(padded, self.x.dtype)

    def program(self, scratches):
        """Return the stages."""
        strips = column_matrices.strips(len(self.x), *self.size, self.W, STRIP_BYTES, self._overlap)
        made = self.W.shape[0] * self.W.shape[2]
        work = len(self.x) * math.prod(self.size) * (self.W.size + PASS_WORK * made)
        return [*self.pad(scratches), share(scratches, strips, self._strip, work + self.then_work)]

    def pad(self, scratches):
        """Return the stages before the first `compute`: x goes into its frame of zeros."""
        if self._x_pad is self.x:
            return []
        (_, H, W, _), (ph, pw) = self.x.shape, self.padding
        inside = self._x_pad[:, ph : ph + H, pw : pw + W]
        bands = [(slice(None), slice(H * i // 4, H * (i + 1) // 4)) for i in range(4)]

        def copy(calls, where):
            calls.add(np.copyto, inside[where], self.x[where])

        return [share(scratches, bands, copy, PASS_WORK * self.x.size)]

    def _strip(self, calls, where):
        pictures, rows = where[0], slice(*where[1])
        part = self.target(calls, pictures, rows)
        self.compute(calls, part, *where)
        if self.then:
            self.then(calls, part, pictures, rows)

    def compute(self, calls, part, pictures, rows, row_by_row=False):
        """Note the output rows `rows` (first, last + 1) of some pictures, into `part`.

        BLAS may round the last rows of a product another way than the others. `row_by_row` gives
        each output row a product of its own: then it has the same bits in whatever part it comes.
        """
        (G, _, Kg), x = self.W.shape, self._x_pad[pictures]
        length = self.size[1] if row_by_row else math.prod(part.shape[:-1])
        if self._overlap:
            X = column_matrices.overlapping(calls, x, self.geometry, rows, self.size[1])
            for own, wanted in zip(X, part, strict=True):
                products.by(calls, own, self.W, wanted)
        elif G == 1:
            X = column_matrices.columns(calls, x, 0, 1, self.geometry, rows, self.size[1])
            X = X.reshape(-1, length, X.shape[1])
            products.by(calls, X, self.W, part.reshape(-1, length, Kg))
        else:
            for g in range(G):
                X = column_matrices.columns(calls, x, g, G, self.geometry, rows, self.size[1])
                X = X.reshape(-1, length, X.shape[1])
                own = calls.buffer("group", (*X.shape[:2], Kg), part.dtype)
                products.by(calls, X, self.W[g : g + 1], own)
                wanted = part[..., g * Kg : (g + 1) * Kg]
                calls.add(np.copyto, wanted, own.reshape(wanted.shape))
        if self.b is not None:
            calls.add(np.add, part, self.row_of_b, out=part)


def correlate_adjoint(dy, W, kernel, x_shape, *, stride, padding, dilation):
    """Return dx, shape `x_shape`, for `dy` (N, K, P, Q): the adjoint of `correlate`."""
    adjoint = Adjoint(W, kernel, x_shape, stride=stride, padding=padding, dilation=dilation)
    crew = at_hand()
    crew.play(adjoint.program(crew.scratches, dy))
    return adjoint.dx


class Adjoint:
    """The gradient of the data, strip by strip of output rows.

    Neighbouring strips overlap in the padded input, so each has an array of its own, and `sum`
    adds them one by one, from the top to the bottom. With a few channels, as a picture has, these
    are (n, C, rows, W), else (n, rows, W, C).
    """

    def __init__(self, W, kernel, x_shape, *, stride, padding, dilation):
        self.W, self.kernel, self.x_shape = W, kernel, x_shape
        self.stride, self.padding, self.dilation = pair(stride), pair(padding), pair(dilation)
        (N, C, H, width), (ph, pw) = x_shape, self.padding
        self.planes = C <= FEW_CHANNELS
        size = (N, H + 2 * ph, width + 2 * pw, C)
        self._dx = aligned.empty([size[i] for i in self._order], W.dtype)
        self._strips = []

    @property
    def dx(self):
        """The gradient, (N, C, H, W), once `sum` has been called."""
        (_, _, H, W), (ph, pw) = self.x_shape, self.padding
        dx = self._dx if self.planes else self._dx.transpose(0, 3, 1, 2)
        return dx[:, :, ph : ph + H, pw : pw + W]

    @property
    def _order(self):
        return (0, 3, 1, 2) if self.planes else (0, 1, 2, 3)

    def program(self, scratches, dy):
        """Return the stages for dy (N, K, P, Q)."""
        dy = _last(dy)

        def strip(calls, where):
            pictures, (first, last) = where
            self.strip(calls, dy[pictures, first:last], pictures, first)

        work = math.prod(dy.shape[:3]) * self.W.size
        strips = column_matrices.strips(*dy.shape[:3], self.W, ADJOINT_BYTES)
        return [share(scratches, strips, strip, work), self.sum()]

    def strip(self, calls, dy, pictures, first):
        """Note what the output rows dy (n, p, Q, K) from row `first` on give to the input."""
        (u, v), (d, e), (G, taps, Kg) = self.stride, self.dilation, self.W.shape
        (n, p, Q, _), (R, S) = dy.shape, self.kernel
        Cg, width = self.x_shape[1] // G, self.x_shape[3] + 2 * self.padding[1]
        size = (n, (p - 1) * u + (R - 1) * d + 1, width, G * Cg)
        mine = aligned.empty([size[i] for i in self._order], dy.dtype)
        self._strips.append((pictures, first * u, mine))
        calls.add(mine.fill, 0)
        mine = mine.transpose(np.argsort(self._order))
        for g in range(G):
            own = dy.reshape(-1, G * Kg)
            if G > 1:
                own = calls.buffer("group", (len(own), Kg), dy.dtype)
                calls.add(np.copyto, own.reshape(n, p, Q, Kg), dy[..., g * Kg : (g + 1) * Kg])
            if self.planes:
                dX = calls.buffer("columns", (taps, len(own)), dy.dtype)
                calls.add(np.matmul, self.W[g], own.T, out=dX)
                dX = dX.reshape(R, S, Cg, n, p, Q).transpose(3, 4, 5, 0, 1, 2)
            else:
                dX = calls.buffer("columns", (len(own), taps), dy.dtype)
                products.by(calls, own[None], self.W[g : g + 1].transpose(0, 2, 1), dX[None])
                dX = dX.reshape(n, p, Q, R, S, Cg)
            for r in range(R):
                for s in range(S):
                    rows = slice(r * d, r * d + (p - 1) * u + 1, u)
                    cols = slice(s * e, s * e + (Q - 1) * v + 1, v)
                    there = mine[:, rows, cols, g * Cg : (g + 1) * Cg]
                    calls.add(np.add, there, dX[:, :, :, r, s], out=there)

    def sum(self):
        """Return the stage that adds the strips."""
        calls = Calls()
        calls.add(self._dx.fill, 0)
        rows = self._dx if not self.planes else self._dx.transpose(0, 2, 3, 1)
        for pictures, first, strip in sorted(self._strips, key=lambda s: (s[0].start, s[1])):
            strip = strip.transpose(0, 2, 3, 1) if self.planes else strip
            there = rows[pictures, first : first + strip.shape[1]]
            calls.add(np.add, there, strip, out=there)
        return ProgramStage([calls])


def filter_gradient(x, dy, w_shape, *, stride, padding, dilation, groups):
    """Return dw (K, C/G, R, S) for the input x (N, C, H, W) and dy (N, K, P, Q)."""
    K, Cg, R, S = w_shape
    geometry = (R, S), pair(stride), pair(dilation)
    x_pad, dy, Kg = _padded(x, padding), _last(dy), K // groups
    dW = np.zeros((groups, R * S * Cg, Kg), dy.dtype)
    for pictures, rows in column_matrices.strips(len(x), *dy.shape[1:3], dW, STRIP_BYTES):
        mine = dy[pictures, rows[0] : rows[1]]
        for g in range(groups):
            calls = Calls()
            X = column_matrices.columns(
                calls, x_pad[pictures], g, groups, geometry, rows, dy.shape[2]
            )
            calls()
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
