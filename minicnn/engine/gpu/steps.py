"""The layers of a compiled evaluation. Maps are (H, W, C) of one picture, channels last, float32.

    convolution   rows = windows of x (P Q, R S C)        y = max(rows wᵀ + b, 0)
    its gradient  rows = windows of dy where y > 0        dx = rows w'ᵀ

w' is w flipped in r and s, input and output channels exchanged: for stride 1 the gradient of the
data is again a convolution, with padding R - 1 - pad, and needs no col2im. Windows are made for a
strip of output rows at a time; or never, where `kernels/convolve.cu` does it all (`implicit`). In
half precision they are scaled by a power of two, found on the device, so that neither small nor
large numbers leave the range of float16.
"""

import math
from typing import NamedTuple

import numpy as np

from minicnn.backend import to_host
from minicnn.engine.gpu.cuda import column_dtype
from minicnn.kernels import strips
from minicnn.ops.shapes import pair

NARROWEST = 16  # output channels, below which a tile of the implicit convolution is mostly empty


class Form(NamedTuple):
    """How convolutions are computed.

    `half`: columns and filters are float16; `implicit`: those of enough output channels go without
    columns in memory; the columns of a strip take about `strip_bytes`.
    """

    half: bool = False
    implicit: bool = False
    strip_bytes: int = strips.LARGEST


class StepTools(NamedTuple):
    """What the steps compute with: kernels, matrix products, and the columns that they share.

    `convolve` is the name of the kernel of implicit convolutions.
    """

    kernels: object
    product: object
    columns: object
    convolve: str = "convolve"


class Convolution:
    """A convolution of stride 1 on maps of `shape` (H, W, C), and the ReLU behind it.

    C is a multiple of 4. Its w is (K, c, R, S), with c <= C: the other channels of x are 0.
    """

    def __init__(self, buffers, shape, layer, w, b, form):
        H, W, C = shape
        K, c, R, S = w.shape
        self.shape, self.pad = shape, pair(layer.padding)
        self.out_shape = (H + 2 * self.pad[0] - R + 1, W + 2 * self.pad[1] - S + 1, K)
        self.kernel, self._form = (R, S), form
        self.y = buffers.new(self.out_shape)
        half, self._scale = form.half, 1.0
        w = np.pad(to_host(w), ((0, 0), (0, C - c), (0, 0), (0, 0)))
        if half:
            self._scale = _scale_for(w)
        forward = w.transpose(0, 2, 3, 1).reshape(K, -1)
        flipped = w[:, :, ::-1, ::-1].transpose(1, 2, 3, 0).reshape(C, -1)
        dtype = column_dtype(half)
        self._w = buffers.filled(forward * self._scale, dtype)
        self._flipped = buffers.filled(flipped * self._scale, dtype)
        self._b = buffers.filled(to_host(b) if b is not None else np.zeros(K))
        self._largest = buffers.new(2, np.uint32) if half else None
        self._alpha = buffers.new(2) if half else None

    @property
    def column_size(self):
        """The number of elements of the widest strip of windows, of either direction."""
        directions = ((self.shape, self.out_shape), (self.out_shape, self.shape))
        return max(
            0 if self._implicit(out) else self._rows(shape) * self._window(shape) * out[1]
            for shape, out in directions
        )

    def forward(self, run, x):
        """Fill `y`."""
        self._convolve(run, 0, x, self.shape, self.y, self._w, self.pad, bias=self._b)

    def backward(self, run, dy, dx):
        """Fill dx, shape of x, from the gradient dy of `y`."""
        pad = tuple(k - 1 - p for k, p in zip(self.kernel, self.pad, strict=True))
        shape = self.out_shape
        self._convolve(run, 1, dy, shape, dx, self._flipped, pad, active=self.y)

    def _convolve(self, run, direction, x, shape, y, w, pad, *, active=None, bias=None):
        P, Q, K = y.shape
        x = x.reshape(shape)
        largest, alpha = self._range(run, direction, x)
        if self._implicit(y.shape):
            given = (x, active, largest, w, bias, y, self._scale, *shape, *self.kernel, *pad)
            run.kernels.tiles(run.convolve, P * Q, K, *given, P, Q, K)
            return
        width = self._window(shape)
        step = self._rows(shape)
        for p0 in range(0, P, step):
            rows = min(step, P - p0)
            columns = run.columns[: rows * Q * width].reshape(rows * Q, width)
            geometry = (*shape, *self.kernel, *pad, p0, Q)
            given = (x, active, largest, columns, alpha, self._scale, *geometry)
            run.kernels.each("windows", columns.size // 4, *given)
            out = y[p0 : p0 + rows].reshape(rows * Q, K)
            run.product(columns, w, out, transpose=(False, True), alpha=alpha, bias=bias)

    def _range(self, run, direction, x):
        """Find the largest magnitude of x, and return where it and the product's factor stand."""
        if not self._form.half:
            return None, None
        largest = self._largest[direction : direction + 1]
        largest.fill(0)
        run.kernels.each("find_largest", x.size, x, largest)
        return largest, self._alpha[direction : direction + 1]

    def _implicit(self, out_shape):
        return self._form.implicit and out_shape[2] >= NARROWEST

    def _window(self, shape):
        return self.kernel[0] * self.kernel[1] * shape[2]

    def _rows(self, shape):
        """Output rows of a strip of windows of a map of this shape."""
        P, Q = (self.out_shape if shape is self.shape else self.shape)[:2]
        per_row = Q * self._window(shape) * np.dtype(column_dtype(self._form.half)).itemsize
        return max(1, min(P, self._form.strip_bytes // per_row))


class Pooling:
    """Max pooling of maps (H, W, C), or average pooling with the divisors `count` (P, Q)."""

    column_size = 0

    def __init__(self, buffers, shape, layer, count=None):
        H, W, C = shape
        P, Q = layer.out_shape((C, H, W))[1:]
        self.shape, self.out_shape = shape, (P, Q, C)
        window = (*pair(layer.kernel), *pair(layer.stride), *pair(layer.padding))
        self._geometry = (*shape, *window, P, Q)
        self.y = buffers.new(self.out_shape)
        self._count = None if count is None else buffers.filled(count)
        self._switches = buffers.new(self.out_shape, np.uint8) if count is None else None

    def forward(self, run, x):
        """Fill `y`."""
        each, n = run.kernels.each, math.prod(self.out_shape)
        if self._count is None:
            each("max_pool", n, x, self.y, self._switches, *self._geometry)
        else:
            each("average_pool", n, x, self._count, self.y, *self._geometry)

    def backward(self, run, dy, dx):
        """Fill dx, shape of x, from the gradient dy of `y`."""
        each, n = run.kernels.each, math.prod(self.shape)
        if self._count is None:
            add = 0  # the rule for windows that overlap, see `ops.unpool.OVERLAPS`
            each("unpool", n, dy, self._switches, dx, *self._geometry, add)
        else:
            each("average_unpool", n, dy, self._count, dx, *self._geometry)


def _scale_for(w):
    """Return the power of two that brings the largest magnitude of w between 2^13 and 2^14."""
    largest = float(abs(w).max())
    return 2.0 ** (13 - math.floor(math.log2(largest))) if largest else 1.0
