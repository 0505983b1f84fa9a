"""Pooling in bands of rows, on the crew: `ops.maxpool2d` and `ops.avgpool2d` band by band.

Windows that do not overlap make bands that do not either; else the gradients of neighbouring bands
share rows and are added one after the other.
"""

import numpy as np

from minicnn.engine.scratch import buffer
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

    `then(part, pictures, rows)` is called for every part of `out` that is finished.
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
            then(out[pictures, top:end], pictures, slice(top, end))
        return None

    parts = parallel_map(band, caches)
    if overlapping:
        for pictures, rows, dx in parts:
            out[pictures, rows] += dx
        if then:
            parallel_map(lambda where: then(out[where], *where), row_bands(out))


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


class Unpooled:
    """The gradient of what a pooling of 2x2 windows reads, made row by row when it is wanted.

    Parameters
    ----------
    dy : array (N, C, P, Q)
    shape : (int, int, int, int)
        Of the input, (N, C, H, W).
    found : array (N, C, P, Q) of switches, or (P, Q) of counts
        What the pooling has kept: see `maxpool2d.Cache`, `avgpool2d.Cache`.
    bits : uint8 array (N, H, bytes), optional
        Where the input is positive; the gradient is 0 elsewhere.
    """

    def __init__(self, dy, shape, found, bits=None):
        self.dy, self.shape, self.found, self.bits = dy, shape, found, bits
        self.dtype, self.itemsize = dy.dtype, dy.itemsize

    def rows(self, pictures, first, count):
        """Return rows first .. first + count, (n, count, W, C); zeros beyond the input."""
        _, C, H, W = self.shape
        low, high = max(0, first), min(H, first + count)
        p0, p1 = low // 2, min(-(-high // 2), self.dy.shape[2])
        out = buffer("unpooled", (pictures.stop - pictures.start, count, W, C), self.dtype)
        dy = self.dy[pictures, :, p0:p1]
        size = (len(dy), C, min(2 * p1, H) - 2 * p0, W)
        geometry = (size, (2, 2), (2, 2), (0, 0))
        if self.found.ndim == 4:
            cache = maxpool2d.Cache(self.found[pictures, :, p0:p1], *geometry)
            dx = maxpool2d.unpool(dy, cache)
        else:
            dx = avgpool2d.backward(dy, avgpool2d.Cache(self.found[p0:p1], *geometry))
        dx = dx.transpose(0, 2, 3, 1)[:, low - 2 * p0 : high - 2 * p0]
        end = low - first + dx.shape[1]  # a last odd row is in no window
        out[:, : low - first], out[:, end:] = 0, 0
        part = out[:, low - first : end]
        if self.bits is None:
            part[...] = dx
        else:
            bits = self.bits[pictures, low : low + dx.shape[1]]
            np.multiply(dx, positive(bits, part.shape), out=part)
        return out


def positive(bits, shape):
    """Return the bits of a ReLU as bool (n, rows, W, C)."""
    return np.unpackbits(bits, axis=-1, count=shape[2] * shape[3]).view(bool).reshape(shape)
