"""The layers of a compiled evaluation. Maps are (H, W, C) of one picture, channels last, float32.

    convolution   rows = windows of x (P Q, R S C)        y = max(rows wᵀ + b, 0)
    its gradient  rows = windows of dy where y > 0        dx = rows w'ᵀ

w' is w flipped in r and s, input and output channels exchanged: for stride 1 the gradient of the
data is again a convolution, with padding R - 1 - pad, and needs no col2im. At the picture, with its
few channels, that would be many columns for few sums: there dy w is computed, and each pixel adds
up what belongs to it (col2im). Windows are made for a strip of output rows at a time; or never,
where `kernels/convolve.cu` does it all (`implicit`). In half precision they are scaled by a power
of two, found on the device, so that neither small nor large numbers leave the range of float16.
"""

import math
from typing import NamedTuple

import numpy as np

from minicnn.backend import to_host
from minicnn.engine.gpu.cuda import column_dtype
from minicnn.kernels import strips
from minicnn.kernels.loader import RUN, SUM_BLOCKS
from minicnn.ops.shapes import pair

NARROWEST = 16  # channels of a result: with fewer a tile of the implicit convolution is half empty
LANES = 4  # channels that a kernel reads at once, see `Convolution`


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
        self.added = C < NARROWEST  # the way of the gradient, see the module
        self._flipped = None if self.added else buffers.filled(flipped * self._scale, dtype)
        self._b = buffers.filled(to_host(b) if b is not None else np.zeros(K))
        self._largest = buffers.new(2, np.uint32) if half else None
        self._alpha = buffers.new(2) if half else None

    @property
    def column_size(self):
        """The number of elements of the widest strip of windows, of either direction."""
        directions = [(self.shape, self.out_shape)]
        if not self.added:
            directions.append((self.out_shape, self.shape))
        sizes = [
            0 if self._implicit(out) else self._rows(shape) * self._window(shape) * out[1]
            for shape, out in directions
        ]
        return max([*sizes, self.added and self._strip_added()[1]])

    def forward(self, run, x):
        """Fill `y`."""
        self._convolve(run, 0, x, self.shape, self.y, self._w, self.pad, bias=self._b)

    def backward(self, run, dy, dx):
        """Fill dx, shape of x, from the gradient dy of `y`."""
        if self.added:
            self._add_up(run, dy, dx)
            return
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
            run.kernels.each("windows", rows * _threads(Q, width), *given)
            out = y[p0 : p0 + rows].reshape(rows * Q, K)
            run.product(columns, w, out, transpose=(False, True), alpha=alpha, bias=bias)

    def _add_up(self, run, dy, dx):
        """Fill dx for strips of its rows: dy where y > 0, times w, then the sum of each pixel."""
        (H, W, C), (P, Q, K) = self.shape, self.out_shape
        width, (R, S), (pad_h, pad_w) = self._window(self.shape), self.kernel, self.pad
        largest, alpha = self._range(run, 1, dy)
        step = self._strip_added()[0]
        for h0 in range(0, H, step):
            h1 = min(h0 + step, H)
            p0, p1 = max(0, h0 + pad_h - R + 1), min(P, h1 + pad_h)  # rows of dy that reach these
            M = (p1 - p0) * Q
            split = M * width * self._column_items()
            products = run.columns[:split].view(np.float32).reshape(M, width)
            masked = run.columns[split : split + M * K].reshape(M, K)
            given = (dy, self.y, largest, masked, alpha, self._scale)
            geometry = (*self.out_shape, 1, 1, 0, 0, p0, Q)
            run.kernels.each("windows", (p1 - p0) * _threads(Q, K), *given, *geometry)
            run.product(masked, self._w, products, alpha=alpha)
            geometry = (R, S, 1, 1, 1, 1, h0 + pad_h - p0, pad_w, p1 - p0, Q, LANES)
            given = (products, dx[h0:h1], h1 - h0, W, C, *geometry)
            run.kernels.each("add_window_rows", (h1 - h0) * W * C // LANES, *given)

    def _strip_added(self):
        """Return the rows of dx in a strip of `_add_up`, and the elements of `columns` it takes."""
        P, Q, K = self.out_shape
        each = Q * (K + self._window(self.shape) * self._column_items())  # for a row of dy
        beside = self.kernel[0] - 1
        fit = self._form.strip_bytes // (each * np.dtype(column_dtype(self._form.half)).itemsize)
        step = max(1, min(self.shape[0], fit - beside))
        return step, each * min(P, step + beside)

    def _column_items(self):
        """Return how many elements of `columns` have the place of a float32."""
        return 4 // np.dtype(column_dtype(self._form.half)).itemsize

    def _range(self, run, direction, x):
        """Find the largest magnitude of x, and return where it and the product's factor stand."""
        if not self._form.half:
            return None, None
        largest = self._largest[direction : direction + 1]
        largest.fill(0)
        run.kernels.each("find_largest", x.size // LANES, x, largest, most=SUM_BLOCKS)
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
        each, n = run.kernels.each, math.prod(self.out_shape) // LANES
        if self._count is None:
            each("max_pool", n, x, self.y, self._switches, *self._geometry, LANES)
        else:
            each("average_pool", n, x, self._count, self.y, *self._geometry, LANES)

    def backward(self, run, dy, dx):
        """Fill dx, shape of x, from the gradient dy of `y`."""
        each, n = run.kernels.each, math.prod(self.shape) // LANES
        if self._count is None:
            add = 0  # the rule for windows that overlap, see `ops.unpool.OVERLAPS`
            each("unpool", n, dy, self._switches, dx, *self._geometry, add, LANES)
        else:
            each("average_unpool", n, dy, self._count, dx, *self._geometry, LANES)


def _threads(Q, width):
    """Return how many threads `windows` wants for an output row of Q windows of a width."""
    return -(-Q // RUN) * width // LANES


def _scale_for(w):
    """Return the power of two that brings the largest magnitude of w between 2^13 and 2^14."""
    largest = float(abs(w).max())
    return 2.0 ** (13 - math.floor(math.log2(largest))) if largest else 1.0
