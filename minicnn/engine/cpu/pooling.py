"""Poolings in bands of rows, on the crew: what `ops.maxpool2d` and `ops.avgpool2d` compute.

    forward   y[p,q] = max_r max_s x[p u + r, q v + s]       or  Σ_r Σ_s x[...] / count[p,q]
    backward  dx[h,w] = Σ dy[p,q] over the windows whose switch points at (h, w)
                                     or  Σ dy[p,q] / count[p,q] over the windows that hold it

A window is taken along its columns, then along its rows: S + R steps instead of R S. Of equal
maxima the first in row-major order wins, as there: the first of a row, then the first row.
"""

import numpy as np

from minicnn.engine.cpu.recorded_calls import cut
from minicnn.ops.shapes import pair

BAND_BYTES = 512 << 10
NOWHERE = 255  # the switch of a window that has dropped its maximum


def suits(layer):
    """Return whether a pooling layer can be done here."""
    R, S = pair(layer.kernel)
    return pair(layer.padding) == (0, 0) and R * S < NOWHERE


class Windows:
    """A max or average pooling without padding, and its gradient, for bands of rows.

    Maxima if `largest`, else means; `keep` says whether `backward` will be called, `drop` whether a
    window whose maximum is not positive lets no gradient through.
    """

    def __init__(self, x_shape, y_shape, layer, *, largest, keep, drop, dtype):
        N, C, self.H, self.W = x_shape
        self.kernel, self.stride = pair(layer.kernel), pair(layer.stride)
        self.P, self.Q = y_shape[2:]
        self.largest, self.drop = largest, drop
        self.switches = np.empty((N, self.P, self.Q, C), np.uint8) if keep and largest else None
        self.per_count = None if largest else per_count(x_shape, layer, dtype)

    def forward(self, calls, x, y, where):
        """Note the pooling of x (N, H, W, C) into a part of y (N, P, Q, C)."""
        (R, S), (u, v), (pictures, rows) = self.kernel, self.stride, where
        out = y[where]
        x = x[pictures, rows.start * u : min(self.H, (rows.stop - 1) * u + R)]
        if self.largest and self.switches is None:  # long runs first: half of the time
            joined = calls.buffer("joined", (*out.shape[:2], *x.shape[2:]), x.dtype)
            _join(calls, np.maximum, [x[:, r::u][:, : out.shape[1]] for r in range(R)], joined, 1)
            _join(calls, np.maximum, _along_columns(joined, S, v, self.Q), out, 2)
            return
        size = (*x.shape[:2], self.Q, x.shape[3])
        joined = calls.buffer("joined", size, x.dtype)
        along_columns = _along_columns(x, S, v, self.Q)
        along_rows = [joined[:, r::u][:, : out.shape[1]] for r in range(R)]
        if not self.largest:
            _join(calls, np.add, along_columns, joined, 2)
            _join(calls, np.add, along_rows, out, 1)
            calls.add(np.multiply, out, self.per_count[rows], out=out)
            return
        found, switches = calls.buffer("found", size, np.uint8), self.switches[where]
        numbers = [(found[:, r::u][:, : out.shape[1]], r * S) for r in range(R)]
        _largest(calls, along_columns, joined, 2, [(None, s) for s in range(S)], found)
        _largest(calls, along_rows, out, 1, numbers, switches)
        if self.drop:
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


def _along_columns(x, S, v, Q):
    """Return, for each column of a window, x (n, rows, W, C) there in all windows of a row."""
    return [x[:, :, s::v][:, :, :Q] for s in range(S)]


def _join(calls, join, parts, out, axis):
    """Note out = the sum or maximum of parts, of which some may be shorter along an axis."""
    first, *rest = parts
    if rest and rest[0].shape == first.shape:
        calls.add(join, first, rest.pop(0), out=out)
    else:
        calls.add(np.copyto, out, first)
    for part in rest:
        there = _first(out, axis, part.shape[axis])
        calls.add(join, there, part, out=there)


def _largest(calls, parts, out, axis, numbers, found):
    """Note out = the largest of parts, of which some may be shorter along an axis.

    `found` (uint8) gets the number of the first largest one: of a part, (None, number), or of each
    of its entries, (array, number to be added).
    """
    calls.add(np.copyto, out, parts[0])
    calls.add(np.copyto, found, 0 if numbers[0][0] is None else numbers[0][0])
    for i, part in enumerate(parts[1:], 1):
        there = _first(out, axis, part.shape[axis])
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


def per_count(x_shape, layer, dtype):
    """Return 1 / count of the windows of a mean, (P, Q, 1)."""
    return 1 / layer.counts(x_shape[2:], dtype)[:, :, None]


def row_bands(x):
    """Cut an array (N, P, Q, C) into parts, [(slice of pictures, slice of rows), ...]."""
    parts = cut(*x.shape[:2], BAND_BYTES // x[0, :1].nbytes)
    return [(pictures, slice(*rows)) for pictures, rows in parts]
