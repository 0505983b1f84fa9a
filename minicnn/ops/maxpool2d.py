"""Max pooling and its switches.

    forward   y[n,c,p,q]  = max over (r, s) of x[n,c, p u + r - pad, q u + s - pad]
              switch      = r S + s of the winner; among equals the first in row-major order
    backward  dx[n,c,h,w] = Σ dy[n,c,p,q] over the windows whose winner sits at (h, w)

u is the stride. The padding is minus infinity, so a switch never points at it. The derivative of a
maximum is 1 by its winner and 0 by all others, so dy goes to the winner; where windows overlap, a
pixel can win several. With the switches fixed, both are linear: <pool(x), v> = <x, backward(v)>.

    >>> import numpy as np
    >>> y, cache = forward(np.array([[[[1.0, 2, 0, 1], [5, 5, 3, 2]]]]), 2)
    >>> y.tolist(), cache.switches.tolist()
    ([[[[5.0, 3.0]]]], [[[[2, 2]]]])
    >>> backward(np.array([[[[10.0, 20]]]]), cache)
    array([[[[ 0.,  0.,  0.,  0.],
             [10.,  0., 20.,  0.]]]])

`unpool` has the same for the deconvnet, with its other rules for overlaps.
"""

from typing import NamedTuple

from minicnn.backend import array_module
from minicnn.kernels import launch
from minicnn.ops.pad import crop_to, pad_for
from minicnn.ops.shapes import pair, pooled


class Cache(NamedTuple):
    """What `backward` needs: the switches (N, C, P, Q) and the geometry."""

    switches: object
    x_shape: tuple
    kernel: tuple
    stride: tuple
    padding: tuple


def forward(x, kernel, *, stride=None, padding=0, ceil=False) -> tuple:
    """Take the largest value of every window.

    Parameters
    ----------
    x : array (N, C, H, W)
    kernel, stride, padding : int or (int, int)
        (rows, columns); the stride is the kernel by default; the padding is smaller.
    ceil : bool
        Let a last window hang over the edge (`shapes.out_size`).

    Returns
    -------
    y : array (N, C, P, Q)
    cache : Cache
        Switches as uint8 (uint16 for windows of more than 256 pixels).

    Raises
    ------
    MinicnnError
        If no window fits, or one would lie in the padding alone.
    """
    xp = array_module(x)
    kernel, padding = pair(kernel), pair(padding)
    stride = pair(kernel if stride is None else stride)
    P, Q = pooled(x.shape[2:], kernel, stride, padding, ceil=ceil)
    if launch.suit(x) and kernel[0] * kernel[1] <= launch.SWITCHES:
        y, switches = launch.max_pool(x, (P, Q), kernel, stride, padding)
        return y, Cache(switches, x.shape, kernel, stride, padding)
    x_pad = pad_for(x, (P, Q), kernel, stride, padding, -xp.inf)
    y = switches = None
    dtype = xp.uint8 if kernel[0] * kernel[1] <= 256 else xp.uint16
    for index, seen in elements((P, Q), kernel, stride):
        value = x_pad[seen]  # (N, C, P, Q): this element of every window
        if y is None:
            y, switches = value.copy(order="K"), xp.zeros_like(value, dtype=dtype)
            continue
        if max(stride) > 1:  # it is read twice: what lies apart is copied together first
            value = value.copy(order="K")
        # strictly greater, so the first of equals stays; a later winner has the larger index
        xp.maximum(switches, (value > y) * dtype(index), out=switches)
        xp.maximum(y, value, out=y)
    return y, Cache(switches, x.shape, kernel, stride, padding)


def backward(dy, cache: Cache):
    """Return dx (N, C, H, W): each entry of `dy` (N, C, P, Q) at its window's winner, summed."""
    switches, x_shape, kernel, stride, padding = cache
    if launch.suit(dy) and switches.dtype == "uint8":
        return launch.unpool(dy, *cache)
    xp = array_module(dy)
    zeros = xp.zeros_like(dy, shape=x_shape)
    dx_pad = pad_for(zeros, dy.shape[2:], kernel, stride, padding, 0)
    # from the last element to the first: a pixel adds up its windows in row-major order, as the
    # CUDA kernel does, to the same bits but for the sign of zeros
    for index, seen in reversed(list(elements(dy.shape[2:], kernel, stride))):
        dx_seen = dx_pad[seen]  # (N, C, P, Q), a view
        if kernel[0] <= stride[0] and kernel[1] <= stride[1]:  # a pixel is in one window at most
            xp.multiply(dy, switches == index, out=dx_seen)
        else:
            dx_seen += dy * (switches == index)
    return crop_to(dx_pad, x_shape, padding)


def elements(size, kernel, stride):
    """Yield (r S + s, index of what the element sees in all windows), in row-major order."""
    for r in range(kernel[0]):
        for s in range(kernel[1]):
            rows = slice(r, r + stride[0] * (size[0] - 1) + 1, stride[0])
            cols = slice(s, s + stride[1] * (size[1] - 1) + 1, stride[1])
            yield r * kernel[1] + s, (slice(None), slice(None), rows, cols)
