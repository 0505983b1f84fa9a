"""The weights of a network that stand still, as the fast convolutions want them, each made once."""

import weakref
from functools import cached_property

import numpy as np

from minicnn.engine.cpu import aligned, columns, products, winograd

SMALL = 256 * 256  # C K of filters that are kept twice where products are cut up
SMALLER = 128 * 128  # elsewhere; and of one that may be F(6x6), which takes 1.8 times the memory
MANY_PIXELS = 5000  # of a picture for which that pays
SAVED = 0.14  # share of the products that it must save: it saves 0.21 but for what hangs over
FEW_PIXELS = 256 * 256  # of a picture for which large filters may be kept twice, too


def tile_size(w_shape, P, Q):
    """Return the m of F(m, 3) for filters (K, C, 3, 3) that stand still, and P x Q outputs."""
    many = w_shape[0] * w_shape[1] <= SMALLER and P * Q >= MANY_PIXELS
    return winograd.tile_size(P, Q, slack=SAVED) if many else winograd.TILES[0]


class Bank:
    """Filters U (frequencies, C, K) for both directions (`winograd.correlate`, `flipped`).

    `forward` and `backward` are U and U with its last two axes exchanged, or their
    `products.panels`. `twice` is faster: the latter is a copy, not a view.
    """

    def __init__(self, U, twice):
        self.twice = twice
        self.forward = products.panels(U) if twice and products.fills_panels(*U.shape[1:]) else U

    @cached_property
    def backward(self):
        """The copy or view for the way back, made when it is first asked for."""
        if self.forward.ndim == 4:
            return products.exchanged(self.forward)
        view = self.forward.transpose(0, 2, 1)
        return aligned.copy(view) if self.twice else view

    def let_go(self):
        """Let go of `backward`, which is made again when it is asked for."""
        vars(self).pop("backward", None)

    def plain(self):
        """Return U."""
        return self.forward if self.forward.ndim == 3 else products.joined(self.forward)


class _Outline(np.ndarray):
    """What `FilterBanks.outline` returns; with its `bank`, which no copy or view of it has."""

    bank = None


class FilterBanks:
    """Transformed weights by the array they come from, which need not be kept for it.

    There may be one `Bank` for each `tile_size`; an `outline` has its own.
    """

    def __init__(self):
        self._kept = {}

    def winograd(self, w, P, Q):
        """Return the `Bank` of filters (K, C, 3, 3), or of their outline, for P x Q outputs."""
        if isinstance(w, _Outline):
            return w.bank
        m = tile_size(w.shape, P, Q)
        return self._once(w, ("winograd", m), lambda w: _bank(w, m, _twice(w.shape)))

    def matrices(self, w, groups):
        """Return the filters as `columns.filter_matrices` does."""
        return self._once(w, groups, lambda w: columns.filter_matrices(w, groups, w.dtype))

    def outline(self, w, P, Q, few_pixels):
        """Make the bank for P x Q outputs; return what stands for filters (K, C, 3, 3) in calls.

        An array of their shape and dtype that has no memory, and NaN wherever it is read; or the
        filters, where banks of other tiles may be wanted of them later. In their place `w` may be
        the outline for pictures of another size. With `few_pixels` the bank may be kept twice.
        """
        if w.shape[0] * w.shape[1] <= SMALLER:
            self.winograd(w, P, Q)
            return w
        twice = _twice(w.shape) or (few_pixels and products.fills_panels(*w.shape[:2]))
        if not isinstance(w, _Outline):
            bank = _bank(w, tile_size(w.shape, P, Q), twice)
        elif w.bank.twice == twice:
            return w
        else:
            bank = Bank(w.bank.plain(), twice)
        outline = np.broadcast_to(w.dtype.type(np.nan), w.shape).view(_Outline)
        outline.bank = bank
        return outline

    def _once(self, w, kind, make):
        key = (id(w), kind)
        of, made = self._kept.get(key, (lambda: None, None))
        if of() is not w:  # else w has gone, and its id been given to another
            of, made = self._kept[key] = (weakref.ref(w), make(w))
        return made


def _bank(w, m, twice):
    return Bank(winograd.transform_filters(w, m, w.dtype), twice)


def bank_bytes(w_shape, P, Q, itemsize=4):
    """Return how many bytes the `Bank` of filters (K, C, 3, 3) keeps for a forward pass."""
    return (tile_size(w_shape, P, Q) + 2) ** 2 * w_shape[0] * w_shape[1] * itemsize


def _twice(w_shape):
    return w_shape[0] * w_shape[1] <= (SMALL if products.in_pieces() else SMALLER)
