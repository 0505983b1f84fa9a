"""Poolings of 2x2 windows behind a ReLU, part by part, while the part is in the cache.

forward   y[p,q] = max or Σ / count of x[2p..2p+1, 2q..2q+1],  x = max(a, 0)
backward  da[h,w] = bit[h,w] dy[h // 2, w // 2]    (mean: / count)

bit = x > 0, and for the maximum: the first in row-major order that equals y
"""

import numpy as np

from minicnn.engine.cpu import bits, pooling


class Halving:
    """A pooling of 2x2 windows of what a ReLU has made, and its gradient, for parts of rows.

    Maxima if `largest`, else means. Of both kinds all that the gradient needs is one bit for each
    input: of the mean whether it is positive, of the maximum whether it is the first largest one of
    its window too. The gradient is that of the window, over the count of the mean, where there is a
    bit. `keep` says whether `Unpooled` will be made of this.
    """

    def __init__(self, x_shape, y_shape, layer, *, largest, keep, dtype):
        self.x_shape, self.largest = x_shape, largest
        N, C, self.P, self.Q = y_shape
        self.bits = bits.empty((N, C, 2 * self.P, 2 * self.Q)) if keep else None
        self.per_count = None if largest else pooling.per_count(x_shape, layer, dtype)

    def forward(self, calls, x, out, pictures, rows):
        """Note the pooling of the rows `rows` of x, an array (n, rows, W, C), into (n, p, Q, C)."""
        (n, p, Q, C), height = out.shape, 2 * out.shape[1]
        if x.shape[1] < height or x.shape[2] < 2 * Q:  # windows hang over the edge: a ReLU's zeros
            even = calls.buffer("even", (n, height, 2 * Q, C), x.dtype)
            there = even[:, : x.shape[1], : x.shape[2]]
            calls.add(even.fill, 0)
            calls.add(np.copyto, there, x[:, :height, : 2 * Q])
            x = even
        x = x[:, :height, : 2 * Q]
        left, right = x[:, :, ::2], x[:, :, 1::2]
        pairs = calls.buffer("pairs", left.shape, x.dtype)
        join = np.maximum if self.largest else np.add
        calls.add(join, left, right, out=pairs)
        calls.add(join, pairs[:, ::2], pairs[:, 1::2], out=out)
        mine = slice(rows.start // 2, rows.start // 2 + p)
        if not self.largest:
            calls.add(np.multiply, out, self.per_count[mine], out=out)
        if self.bits is None:
            return
        there = self.bits[pictures, 2 * mine.start : 2 * mine.stop]
        if self.largest:
            wanted = calls.buffer("wanted", x.shape, bool)
            _winners(calls, left, right, pairs, out, wanted)
            calls.add(bits.pack, wanted, there)
        else:
            bits.note(calls, x, there)


def _winners(calls, left, right, pairs, y, found):
    """Note which inputs are the first largest, in row-major order, of windows with y > 0."""
    n, p, Q, C = y.shape
    in_left = calls.buffer("in left", left.shape, bool)
    above = calls.buffer("above", y.shape, bool)
    positive = calls.buffer("positive", y.shape, bool)
    in_row = calls.buffer("in row", (n, p, 2, Q, C), bool)
    calls.add(np.greater_equal, left, right, out=in_left)
    calls.add(np.greater_equal, pairs[:, ::2], pairs[:, 1::2], out=above)
    calls.add(np.greater, y, y.dtype.type(0), out=positive)
    calls.add(np.logical_and, positive, above, out=in_row[:, :, 0])
    calls.add(np.greater, positive, above, out=in_row[:, :, 1])  # and not above
    in_row = in_row.reshape(in_left.shape)
    calls.add(np.logical_and, in_row, in_left, out=found[:, :, ::2])
    calls.add(np.greater, in_row, in_left, out=found[:, :, 1::2])


class Unpooled:
    """The gradient of what a `Halving` reads, made row by row when wanted; dy: channels last."""

    reading = None

    def __init__(self, dy, halving):
        self.dy, self.halving = dy.transpose(0, 2, 3, 1), halving
        self.shape, self.dtype = halving.x_shape, dy.dtype

    def read(self, calls, pictures, first, last):
        """Return rows first .. last, (n, last - first, W, C)."""
        (_, C, _, W), P, Q = self.shape, self.halving.P, self.halving.Q
        p0, p1 = first // 2, min(-(-last // 2), P)
        dy = self.dy[pictures, p0:p1]
        n, p = dy.shape[:2]
        rows = calls.buffer("unpooled", (n, last + 1 - 2 * p0, max(W, 2 * Q), C), self.dtype)
        for nowhere in (rows[:, 2 * p :], rows[:, : 2 * p, 2 * Q :]):  # in no window
            if nowhere.size:
                calls.add(nowhere.fill, 0)
        if not p:
            return rows[:, first - 2 * p0 : last - 2 * p0, :W]
        if self.halving.per_count is not None:
            scaled = calls.buffer("scaled", dy.shape, self.dtype)
            calls.add(np.multiply, dy, self.halving.per_count[p0:p1], out=scaled)
            dy = scaled
        windows = rows[:, : 2 * p, : 2 * Q].reshape(n, p, 2, Q, 2, C)
        mine = self.halving.bits[pictures, 2 * p0 : 2 * p1]
        calls.add(bits.keep, dy[:, :, None, :, None], mine, windows)
        return rows[:, first - 2 * p0 : last - 2 * p0, :W]
