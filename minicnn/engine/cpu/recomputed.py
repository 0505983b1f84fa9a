"""An activation that is not kept: whoever reads some of its rows has them computed again.

    rows p of f      f[p,q] = max(Σ_rs x[p u + r, q v + s] w[r,s] + b, 0)
    gram             F Fᵀ = Σ_parts f fᵀ

The first convolution makes the largest activation of all from the smallest input: VGG's relu1_1
has 64 channels, the picture 3. To compute it takes a fiftieth of an evaluation, about as long as to
fetch it from memory. So the picture alone is kept, and the rows are computed in scratch memory,
for the next convolution and on the way back. What the next convolution has read goes into the Gram
matrix while it is in the cache.
"""

import numpy as np

from minicnn.engine.cpu import aligned, bits


class Recomputed:
    """An activation (N, C, H, W) that has no memory, for `winograd.TileCorrelation` and for a plan.

    `rectified`: there is a ReLU behind the convolution; `bits`, if it has any, and its Gram matrix,
    if it `has_gram`, are made of what the convolution behind it reads. What computes it, of the
    last picture, is `correlation`, a `columns.ColumnCorrelation`.
    """

    ndim = 4
    correlation = None

    def __init__(self, shape, dtype, *, rectified, bits=None, has_gram=False):
        self.shape, self.dtype, self._bits, self._has_gram = shape, dtype, bits, has_gram
        _, C, _, W = shape
        self._zeros = aligned.zeros((W, C), dtype) if rectified else None
        self._grams = []  # (pictures, first row, F Fᵀ) of the parts

    def read(self, calls, pictures, first, last):
        """Note that some rows are computed, and return them, (n, last - first, W, C)."""
        N, C, _, W = self.shape
        size = (len(range(N)[pictures]), last - first, W, C)
        part = calls.buffer("recomputed", size, self.dtype)
        self.correlation.compute(calls, part, pictures, (first, last), row_by_row=True)
        if self._zeros is not None:
            calls.add(np.maximum, part, self._zeros, out=part)
        return part

    def reading(self, calls, part, pictures, rows):
        """Note what is made of a part (n, rows, W, C), see `winograd.TileCorrelation`."""
        if self._bits is not None:
            bits.note(calls, part, self._bits[pictures, rows])
        if self._has_gram:
            F = part.reshape(len(part), -1, part.shape[-1])
            product = np.empty((len(F), F.shape[2], F.shape[2]), self.dtype)
            self._grams.append((pictures, rows.start, product))
            calls.add(np.matmul, F.transpose(0, 2, 1), F, out=product)

    def anew(self):
        """Return this, without the parts that have been noted: all will be noted again."""
        self._grams = []
        return self

    def gram(self):
        """Return F Fᵀ (N, C, C) of the last forward pass, the parts added from top to bottom."""
        N, C, _, _ = self.shape
        total = np.zeros((N, C, C), self.dtype)
        for pictures, _, product in sorted(self._grams, key=lambda part: part[1]):
            total[pictures] += product
        return total
