"""The three functions of `ops.conv2d`, fast on the CPU: same arguments, same results.

3x3 layers of stride 1 go by Winograd's filtering (`engine.winograd`); the others by im2col as in
`ops.conv2d`, only that the result lies in memory as (N, H, W, C), the layout that everything in
this folder likes:    y = Xᵀ wᵀ,    dw = dyᵀ Xᵀ    with X = im2col(x), (C R S, P Q).

A `Network` computes with a `FastConvolution` once `net.convolution` is set to one.
"""

import numpy as np

from minicnn.engine import winograd
from minicnn.engine.threads import parallel_map
from minicnn.ops import conv2d
from minicnn.ops.im2col import im2col, pad
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
        K = w.shape[0]
        y = np.empty((len(x), P * Q, groups, K // groups), x.dtype)
        matrices = w.reshape(groups, K // groups, -1)

        def strip(item):
            n, rows, cols = item
            for g in range(groups):
                np.matmul(cols[g].T, matrices[g].T, out=y[n, rows, g])

        parallel_map(strip, _columns(x, w.shape, P, Q, stride, padding, dilation, groups))
        y = y.reshape(len(x), P, Q, K)
        if b is not None:
            y += b
        return y.transpose(0, 3, 1, 2), x

    def backward_data(self, dy, w, x_shape, *, stride=1, padding=0, dilation=1, groups=1):
        """Return dx; see `ops.conv2d.backward_data`."""
        if winograd.suits(w.shape, stride, dilation, groups) and max(pair(padding)) <= 2:
            m = winograd.tile_size(*x_shape[2:])
            filters = self._filters(w, m, dy.dtype, flipped=True)
            return winograd.correlate(dy, filters, None, tuple(2 - p for p in pair(padding)))
        return conv2d.backward_data(
            dy, w, x_shape, stride=stride, padding=padding, dilation=dilation, groups=groups
        )

    def backward_params(self, dy, x, w_shape, *, stride=1, padding=0, dilation=1, groups=1):
        """Return (dw, db); see `ops.conv2d.backward_params`."""
        db = dy.sum(axis=(0, 2, 3))
        if winograd.suits(w_shape, stride, dilation, groups):
            return winograd.filter_gradient(x, dy, pair(padding)), db
        K, (P, Q) = w_shape[0], dy.shape[2:]
        dw = np.zeros((groups, K // groups, int(np.prod(w_shape[1:]))), dy.dtype)
        dy = dy.transpose(0, 2, 3, 1).reshape(len(dy), P * Q, groups, K // groups)
        for n, rows, cols in _columns(x, w_shape, P, Q, stride, padding, dilation, groups):
            for g in range(groups):
                dw[g] += (cols[g] @ dy[n, rows, g]).T
        return dw.reshape(w_shape), db

    def _filters(self, w, m, dtype, flipped):
        """Return the transformed filters, those of the data gradient if `flipped`."""
        key = (id(w), m, flipped)
        if key in self._transformed:
            return self._transformed[key][1]
        taps = w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3) if flipped else w
        filters = winograd.transform_filters(taps, m, dtype)
        if self._frozen:
            self._transformed[key] = (w, filters)  # holding w keeps its id from being given away
        return filters


def _columns(x, w_shape, P, Q, stride, padding, dilation, groups):
    """Yield (picture, slice of output pixels, columns (G, C/G R S, pixels)) strip by strip."""
    x = pad(x, padding)
    size = int(np.prod(w_shape[1:])) * groups * Q * x.itemsize
    for n in range(len(x)):
        for p0, p1 in conv2d.row_ranges(size, P):
            cols = im2col(
                x[n : n + 1], w_shape[2:], stride=stride, dilation=dilation, rows=(p0, p1)
            )
            yield n, slice(p0 * Q, p1 * Q), cols.reshape(groups, -1, (p1 - p0) * Q)
