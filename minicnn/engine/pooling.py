"""Poolings in bands of rows, on the crew: what `ops.maxpool2d` and `ops.avgpool2d` compute.

A window is taken along its columns, then along its rows: S + R steps instead of R S. Of equal
maxima the first in row-major order wins, as there: the first of a row, then the first row.
"""

import numpy as np

from minicnn.ops import avgpool2d
from minicnn.ops.shapes import pair

BAND_BYTES = 512 << 10
NOWHERE = 255  # the switch of a window that has dropped its maximum


def suits(layer):
    """Return whether a pooling layer can be done here."""
    R, S = pair(layer.kernel)
    return pair(layer.padding) == (0, 0) and R * S < NOWHERE


class Windows:
    """A max or average pooling without padding, and its gradient, for bands of rows.

    Parameters
    ----------
    x_shape, y_shape : (int, int, int, int), (N, C, H, W) before and after
    layer : MaxPool2d or AvgPool2d
    largest : bool
        Maxima, else means.
    keep : bool
        Whether `backward` will be called.
    drop : bool
        Whether a window whose maximum is not positive lets no gradient through.
    dtype : numpy dtype
    """

    def __init__(self, x_shape, y_shape, layer, *, largest, keep, drop, dtype):
        N, C, self.H, self.W = x_shape
        self.kernel, self.stride = pair(layer.kernel), pair(layer.stride)
        self.P, self.Q = y_shape[2:]
        self.largest, self.drop = largest, drop
        self.switches = np.empty((N, self.P, self.Q, C), np.uint8) if keep and largest else None
        self.per_count = None if largest else _per_count(x_shape, layer, dtype)

    def forward(self, calls, x, y, where):
        """Note the pooling of x (N, H, W, C) into a part of y (N, P, Q, C)."""
        (R, S), (u, v), (pictures, rows) = self.kernel, self.stride, where
        out = y[where]
        x = x[pictures, rows.start * u : min(self.H, (rows.stop - 1) * u + R)]
        size = (*x.shape[:2], self.Q, x.shape[3])
        joined = calls.buffer("joined", size, x.dtype)
        along_columns = [x[:, :, s::v][:, :, : self.Q] for s in range(S)]
        along_rows = [joined[:, r::u][:, : out.shape[1]] for r in range(R)]
        if not self.largest:
            _add(calls, along_columns, joined, 2)
            _add(calls, along_rows, out, 1)
            calls.add(np.multiply, out, self.per_count[rows], out=out)
            return
        numbers = switches = None
        if self.switches is not None:
            found, switches = calls.buffer("found", size, np.uint8), self.switches[where]
            numbers = [(found[:, r::u][:, : out.shape[1]], r * S) for r in range(R)]
            _largest(calls, along_columns, joined, 2, [(None, s) for s in range(S)], found)
        else:
            _largest(calls, along_columns, joined, 2)
        _largest(calls, along_rows, out, 1, numbers, switches)
        if self.drop and switches is not None:
            nowhere = calls.buffer("nowhere", out.shape, bool)
            calls.add(np.less_equal, out, out.dtype.type(0), out=nowhere)
            number = calls.buffer("number", out.shape, np.uint8)
            calls.add(np.multiply, nowhere, np.uint8(NOWHERE), out=number)
            calls.add(np.maximum, switches, number, out=switches)

    def backward(self, calls, dy, dx, where):
        """Note a part of the gradient dx (N, H, W, C) for dy (N, P, Q, C)."""
        (R, S), (u, v), (pictures, rows) = self.kernel, self.stride, where
        out = dx[where]
        calls.add(out.fill, 0)
        p0, p1 = max(0, -(-(rows.start - R + 1) // u)), min(self.P, (rows.stop - 1) // u + 1)
        if p1 <= p0:
            return
        dy = dy[pictures, p0:p1]
        if not self.largest:
            scaled = calls.buffer("scaled", dy.shape, dy.dtype)
            calls.add(np.multiply, dy, self.per_count[p0:p1], out=scaled)
            dy = scaled
        for r in range(R):
            # the window rows p whose row p u + r lies in this part
            first = max(0, -(-(rows.start - r) // u) - p0)
            last = min(p1, (rows.stop - 1 - r) // u + 1) - p0
            top = (p0 + first) * u + r - rows.start
            for s in range(S):
                count = min(self.Q, (self.W - 1 - s) // v + 1)
                if last <= first or count <= 0:
                    continue
                there = out[:, top : top + (last - first - 1) * u + 1 : u, s::v][:, :, :count]
                part = dy[:, first:last, :count]
                if self.largest:
                    mine = calls.buffer("mine", part.shape, bool)
                    chosen = calls.buffer("chosen", part.shape, part.dtype)
                    switches = self.switches[pictures, p0 + first : p0 + last, :count]
                    calls.add(np.equal, switches, np.uint8(r * S + s), out=mine)
                    calls.add(np.multiply, part, mine, out=chosen)
                    part = chosen
                calls.add(np.add, there, part, out=there)


def _add(calls, parts, out, axis):
    """Note out = the sum of parts, of which some may be shorter along an axis."""
    calls.add(np.copyto, out, parts[0])
    for part in parts[1:]:
        there = _first(out, axis, part.shape[axis])
        calls.add(np.add, there, part, out=there)


def _largest(calls, parts, out, axis, numbers=None, found=None):
    """Note out = the largest of parts, of which some may be shorter along an axis.

    `found` (uint8) gets the number of the first largest one: of a part, (None, number), or of each
    of its entries, (array, number to be added).
    """
    calls.add(np.copyto, out, parts[0])
    if found is not None:
        calls.add(np.copyto, found, 0 if numbers[0][0] is None else numbers[0][0])
    for i, part in enumerate(parts[1:], 1):
        there = _first(out, axis, part.shape[axis])
        if found is not None:
            greater = calls.buffer("greater", part.shape, bool)
            number = calls.buffer("number", part.shape, np.uint8)
            calls.add(np.greater, part, there, out=greater)
            own, offset = numbers[i]
            if own is None:
                calls.add(np.multiply, greater, np.uint8(offset), out=number)
            else:
                calls.add(np.add, _first(own, axis, part.shape[axis]), np.uint8(offset), out=number)
                calls.add(np.multiply, number, greater, out=number)
            known = _first(found, axis, part.shape[axis])
            calls.add(np.maximum, known, number, out=known)
        calls.add(np.maximum, there, part, out=there)


def _first(array, axis, count):
    return array[(slice(None),) * axis + (slice(count),)]


def _per_count(x_shape, layer, dtype):
    """Return 1 / count of the windows of a mean, (P, Q, 1)."""
    shared = {"stride": layer.stride, "ceil": layer.ceil, "count_padding": layer.count_padding}
    zeros = np.zeros((1, 1, *x_shape[2:]), dtype)
    return 1 / avgpool2d.forward(zeros, layer.kernel, **shared)[1].count[:, :, None]


def row_bands(x):
    """Cut an array (N, P, Q, C) into parts, [(slice of pictures, slice of rows), ...]."""
    N, P = x.shape[:2]
    step = max(1, BAND_BYTES // x[0, :1].nbytes)
    if step >= P:
        step = max(1, step // P)
        return [(slice(n, min(n + step, N)), slice(0, P)) for n in range(0, N, step)]
    return [
        (slice(n, n + 1), slice(p, min(p + step, P))) for n in range(N) for p in range(0, P, step)
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
        self.per_count = None if largest else _per_count(x_shape, layer, dtype)

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
