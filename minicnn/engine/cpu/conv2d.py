"""The three functions of `ops.conv2d`, fast on the CPU: same arguments, same results.

3x3 layers of stride 1 go by Winograd's filtering (`winograd`), the others by im2col with
the channels last (`columns`).

`Network.forward` takes a `FastConvolution` as its `convolution`.
"""

from minicnn.engine.cpu import columns, products, winograd
from minicnn.engine.cpu.filters import FilterBanks
from minicnn.ops.shapes import convolved, pair


class FastConvolution:
    """Stands in for the module `ops.conv2d`.

    `frozen` weights will not change any more: each is transformed once and kept so, in `filters`.
    While training, they are transformed anew in every call.
    """

    def __init__(self, *, frozen=False):
        self.filters = FilterBanks() if frozen else None

    def forward(self, x, w, b=None, *, stride=1, padding=0, dilation=1, groups=1):
        """Convolve; see `ops.conv2d.forward`."""
        P, Q = convolved(x.shape, w.shape, stride, padding, dilation, groups)
        if winograd.suits(w.shape, stride, dilation, groups):
            if self.filters:
                U = self.filters.winograd(w, P, Q).forward
            else:
                U = _transformed(w, winograd.tile_size(P, Q), x.dtype)
            return winograd.correlate(x, U, b, pair(padding)), x
        W = self._matrices(w, groups)
        geometry = {"stride": stride, "padding": padding, "dilation": dilation}
        return columns.correlate(x, W, b, w.shape[2:], (P, Q), **geometry), x

    def backward_data(self, dy, w, x_shape, *, stride=1, padding=0, dilation=1, groups=1):
        """Return dx; see `ops.conv2d.backward_data`."""
        if winograd.suits(w.shape, stride, dilation, groups) and max(pair(padding)) <= 2:
            if self.filters:
                U = self.filters.winograd(w, *dy.shape[2:]).backward
            else:
                U = _transformed(w.swapaxes(0, 1), winograd.tile_size(*x_shape[2:]), dy.dtype)
            border = tuple(2 - p for p in pair(padding))
            return winograd.correlate(dy, U, None, border, flipped=True)
        W = self._matrices(w, groups)
        geometry = {"stride": stride, "padding": padding, "dilation": dilation}
        return columns.correlate_adjoint(dy, W, w.shape[2:], x_shape, **geometry)

    def backward_params(self, dy, x, w_shape, *, stride=1, padding=0, dilation=1, groups=1):
        """Return (dw, db); see `ops.conv2d.backward_params`."""
        db = dy.sum(axis=(0, 2)).sum(axis=1)  # the channels lie last: rows are long runs
        if winograd.suits(w_shape, stride, dilation, groups):
            return winograd.filter_gradient(x, dy, pair(padding)), db
        geometry = {"stride": stride, "padding": padding, "dilation": dilation}
        return columns.filter_gradient(x, dy, w_shape, groups=groups, **geometry), db

    def _matrices(self, w, groups):
        if self.filters:
            return self.filters.matrices(w, groups)
        return columns.filter_matrices(w, groups, w.dtype)


def _transformed(w, m, dtype):
    """Return filters for one use, in panels where that pays."""
    return winograd.transform_filters(w, m, dtype, products.fills_panels(len(w)))
