"""A convolution of a compiled evaluation. Maps are (H, W, C), channels last, float32.

    convolution   rows = windows of x (P Q, R S C)        y = max(rows wᵀ + b, 0)
    its gradient  rows = windows of dy where y > 0        dx = rows w'ᵀ

w' is w flipped in r and s, input and output channels exchanged: for stride 1 the gradient of the
data is again a convolution, with padding R - 1 - pad, and needs no col2im. At the picture, with its
few channels, that would be many columns for few sums: there dy w is computed, and each pixel adds
up what belongs to it (col2im). All is done for a strip of output rows at a time. There are several
ways (`ways.WAYS`): windows are made and multiplied by cuBLASLt, or the map is rounded and a kernel
of `kernels/convolve.cu` does the rest. In half precision maps are scaled by a power of two, found
on the device, so that neither small nor large numbers leave the range of float16.
"""

import math
from functools import partial
from typing import NamedTuple

import numpy as np

from minicnn.backend import to_host
from minicnn.engine.gpu.cuda import column_dtype
from minicnn.engine.gpu.steps import LANES
from minicnn.engine.gpu.ways import COLUMNS
from minicnn.kernels.loader import RUN, SUM_BLOCKS
from minicnn.ops.shapes import pair

NARROWEST = 16  # channels of a result: with fewer a tile of `convolve` is nearly empty
EIGHT = 8  # `convolve` takes so many channels, and packs bits of so many pixels
MOST_PLACES = 32  # R S, for `convolve`


class _Direction(NamedTuple):
    """Forward or backward: a map of `shape` (H, W, C) and w (K, R S C) give `out_shape`."""

    shape: tuple
    out_shape: tuple
    w: object
    pad: tuple
    possible: tuple  # ways


class _Task(NamedTuple):
    """Fill y from x.

    x is let through where the layer's y was `positive`, in bits, or `active`; without both
    everywhere. With a `bias` the result is rectified, and `leaves` such bits if it is an array.
    """

    x: object
    y: object
    active: object = None
    positive: object = None
    bias: object = None
    leaves: object = None


