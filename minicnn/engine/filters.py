"""The weights of a network that stand still, as the fast convolutions want them, each made once."""

import numpy as np

from minicnn.engine import columns, winograd

TILE = 4  # F(6x6) saves little more, and its filters take 1.8 times the memory
SMALL = 256 * 256  # C K of a bank that is kept twice


class FilterBanks:
    """Transformed weights by the array they come from.

    A Winograd bank serves both directions (`winograd.correlate`, `flipped`); of small banks a
    second copy with the last axes exchanged is kept, which BLAS reads faster.
    """

    def __init__(self):
        self._kept = {}

    def winograd(self, w):
        """Return the filters (K, C, 3, 3) as (U (frequencies, C, K), U with its axes exchanged)."""
        return self._once(w, "winograd", self._both_directions)

    def matrices(self, w, groups):
        """Return the filters as `columns.filter_matrices` does."""
        return self._once(w, groups, lambda w: columns.filter_matrices(w, groups, w.dtype))

    def _once(self, w, kind, make):
        key = (id(w), kind)
        if key not in self._kept:
            self._kept[key] = (w, make(w))  # holding w keeps its id from being given away
        return self._kept[key][1]

    @staticmethod
    def _both_directions(w):
        U = winograd.transform_filters(w, TILE, w.dtype)
        exchanged = U.transpose(0, 2, 1)
        small = w.shape[0] * w.shape[1] <= SMALL
        return U, np.ascontiguousarray(exchanged) if small else exchanged
