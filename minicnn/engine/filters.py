"""The weights of a network that stand still, as the fast convolutions want them, each made once."""

from minicnn.engine import columns, products, winograd

TILE = 4  # F(6x6) saves little more, and its filters take 1.8 times the memory
SMALL = 256 * 256  # C K of a bank that is kept in panels


class FilterBanks:
    """Transformed weights by the array they come from.

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

    def _once(self, w, kind, make):
        key = (id(w), kind)
        if key not in self._kept:
            self._kept[key] = (w, make(w))  # holding w keeps its id from being given away
        return self._kept[key][1]

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
    return K * C <= SMALL and not (K % products.PANEL or C % products.PANEL)
