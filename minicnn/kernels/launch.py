"""What the operations hand to the kernels: arguments and results of their own code below the call.

An operation calls these where `suit(x)`: arrays of CuPy, float32 or float64. Layouts: a map that is
channels-last in memory stays so in the poolings; everything else is made contiguous.
"""

import sys

import numpy as np

from minicnn import layout
from minicnn.backend import array_module
from minicnn.kernels.loader import SUM_BLOCKS, address, lanes, module

SHARE = 64  # blocks for each of many products of vectors: fixed, as SUM_BLOCKS is
SWITCHES = 256  # pixels of the largest window whose switches are bytes


def suit(x):
    """Return whether the kernels can work on `x`."""
    return array_module(x) is not np and x.dtype in ("float32", "float64")


def release():
    """Give memory of CuPy's pool that nothing uses back to the devices, where there is a pool."""
    if "cupy" in sys.modules:
        sys.modules["cupy"].get_default_memory_pool().free_all_blocks()


def im2col(x, cols, *, stride, dilation, first_row):
    """Fill `cols` (N, C, R, S, p, Q) with the windows of the padded `x` (N, C, H, W)."""
    x = array_module(x).ascontiguousarray(x)
    _, _, R, S, p, Q = cols.shape
    geometry = (*x.shape[2:], R, S, *stride, *dilation, first_row, p, Q)
    _module(x).each("im2col", cols.size, x, cols, *geometry)


def add_columns(dx, cols, *, stride, dilation, first_row):
    """Add `cols` (N, C, R, S, p, Q) to the padded `dx` (N, C, H, W), contiguous, in place."""
    N, C, R, S, p, Q = cols.shape
    H, W = dx.shape[2:]
    top = first_row * stride[0]
    rows = (p - 1) * stride[0] + (R - 1) * dilation[0] + 1
    geometry = (H, W, R, S, *stride, *dilation, first_row, p, Q, top, rows)
    cols = array_module(cols).ascontiguousarray(cols)
    _module(dx).each("add_columns", N * C * rows * W, cols, dx, *geometry)


def max_pool(x, size, kernel, stride, padding):
    """Return (y, switches), both (N, C, P, Q), for an output of `size`."""
    x, inner = _in_memory_order(x)
    y = layout.empty(x, (*x.shape[:2], *size), inner > 1)
    switches = layout.empty(x, y.shape, inner > 1, np.uint8)
    geometry = (*x.shape[2:], inner, *kernel, *stride, *padding, *size)
    _in_lanes("max_pool", y, (x, y, switches), *geometry)
    return y, switches


def unpool(y, switches, x_shape, kernel, stride, padding, overlap=0):
    """Return x of `x_shape`; `overlap` is the place of the rule in `unpool.OVERLAPS`."""
    y, inner = _in_memory_order(y)
    switches = layout.laid_out(switches, inner > 1)
    x = layout.empty(y, (*y.shape[:2], *x_shape[2:]), inner > 1)
    geometry = (*x_shape[2:], inner, *kernel, *stride, *padding, *y.shape[2:], overlap)
    _in_lanes("unpool", x, (y, switches, x), *geometry)
    return x


def average_pool(x, count, kernel, stride, padding):
    """Return y (N, C, P, Q), divided by `count` (P, Q)."""
    return _average("average_pool", x, count, count.shape, x.shape, kernel, stride, padding)


def average_unpool(dy, count, x_shape, kernel, stride, padding):
    """Return dx of `x_shape` for `dy` (N, C, P, Q), divided by `count` (P, Q)."""
    return _average("average_unpool", dy, count, x_shape[2:], x_shape, kernel, stride, padding)


def dot(a, b):
    """Return the sum of a·b for vectors (n,), in float64 and in a fixed order: an array (1,)."""
    xp = array_module(a)
    partials, sums = xp.empty(SUM_BLOCKS, xp.float64), xp.empty(1, xp.float64)
    run = _module(a)
    run.blocks("dot", SUM_BLOCKS, a, b, partials, a.size)
    run.blocks("total", 1, partials, xp.ones(1), sums, SUM_BLOCKS)
    return sums


def dots(pairs):
    """Return the sums of a·b for pairs of vectors (n,), as `dot` does: an array (pairs,)."""
    a, count = pairs[0][0], len(pairs)
    xp, run = array_module(a), _module(a)
    partials, sums = xp.empty((count, SHARE), xp.float64), xp.empty(count, xp.float64)
    run.blocks("dots", count * SHARE, _addresses(xp, pairs), partials, count, a.size)
    run.blocks("total", count, partials, xp.ones(count), sums, SHARE)
    return sums


def combined(factors, vectors):
    """Return the sum of factors times vectors (n,), which is taken in float64."""
    xp, like = array_module(vectors[0]), vectors[0]
    out, factors = xp.empty_like(like), xp.asarray(np.array(factors, np.float64))
    addresses = _addresses(xp, [vectors])
    _module(like).each("combine", out.size, addresses, factors, out, len(vectors))
    return out


def add_scaled(y, factor, x):
    """Y <- y + factor·x for vectors (n,), in place."""
    _module(y).each("add_scaled", y.size, y, x, factor)


def _average(name, source, count, size, x_shape, kernel, stride, padding):
    source, inner = _in_memory_order(source)
    out = layout.empty(source, (*source.shape[:2], *size), inner > 1)
    geometry = (*x_shape[2:], inner, *kernel, *stride, *padding, *count.shape)
    _in_lanes(name, out, (source, count, out), *geometry)
    return out


def _in_lanes(name, out, arrays, H, W, inner, *geometry):
    """Run a kernel of poolings, whose threads fill some neighbours in `out` each."""
    arrays = [_flat(x) for x in arrays]
    wide = lanes(inner, *arrays)
    _module(out).each(name, out.size // wide, *arrays, H, W, inner, *geometry, wide)


def _addresses(xp, rows):
    return xp.asarray(np.array([[address(x) for x in row] for row in rows], np.uint64))


def _module(x):
    return module(x.dtype.name)


def _in_memory_order(x):
    """Return x, contiguous in one of two layouts, and C if that is (N, H, W, C), else 1."""
    if x.flags.c_contiguous or not x.transpose(0, 2, 3, 1).flags.c_contiguous:
        return array_module(x).ascontiguousarray(x), 1
    return x, x.shape[1]


def _flat(x):
    """Return the contiguous memory of x, whichever its layout."""
    return x.ravel() if x.flags.c_contiguous else x.transpose(0, 2, 3, 1).ravel()
