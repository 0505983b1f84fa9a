"""What the steps of a compiled evaluation share, and its poolings.

Maps are (H, W, C) of one picture, channels last, float32. Convolutions: `convolution_step.py`.
"""

import math
from typing import NamedTuple

import numpy as np

from minicnn.engine.gpu.cuda import column_dtype
from minicnn.engine.gpu.ways import COLUMNS
from minicnn.kernels import strips
from minicnn.ops.shapes import pair

LANES = 4  # channels that a kernel reads at once


class Form(NamedTuple):
    """How convolutions are computed.

    `precision` is that of their factors; `ways` those that they may go where they can; the columns,
    or the rounded map, of a strip take about `strip_bytes`.
    """

    precision: str = "fp32"
    ways: tuple = (COLUMNS,)
    strip_bytes: int = strips.LARGEST

    @property
    def half(self):
        """Whether columns and filters are float16."""
        return self.precision == "fp16"

    @property
    def items(self):
        """How many columns fit into the bytes of a strip."""
        return self.strip_bytes // np.dtype(column_dtype(self.half)).itemsize


class StepTools(NamedTuple):
    """What the steps compute with: kernels, matrix products, and the columns that they share."""

    kernels: object
    product: object
    columns: object


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
