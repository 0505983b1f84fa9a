"""The weights of a network that stand still, as the fast convolutions want them, each made once."""

import weakref

import numpy as np

from minicnn.engine.cpu import columns, products, winograd

SMALL = 256 * 256  # C K of a bank that is kept twice where products are cut up
SMALLER = 128 * 128  # elsewhere; and of one that may be F(6x6), which takes 1.8 times the memory
MANY_PIXELS = 5000  # of a picture for which that pays
SAVED = 0.14  # share of the products that it must save: it saves 0.21 but for what hangs over


def tile_size(w_shape, P, Q):
    """Return the m of F(m, 3) for filters (K, C, 3, 3) that stand still, and P x Q outputs."""
    many = w_shape[0] * w_shape[1] <= SMALLER and P * Q >= MANY_PIXELS
    return winograd.tile_size(P, Q, slack=SAVED) if many else winograd.TILES[0]


class FilterBanks:
    """Transformed weights by the array they come from, which need not be kept for it.

    A Winograd bank serves both directions (`winograd.correlate`, `flipped`). Of small banks there
    are two copies, one for each direction, which is faster, and there may be one bank for each
    `tile_size`.
    """

    def __init__(self):
        self._kept = {}

    def winograd(self, w, P, Q):
        """Return the filters (K, C, 3, 3) as banks (forward, backward), for P x Q outputs."""
        m = tile_size(w.shape, P, Q)
        return self._once(w, ("winograd", m), lambda w: _both_directions(w, m))

    def matrices(self, w, groups):
        """Return the filters as `columns.filter_matrices` does."""
        return self._once(w, groups, lambda w: columns.filter_matrices(w, groups, w.dtype))

    def outline(self, w, P, Q):
        """Make the banks for P x Q outputs; return what stands for filters (K, C, 3, 3) in calls.

        An array of their shape and dtype that has no memory, and NaN wherever it is read; or the
        filters, where banks of other tiles may be wanted of them later.
        """
        bank = self.winograd(w, P, Q)
        if not any(w.strides) or w.shape[0] * w.shape[1] <= SMALLER:
            return w
        outline = np.broadcast_to(w.dtype.type(np.nan), w.shape)
        self._once(outline, ("winograd", tile_size(w.shape, P, Q)), lambda _: bank)
        return outline

    def _once(self, w, kind, make):
        key = (id(w), kind)
        of, made = self._kept.get(key, (lambda: None, None))
        if of() is not w:  # else w has gone, and its id been given to another
            of, made = self._kept[key] = (weakref.ref(w), make(w))
        return made


def _both_directions(w, m):
    U = winograd.transform_filters(w, m, w.dtype)
    exchanged = U.transpose(0, 2, 1)
    if not _twice(w.shape):
        return U, exchanged
    if w.shape[0] % products.PANEL or w.shape[1] % products.PANEL or not products.in_pieces():
        return U, np.ascontiguousarray(exchanged)
    return products.panels(U), products.panels(exchanged)


def bank_bytes(w_shape, P, Q, itemsize=4):
    """Return how many bytes `FilterBanks.winograd` keeps of filters (K, C, 3, 3)."""
    copies = 2 if _twice(w_shape) else 1
    frequencies = (tile_size(w_shape, P, Q) + 2) ** 2
    return copies * frequencies * w_shape[0] * w_shape[1] * itemsize


def _twice(w_shape):
    return w_shape[0] * w_shape[1] <= (SMALL if products.in_pieces() else SMALLER)