class Convolution:
    """A convolution of stride 1 on maps of `shape` (H, W, C), and the ReLU behind it.

    C is a multiple of 4. Its w is (K, c, R, S), with c <= C: the other channels of x are 0. `ways`
    are those of forward and backward; `choose` chooses them among the `possible` ones.
    """

    def __init__(self, buffers, shape, layer, w, b, form):
        H, W, C = shape
        K, c, R, S = w.shape
        self.shape, pad = shape, pair(layer.padding)
        self.out_shape = (H + 2 * pad[0] - R + 1, W + 2 * pad[1] - S + 1, K)
        self.kernel, self._form = (R, S), form
        self.y = buffers.new(self.out_shape)
        w = np.pad(to_host(w), ((0, 0), (0, C - c), (0, 0), (0, 0)))
        self._scale = _scale_for(w) if form.half else 1.0
        w = (w * self._scale).astype(np.float32)
        given = (shape, self.out_shape, w.transpose(0, 2, 3, 1), pad)
        self._directions = [self._direction(buffers, *given)]
        self.added = C < NARROWEST  # the way of the gradient, see the module
        if not self.added:
            flipped = w[:, :, ::-1, ::-1].transpose(1, 2, 3, 0)
            pad = tuple(k - 1 - p for k, p in zip(self.kernel, pad, strict=True))
            given = (self.out_shape, shape, flipped, pad)
            self._directions.append(self._direction(buffers, *given))
        self.possible = [direction.possible for direction in self._directions]
        self.ways = [possible[-1] for possible in self.possible]
        self._b = buffers.filled(to_host(b) if b is not None else np.zeros(K))
        self._largest = buffers.new(2, np.uint32) if form.half else None
        self._alpha = buffers.new(2) if form.half else None
        bits = (-(-math.prod(self.out_shape[:2]) // EIGHT), K // EIGHT, 2)
        packed = not self.added and all(ways[-1] != COLUMNS for ways in self.possible)
        self._positive = buffers.new(bits, np.uint32) if packed else None  # where y > 0

    @property
    def column_size(self):
        """The number of elements of the widest strip, of either direction and any way."""
        sizes = [
            self._strip(direction, way)[1]
            for direction in self._directions
            for way in direction.possible
        ]
        return max([*sizes, self.added and self._strip_added()[1]])

    def choose(self, run, x, dy, dx, best):
        """Let each direction go the way that best(what, works, out) returns, see `Ways.best`.

        The other arguments are those of `forward` and `backward`.
        """
        works = (partial(self.forward, run, x), partial(self.backward, run, dy, dx))
        outs = (self.y, dx)
        for i, direction in enumerate(self._directions):
            if len(direction.possible) > 1:
                by_way = {way: partial(self._go, i, way, works[i]) for way in direction.possible}
                self.ways[i] = best(self._told(i, direction), by_way, outs[i])
            if i == 0:
                self.forward(run, x)  # backward reads what it leaves

    def forward(self, run, x):
        """Fill `y`."""
        bits = self._positive if self._bits_pass() else None
        self._convolve(run, 0, _Task(x, self.y, bias=self._b, leaves=bits))

    def backward(self, run, dy, dx):
        """Fill dx, shape of x, from the gradient dy of `y`."""
        if self.added:
            self._add_up(run, dy, dx)
        elif self._bits_pass():
            self._convolve(run, 1, _Task(dy, dx, positive=self._positive))
        else:
            self._convolve(run, 1, _Task(dy, dx, active=self.y))

    def _convolve(self, run, i, task):
        """Do a task in direction i, strip by strip."""
        direction, way = self._directions[i], self.ways[i]
        task = task._replace(x=task.x.reshape(direction.shape))
        scaling, P = self._range(run, i, task.x), direction.out_shape[0]
        step = self._strip(direction, way)[0]
        for p0 in range(0, P, step):
            given = (run, direction, task, scaling, p0, min(p0 + step, P))
            if way == COLUMNS:
                self._by_columns(*given)
            else:
                self._by_tiles(*given, way)

    def _by_columns(self, run, direction, task, scaling, p0, p1):
        """Fill the rows p0 .. p1 of y. No bits are left: no backward pass wants them then."""
        (_, Q, K), (largest, alpha) = direction.out_shape, scaling
        M, width = (p1 - p0) * Q, self._window(direction.shape)
        columns = run.columns[: M * width].reshape(M, width)
        geometry = (*direction.shape, *self.kernel, *direction.pad, p0, Q)
        given = (task.x, task.active, largest, columns, alpha, self._scale, *geometry)
        run.kernels.each("windows", (p1 - p0) * _threads(Q, width), *given)
        out = task.y[p0:p1].reshape(M, K)
        factors = {"transpose": (False, True), "alpha": alpha, "bias": task.bias}
        run.product(columns, direction.w, out, **factors)

    def _by_tiles(self, run, direction, task, scaling, p0, p1, way):
        """Fill the rows p0 .. p1 of y from those of x that they need, which are rounded before."""
        (H, W, C), (_, Q, K) = direction.shape, direction.out_shape
        (R, S), (pad_h, pad_w) = self.kernel, direction.pad
        h0, h1 = max(0, p0 - pad_h), min(H, p1 - pad_h + R - 1)
        x, active = task.x[h0:h1], None if task.active is None else task.active[h0:h1]
        columns = run.columns[: x.size].reshape(x.shape)
        rounding = {"tf32": self._form.precision == "tf32", "first": h0 * W}
        self._as_map(run, x, active, task.positive, scaling, columns, **rounding)
        leaves = None if task.leaves is None else task.leaves[p0 * Q // EIGHT :]
        given = (columns, direction.w, scaling[1], task.bias, task.y[p0:p1], leaves)
        geometry = (h1 - h0, W, C, R, S, pad_h - p0 + h0, pad_w, p1 - p0, Q, K)
        run.kernels.tiles(way, (p1 - p0) * Q, K, *given, *geometry)

    def _as_map(self, run, x, active, positive, scaling, out, *, tf32=False, first=0):
        """Fill `out` with x (h, W, C) where it is let through, as the products read it."""
        masks, (largest, alpha) = (active, positive), scaling
        given = (x, *masks, largest, out, alpha, self._scale, tf32, x.shape[2], first)
        run.kernels.each("as_map", x.size // LANES, *given)

    def _add_up(self, run, dy, dx):
        """Fill dx for strips of its rows: dy where y > 0, times w, then the sum of each pixel."""
        (H, W, C), (P, Q, K) = self.shape, self.out_shape
        direction = self._directions[0]
        width, (R, S), (pad_h, pad_w) = self._window(self.shape), self.kernel, direction.pad
        scaling = self._range(run, 1, dy)
        step = self._strip_added()[0]
        for h0 in range(0, H, step):
            h1 = min(h0 + step, H)
            p0, p1 = max(0, h0 + pad_h - R + 1), min(P, h1 + pad_h)  # rows of dy that reach these
            M = (p1 - p0) * Q
            split = M * width * self._column_items()
            products = run.columns[:split].view(np.float32).reshape(M, width)
            masked = run.columns[split : split + M * K].reshape(M, K)
            self._as_map(run, dy[p0:p1], self.y[p0:p1], None, scaling, masked)
            run.product(masked, direction.w, products, alpha=scaling[1])
            geometry = (R, S, 1, 1, 1, 1, h0 + pad_h - p0, pad_w, p1 - p0, Q, LANES)
            given = (products, dx[h0:h1], h1 - h0, W, C, *geometry)
            run.kernels.each("add_window_rows", (h1 - h0) * W * C // LANES, *given)

    def _strip_added(self):
        """Return the rows of dx in a strip of `_add_up`, and the elements of `columns` it takes."""
        P, Q, K = self.out_shape
        each = Q * (K + self._window(self.shape) * self._column_items())  # for a row of dy
        beside = self.kernel[0] - 1
        step = max(1, min(self.shape[0], self._form.items // each - beside))
        return step, each * min(P, step + beside)

    def _strip(self, direction, way):
        """Return the output rows of a strip, and the elements of `columns` that it takes."""
        (H, W, C), (P, Q, _) = direction.shape, direction.out_shape
        if way == COLUMNS:
            each = Q * self._window(direction.shape)
            step = max(1, min(P, self._form.items // each))
            return step, step * each
        beside = self.kernel[0] - 1
        step = max(EIGHT, (self._form.items // (W * C) - beside) // EIGHT * EIGHT)  # whole bits
        return step, min(H, step + beside) * W * C

    def _direction(self, buffers, shape, out_shape, w, pad):
        """Return the direction with filters w (K, R, S, C), in tf32 if tiles want them so."""
        C, K, precision = shape[2], out_shape[2], self._form.precision
        fits = C % EIGHT == K % EIGHT == 0 and K >= NARROWEST
        fits = fits and math.prod(self.kernel) <= MOST_PLACES and precision != "fp32"
        possible = self._form.ways if fits else (COLUMNS,)
        if precision == "tf32" and possible[-1] != COLUMNS:
            w = as_tf32(w)
        filters = buffers.filled(w.reshape(K, -1), column_dtype(self._form.half))
        return _Direction(shape, out_shape, filters, pad, possible)

    def _bits_pass(self):
        """Whether forward leaves bits for backward, which reads them in the place of y."""
        return self._positive is not None and COLUMNS not in self.ways

    def _go(self, i, way, work):
        self.ways[i] = way
        work()

    def _told(self, i, direction):
        (H, W, C), K, (R, S) = direction.shape, direction.out_shape[2], self.kernel
        where = f"{('forward', 'backward')[i]} {H} x {W} x {C}, {R} x {S} to {K}"
        return f"{self._form.precision} {where}, strips of {self._form.strip_bytes >> 20} MB"

    def _column_items(self):
        """Return how many elements of `columns` have the place of a float32."""
        return 4 // np.dtype(column_dtype(self._form.half)).itemsize

    def _range(self, run, i, x):
        """Find the largest magnitude of x, and return where it and the product's factor stand."""
        if not self._form.half:
            return None, None
        largest = self._largest[i : i + 1]
        largest.fill(0)
        run.kernels.each("find_largest", x.size // LANES, x, largest, most=SUM_BLOCKS)
        return largest, self._alpha[i : i + 1]

    def _window(self, shape):
        return self.kernel[0] * self.kernel[1] * shape[2]


def _threads(Q, width):
    """Return how many threads `windows` wants for an output row of Q windows of a width."""
    return -(-Q // RUN) * width // LANES


def as_tf32(x):
    """Return finite float32 numbers rounded to the 10 bits of tf32, as in `kernels/convolve.cu`."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


def _scale_for(w):
    """Return the power of two that brings the largest magnitude of w between 2^13 and 2^14."""
    largest = float(abs(w).max())
    return 2.0 ** (13 - math.floor(math.log2(largest))) if largest else 1.0
