"""The weights of a network that stand still, as the fast convolutions want them, each made once."""

import weakref

import numpy as np

from minicnn.engine.cpu import columns, products, winograd

TILE = 4  # F(6x6) saves little more, and its filters take 1.8 times the memory
SMALL = 256 * 256  # C K of a bank that is kept in panels


class FilterBanks:
    """Transformed weights by the array they come from, which need not be kept for it.

    A Winograd bank serves both directions (`winograd.correlate`, `flipped`). Of small banks there
    are two copies, in panels for each direction, which is faster.
    """

    def __init__(self):
        self._kept = {}

    def winograd(self, w):
        """Return the filters (K, C, 3, 3) as banks (forward, backward)."""
        return self._once(w, "winograd", self._both_directions)

    def matrices(self, w, groups):
        """Return the filters as `columns.filter_matrices` does."""
        return self._once(w, groups, lambda w: columns.filter_matrices(w, groups, w.dtype))

    def outline(self, w):
        """Return what stands for filters (K, C, 3, 3) in calls of `winograd`.

        An array of their shape and dtype that has no memory, and NaN wherever it is read.
        """
        if not any(w.strides):
            return w  # is one
        outline = np.broadcast_to(w.dtype.type(np.nan), w.shape)
        bank = self.winograd(w)
        self._once(outline, "winograd", lambda _: bank)
        return outline

    def _once(self, w, kind, make):
        key = (id(w), kind)
        of, made = self._kept.get(key, (lambda: None, None))
        if of() is not w:  # else w has gone, and its id been given to another
            of, made = self._kept[key] = (weakref.ref(w), make(w))
        return made

    @staticmethod
    def _both_directions(w):
        U = winograd.transform_filters(w, TILE, w.dtype)
        exchanged = U.transpose(0, 2, 1)
        if not _in_panels(w.shape):
            return U, exchanged
        return products.panels(U), products.panels(exchanged)


def bank_bytes(w_shape, itemsize=4):
    """Return how many bytes `FilterBanks.winograd` keeps of filters (K, C, 3, 3)."""
    copies = 2 if _in_panels(w_shape) else 1
    return copies * (TILE + 2) ** 2 * w_shape[0] * w_shape[1] * itemsize


def _in_panels(w_shape):
    K, C = w_shape[:2]
    small = K * C <= SMALL and not (K % products.PANEL or C % products.PANEL)
    return small and products.in_pieces()
