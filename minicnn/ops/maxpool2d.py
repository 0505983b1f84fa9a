"""Max pooling, its switches, and unpooling by them.

    forward   y[n,c,p,q]  = max over (r, s) of x[n,c, p u + r - pad, q u + s - pad]
              switch      = r S + s of the winner; among equals the first in row-major order
    backward  dx[n,c,h,w] = Σ dy[n,c,p,q] over the windows whose winner sits at (h, w)

    u is the stride. The padding is minus infinity, so a switch never points at it.

With the switches fixed, `backward` is linear: <pool(x), v> = <x, backward(v)>, and it is the
unpooling of the deconvnet (Zeiler & Fergus 2014, arXiv 1311.2901, section 2.1). Where windows
overlap, two of them may have the same winner: the sum is the adjoint; `unpool` offers others.
"""

from typing import NamedTuple

from minicnn.backend import array_module
from minicnn.errors import MinicnnError
from minicnn.kernels import launch
from minicnn.ops.shapes import out_size, pair

OVERLAPS = ("sum", "max", "overwrite")


class Cache(NamedTuple):
    """What unpooling needs: the switches (N, C, P, Q) and the geometry."""

    switches: object
    x_shape: tuple
    kernel: tuple
    stride: tuple
    padding: tuple


def forward(x, kernel, *, stride=None, padding=0, ceil=False):
    """Take the largest value of every window.

    Parameters
    ----------
    x : array (N, C, H, W)
    kernel, stride, padding : int or (int, int)
        (rows, columns); the stride is the kernel by default; the padding is at most half of it.
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
        If no window fits, or a window could lie in the padding alone.
    """
    xp = array_module(x)
    kernel, padding = pair(kernel), pair(padding)
    stride = pair(kernel if stride is None else stride)
    if padding[0] > kernel[0] // 2 or padding[1] > kernel[1] // 2:
        raise MinicnnError(f"pooling padding {padding} exceeds half of the window {kernel}")
    P, Q = (out_size(x.shape[2 + i], kernel[i], stride[i], padding[i], ceil=ceil) for i in (0, 1))
    if launch.suit(x) and kernel[0] * kernel[1] <= launch.SWITCHES:
        y, switches = launch.max_pool(x, (P, Q), kernel, stride, padding)
        return y, Cache(switches, x.shape, kernel, stride, padding)
    x_pad = _pad_for(x, (P, Q), kernel, stride, padding, -xp.inf)
    y = switches = None
    dtype = xp.uint8 if kernel[0] * kernel[1] <= 256 else xp.uint16
    for index, where in _windows((P, Q), kernel, stride):
        value = x_pad[where]
        if y is None:
            y, switches = value.copy(order="K"), xp.zeros_like(value, dtype=dtype)
            continue
        # strictly greater, so the first of equals stays; a later winner has the larger index
        xp.maximum(switches, (value > y) * dtype(index), out=switches)
        xp.maximum(y, value, out=y)
    return y, Cache(switches, x.shape, kernel, stride, padding)


def backward(dy, cache):
    """Return dx (N, C, H, W): each entry of `dy` (N, C, P, Q) at its window's winner, summed."""
    return unpool(dy, cache, overlap="sum")


def unpool(y, cache, *, overlap="sum"):
    """Place every entry of `y` where its window's maximum was; zero elsewhere.

    Parameters
    ----------
    y : array (N, C, P, Q)
    cache : Cache
    overlap : {"sum", "max", "overwrite"}
        What to do where several windows have the same winner: add (the exact adjoint), keep the
        entry of the largest magnitude, or keep that of the last window in row-major order.

    Returns
    -------
    x : array (N, C, H, W), dtype of `y`

    Raises
    ------
    MinicnnError
        If there is no such overlap rule.
    """
    if overlap not in OVERLAPS:
        raise MinicnnError(f"no overlap rule {overlap!r}; the rules are {', '.join(OVERLAPS)}")
    xp = array_module(y)
    switches, x_shape, kernel, stride, padding = cache
    if launch.suit(y) and switches.dtype == "uint8":
        return launch.unpool(y, *cache, OVERLAPS.index(overlap))
    size = y.shape[2:]
    x_pad = _pad_for(xp.zeros_like(y, shape=x_shape), size, kernel, stride, padding, 0)
    # a pixel is the bottom right corner (the largest index) of the first window that holds it:
    # from the largest index to the smallest, windows are met in row-major order
    for index, where in reversed(list(_windows(size, kernel, stride))):
        mine = switches == index
        there = x_pad[where]
        if overlap == "sum":
            there += y * mine
        elif overlap == "max":
            there[...] = xp.where(mine & (abs(y) > abs(there)), y, there)
        else:
            there[...] = xp.where(mine, y, there)
    H, W = x_shape[2:]
    return x_pad[:, :, padding[0] : padding[0] + H, padding[1] : padding[1] + W]


def drop_zero_windows(y, cache):
    """Return the cache without switches where the maximum is not positive.

    After a ReLU all pixels of such a window tie at 0, and the switch at the first of them is
    arbitrary: a gradient that comes there is stopped by the ReLU's mask, but the deconvnet has no
    mask and would place signal there.

    Parameters
    ----------
    y : array (N, C, P, Q)
        The pooled values that came with `cache`.
    cache : Cache

    Returns
    -------
    Cache
        Unpooling by it leaves out the dropped windows.
    """
    switches = cache.switches
    if cache.kernel[0] * cache.kernel[1] >= array_module(y).iinfo(switches.dtype).max:
        switches = switches.astype("uint32")
    nowhere = array_module(y).iinfo(switches.dtype).max  # no window has so many pixels
    switches = array_module(y).where(y > 0, switches, switches.dtype.type(nowhere))
    return cache._replace(switches=switches)


def zero_windows(y):
    """Count the windows whose maximum is exactly 0: after a ReLU all their pixels tie there."""
    return int((y == 0).sum())


def _pad_for(x, size, kernel, stride, padding, value):
    """Pad so that every window of an output of `size` lies inside."""
    behind = [
        max(0, (size[i] - 1) * stride[i] + kernel[i] - padding[i] - x.shape[2 + i]) for i in (0, 1)
    ]
    if not (any(padding) or any(behind)):
        return x
    (H, W), (top, left) = x.shape[2:], padding
    size = (top + H + behind[0], left + W + behind[1])
    x_pad = array_module(x).full_like(x, value, shape=(*x.shape[:2], *size))  # in the layout of x
    x_pad[:, :, top : top + H, left : left + W] = x
    return x_pad


def _windows(size, kernel, stride):
    """Yield (index, slice) for every element of the window, in row-major order."""
    for r in range(kernel[0]):
        for s in range(kernel[1]):
            rows = slice(r, r + stride[0] * (size[0] - 1) + 1, stride[0])
            cols = slice(s, s + stride[1] * (size[1] - 1) + 1, stride[1])
            yield r * kernel[1] + s, (slice(None), slice(None), rows, cols)
