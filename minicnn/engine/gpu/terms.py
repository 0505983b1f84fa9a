"""The terms of a style objective and their gradients; the formulas stand in `objectives.gram`.

A term leaves partial sums in its row of `partials`; `CompiledObjective` has them added up, times
`factor`.
"""

import numpy as np

from minicnn.kernels.loader import SUM_BLOCKS


class ContentTerm:
    """factor · sum (f - target)² of a layer; target: array (1, C, H, W)."""

    def __init__(self, buffers, name, shape, target, factor):
        self.name, self.factor = name, factor
        self._target = buffers.filled(target[0].transpose(1, 2, 0))

    def run(self, run, f, df, partials, add):
        """Fill df with the gradient at f (H, W, C), or add it."""
        given = (f, self._target, df, partials, 2 * self.factor, int(add))
        run.kernels.blocks("content_term", SUM_BLOCKS, *given, f.size)


class StyleTerm:
    """factor · sum (G / M - target)² of a layer, G = Fᵀ F of F (M, C); target: array (C, C)."""

    def __init__(self, buffers, name, shape, target, factor):
        self.name, self.factor = name, factor
        H, W, C = shape
        self._positions = H * W
        self._target = buffers.filled(target.reshape(C, C))
        self._gram, self._slope = buffers.new((C, C)), buffers.new((C, C))

    def run(self, run, f, df, partials, add):
        """Fill df with the gradient at f (H, W, C), or add it: F times the slope of G."""
        M, gram = self._positions, self._gram
        rows = f.reshape(M, -1)
        run.product(rows, rows, gram, transpose=(True, False))
        given = (gram, self._target, self._slope, partials, 1 / M, 4 * self.factor / M)
        run.kernels.blocks("style_term", SUM_BLOCKS, *given, gram.size)
        run.product(rows, self._slope, df.reshape(M, -1), add=add)


class VariationTerm:
    """factor · sum over channels of unit² (down² + right²) of the picture, see `priors.tv`."""

    def __init__(self, buffers, name, shape, unit, factor):
        self.name, self.factor = name, factor
        self._size = shape[:2]
        self._weights = buffers.filled(np.asarray(unit, np.float64) ** 2)

    def run(self, run, x, dx, partials):
        """Fill dx with the gradient at the picture x (1, 3, H, W)."""
        given = (x, self._weights, dx, partials, self.factor, *self._size)
        run.kernels.blocks("tv_term", SUM_BLOCKS, *given, x.size)
