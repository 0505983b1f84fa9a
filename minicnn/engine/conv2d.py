"""The three functions of `ops.conv2d`, fast on the CPU: same arguments, same results.

3x3 layers of stride 1 go by Winograd's filtering (`engine.winograd`); the others by im2col as in
`ops.conv2d`, only that the result lies in memory as (N, H, W, C), the layout that everything in
this folder likes:    y = Xᵀ wᵀ,    dw = dyᵀ Xᵀ    with X = im2col(x), (C R S, P Q).

A `Network` uses this module instead of `ops.conv2d` once `net.convolution` is set to it.
"""

import numpy as np

from minicnn.engine import winograd
from minicnn.ops import conv2d
from minicnn.ops.im2col import im2col, pad
from minicnn.ops.shapes import pair


def forward(x, w, b=None, *, stride=1, padding=0, dilation=1, groups=1):
    """Convolve; see `ops.conv2d.forward`."""
    P, Q = conv2d.out_shape(x.shape, w.shape, stride, padding, dilation, groups)
    if winograd.suits(w.shape, stride, dilation, groups):
        return winograd.correlate(x, w, b, pair(padding)), x
    K = w.shape[0]
    y = np.empty((len(x), P, Q, K), x.dtype)
    for n, cols in _columns(x, w.shape, stride, padding, dilation, groups):
        for g in range(groups):
            k = slice(g * K // groups, (g + 1) * K // groups)
            y[n].reshape(P * Q, K)[:, k] = cols[g].T @ w[k].reshape(K // groups, -1).T
    if b is not None:
        y += b
    return y.transpose(0, 3, 1, 2), x


def backward_data(dy, w, x_shape, *, stride=1, padding=0, dilation=1, groups=1):
    """Return dx; see `ops.conv2d.backward_data`."""
    if winograd.suits(w.shape, stride, dilation, groups) and max(pair(padding)) <= 2:
        flipped = w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
        return winograd.correlate(dy, flipped, None, tuple(2 - p for p in pair(padding)))
    return conv2d.backward_data(
        dy, w, x_shape, stride=stride, padding=padding, dilation=dilation, groups=groups
    )


def backward_params(dy, x, w_shape, *, stride=1, padding=0, dilation=1, groups=1):
    """Return (dw, db); see `ops.conv2d.backward_params`."""
    db = dy.sum(axis=(0, 2, 3))
    if winograd.suits(w_shape, stride, dilation, groups):
        return winograd.filter_gradient(x, dy, pair(padding)), db
    K = w_shape[0]
    dw = np.zeros((groups, K // groups, int(np.prod(w_shape[1:]))), dy.dtype)
    dy = dy.transpose(0, 2, 3, 1).reshape(len(dy), -1, groups, K // groups)
    for n, cols in _columns(x, w_shape, stride, padding, dilation, groups):
        for g in range(groups):
            dw[g] += (cols[g] @ dy[n, :, g]).T
    return dw.reshape(w_shape), db


def _columns(x, w_shape, stride, padding, dilation, groups):
    """Yield (n, columns (G, C/G R S, P Q)) of each picture."""
    x = pad(x, padding)
    for n in range(len(x)):
        cols = im2col(x[n : n + 1], w_shape[2:], stride=stride, dilation=dilation)
        yield n, cols.reshape(groups, int(np.prod(w_shape[1:])), -1)
