"""The three functions of `ops.conv2d`, fast on the CPU: same arguments, same results.

3x3 layers of stride 1 go by Winograd's filtering (`engine.winograd`), the others by im2col with
the channels last (`engine.columns`).

A `Network` computes with a `FastConvolution` once `net.convolution` is set to one.
"""

from minicnn.engine import columns, winograd
from minicnn.ops import conv2d
from minicnn.ops.shapes import pair


class FastConvolution:
    """Stands in for the module `ops.conv2d`.

    Parameters
    ----------
    frozen : bool
        The weights will not change any more: transform each of them once and keep the result.
        While training, they are transformed anew in every call.
    """

    def __init__(self, *, frozen=False):
        self._frozen = frozen
        self._transformed = {}

    def forward(self, x, w, b=None, *, stride=1, padding=0, dilation=1, groups=1):
        """Convolve; see `ops.conv2d.forward`."""
        P, Q = conv2d.out_shape(x.shape, w.shape, stride, padding, dilation, groups)
        if winograd.suits(w.shape, stride, dilation, groups):
            filters = self._filters(w, winograd.tile_size(P, Q), x.dtype, flipped=False)
            return winograd.correlate(x, filters, b, pair(padding)), x
        W = self._matrices(w, groups, x.dtype)
        geometry = {"stride": stride, "padding": padding, "dilation": dilation}
        return columns.correlate(x, W, b, w.shape[2:], (P, Q), **geometry), x

    def backward_data(self, dy, w, x_shape, *, stride=1, padding=0, dilation=1, groups=1):
        """Return dx; see `ops.conv2d.backward_data`."""
        if winograd.suits(w.shape, stride, dilation, groups) and max(pair(padding)) <= 2:
            m = winograd.tile_size(*x_shape[2:])
            filters = self._filters(w, m, dy.dtype, flipped=True)
            return winograd.correlate(dy, filters, None, tuple(2 - p for p in pair(padding)))
        W = self._matrices(w, groups, dy.dtype)
        geometry = {"stride": stride, "padding": padding, "dilation": dilation}
        return columns.correlate_adjoint(dy, W, w.shape[2:], x_shape, **geometry)

    def backward_params(self, dy, x, w_shape, *, stride=1, padding=0, dilation=1, groups=1):
        """Return (dw, db); see `ops.conv2d.backward_params`."""
        db = dy.sum(axis=(0, 2, 3))
        if winograd.suits(w_shape, stride, dilation, groups):
            return winograd.filter_gradient(x, dy, pair(padding)), db
        geometry = {"stride": stride, "padding": padding, "dilation": dilation}
        return columns.filter_gradient(x, dy, w_shape, groups=groups, **geometry), db

    def _filters(self, w, m, dtype, flipped):
        """Return the transformed filters, those of the data gradient if `flipped`."""
        taps = w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3) if flipped else w
        return self._kept(w, (m, flipped), lambda: winograd.transform_filters(taps, m, dtype))

    def _matrices(self, w, groups, dtype):
        """Return the filters as matrices."""
        return self._kept(w, groups, lambda: columns.filter_matrices(w, groups, dtype))

    def _kept(self, w, kind, make):
        """Return make(), from the last time if the weights are frozen."""
        if not self._frozen:
            return make()
        key = (id(w), kind)
        if key not in self._transformed:
            self._transformed[key] = (w, make())  # holding w keeps its id from being given away
        return self._transformed[key][1]
