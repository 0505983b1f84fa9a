"""An activation that is not kept: whoever reads some of its rows has them computed again.

    rows p of f      f[p,q] = max(Σ_rs x[p u + r, q v + s] w[r,s] + b, 0)
    gram             F Fᵀ = Σ_rows f fᵀ

The first convolution makes the largest activation of all from the smallest input: VGG's relu1_1
has 64 channels, the picture 3. To compute it once costs a fiftieth of an evaluation. So where
memory counts (`--low-memory`) the picture alone is kept, and the rows are computed in scratch
memory for each that reads them: the next convolution, the Gram matrix, and the way back.
"""

import numpy as np

from minicnn.engine.cpu import columns
from minicnn.engine.cpu.recorded_calls import Calls


class Recomputed:
    """An activation (N, C, H, W) that has no memory, for `winograd.TileCorrelation` and for a plan.

    `rectified`: there is a ReLU behind the convolution. What computes it, of the last picture, is
    `correlation`, a `columns.ColumnCorrelation`.
    """

    ndim = 4
    correlation = None

    def __init__(self, shape, dtype, rectified):
        self.shape, self.dtype = shape, dtype
        _, C, _, W = shape
        self._zeros = np.zeros((W, C), dtype) if rectified else None

    def read(self, calls, pictures, first, last):
        """Note that some rows are computed, and return them, (n, last - first, W, C)."""
        N, C, _, W = self.shape
        size = (len(range(N)[pictures]), last - first, W, C)
        part = calls.buffer("recomputed", size, self.dtype)
        self.correlation.compute(calls, part, pictures, (first, last), row_by_row=True)
        if self._zeros is not None:
            calls.add(np.maximum, part, self._zeros, out=part)
        return part

    def gram(self, first, last):
        """Return what the rows from `first` to before `last` give to F Fᵀ, (N, C, C)."""
        N, C, _, W = self.shape
        total = np.zeros((N, C, C), self.dtype)
        step = max(1, columns.STRIP_BYTES // (W * C * self.dtype.itemsize))
        for n in range(N):
            for row in range(first, last, step):
                calls = Calls()
                part = self.read(calls, slice(n, n + 1), row, min(row + step, last))
                calls()
                F = part.reshape(-1, C)
                total[n] += F.T @ F
        return total
