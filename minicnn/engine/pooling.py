"""Pooling in bands of rows, on the crew: `ops.maxpool2d` and `ops.avgpool2d` band by band.

Windows that do not overlap make bands that do not either; else the gradients of neighbouring bands
share rows and are added one after the other.
"""

import numpy as np

from minicnn.engine.calls import at_once
from minicnn.engine.threads import parallel_map
from minicnn.ops import avgpool2d, maxpool2d
from minicnn.ops.shapes import pair

BAND_BYTES = 512 << 10  # of the input


def suits(layer):
    """Return whether a pooling layer can be cut into bands."""
    return pair(layer.padding) == (0, 0)


def forward(x, layer, out, *, largest, drop=False):
    """Pool x (N, C, H, W) into `out` (N, P, Q, C).

    Parameters
    ----------
    layer : MaxPool2d or AvgPool2d
    largest : bool
        Maxima, else means.
    drop : bool
        Record no switch in windows whose maximum is not positive.

    Returns
    -------
    list of (pictures, rows of out, cache of the operation)
    """
    (R, _), (u, _) = pair(layer.kernel), pair(layer.stride)
    P = out.shape[1]

    def band(part):
        pictures, rows = part
        last = x.shape[2] if rows.stop == P else (rows.stop - 1) * u + R
        y, cache = pool(x[pictures, :, rows.start * u : last], layer, largest=largest, drop=drop)
        out[pictures, rows] = y.transpose(0, 2, 3, 1)
        return pictures, rows, cache

    return parallel_map(band, _bands(x, P, u))


def pool(x, layer, *, largest, drop=False):
    """Return (y, cache) of `ops.maxpool2d` or `ops.avgpool2d` with the settings of a layer."""
    shared = {"kernel": layer.kernel, "stride": layer.stride, "ceil": layer.ceil}
    if not largest:
        return avgpool2d.forward(x, **shared, count_padding=layer.count_padding)
    y, cache = maxpool2d.forward(x, **shared)
    return y, maxpool2d.drop_zero_windows(y, cache) if drop else cache


def backward(dy, layer, caches, out, *, largest, then=None):
    """Write the gradient of the input into `out` (N, H, W, C) for dy (N, C, P, Q).

    `then(calls, part, pictures, rows)` notes what is to be done with each finished part of `out`.
    """
    (R, _), (u, _) = pair(layer.kernel), pair(layer.stride)
    overlapping = R > u
    if overlapping:
        out[...] = 0

    def band(part):
        pictures, rows, cache = part
        mine = dy[pictures, :, rows]
        dx = maxpool2d.unpool(mine, cache) if largest else avgpool2d.backward(mine, cache)
        dx, top = dx.transpose(0, 2, 3, 1), rows.start * u
        if overlapping:
            return pictures, slice(top, top + dx.shape[1]), dx
        end = out.shape[1] if rows.stop == dy.shape[2] else rows.stop * u
        out[pictures, top : top + dx.shape[1]] = dx
        out[pictures, top + dx.shape[1] : end] = 0
        if then:
            at_once(then, out[pictures, top:end], pictures, slice(top, end))
        return None

    parts = parallel_map(band, caches)
    if overlapping:
        for pictures, rows, dx in parts:
            out[pictures, rows] += dx
        if then:
            parallel_map(lambda where: at_once(then, out[where], *where), row_bands(out))


def row_bands(x):
    """Cut x (N, H, W, C) into [(slice of pictures, slice of rows), ...] of about `BAND_BYTES`."""
    step = max(1, BAND_BYTES // x[0, 0].nbytes)
    rows = range(0, x.shape[1], step)
    return [
        (slice(n, n + 1), slice(r, min(r + step, x.shape[1]))) for n in range(len(x)) for r in rows
    ]


def _bands(x, P, u):
    """Cut the P rows of the output so that a band reads about `BAND_BYTES` of x."""
    step = max(1, BAND_BYTES // (x[0, :, :1].nbytes * u))
    return [
        (slice(n, n + 1), slice(p, min(p + step, P)))
        for n in range(len(x))
        for p in range(0, P, step)
    ]


class Halving:
    """A pooling of 2x2 windows of what a ReLU has made, and its gradient, for parts of rows.

    Of both kinds all that the gradient needs is one bit for each input: of the mean whether it is
    positive, of the maximum whether it is the first largest one of its window too. The gradient is
    that of the window, over the count of the mean, where there is a bit.

    Parameters
    ----------
    x_shape, y_shape : (int, int, int, int), (N, C, H, W) before and after
    layer : MaxPool2d or AvgPool2d
    largest : bool
        Maxima, else means.
    keep : bool
        Whether `Unpooled` will be made of this.
    dtype : numpy dtype
    """

    def __init__(self, x_shape, y_shape, layer, *, largest, keep, dtype):
        self.x_shape, self.largest = x_shape, largest
        N, C, self.P, self.Q = y_shape
        self.bits = np.empty((N, 2 * self.P, -(-2 * self.Q * C // 8)), np.uint8) if keep else None
        self.per_count = None  # 1 / count, (P, Q, 1)
        if not largest:
            zeros = np.zeros((1, 1, *x_shape[2:]), dtype)
            self.per_count = 1 / pool(zeros, layer, largest=False)[1].count[:, :, None]

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
        zero, bits = x.dtype.type(0), calls.buffer("bits", x.shape, bool)
        if self.largest:
            _winners(calls, left, right, pairs, out, bits)
        else:
            calls.add(np.greater, x, zero, out=bits)
        calls.add(pack, bits, self.bits[pictures, 2 * mine.start : 2 * mine.stop])


def _winners(calls, left, right, pairs, y, bits):
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
    calls.add(np.logical_and, in_row, in_left, out=bits[:, :, ::2])
    calls.add(np.greater, in_row, in_left, out=bits[:, :, 1::2])


class Unpooled:
    """The gradient of what a `Halving` reads, made row by row when it is wanted.

    Parameters
    ----------
    dy : array (N, C, P, Q), channels last in memory
    halving : Halving
    """

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
        bits = self.halving.bits[pictures, 2 * p0 : 2 * p1]
        calls.add(keep, dy[:, :, None, :, None], bits, windows)
        return rows[:, first - 2 * p0 : last - 2 * p0, :W]


def pack(positive, bits):
    """Write bool (n, rows, W, C) as bits (n, rows, bytes)."""
    bits[...] = np.packbits(positive.reshape(*bits.shape[:2], -1), -1)


def keep(x, bits, out):
    """Write x where there is a bit, else 0, into `out`, which may be x."""
    count = out[0].size // bits.shape[1]
    wanted = np.unpackbits(bits, axis=-1, count=count).view(bool)
    np.multiply(x, wanted.reshape(out.shape), out=out)
