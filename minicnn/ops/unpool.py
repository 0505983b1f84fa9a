"""Unpooling: the deconvnet's way back through a max pooling, by the switches.

    x[n,c,h,w] = of y[n,c,p,q], over the windows (p, q) whose switch points at (h, w):
      sum        the sum: the adjoint of pooling, that is `maxpool2d.backward`
      max        the entry of the largest magnitude
      overwrite  that of the last window in row-major order
    and 0 where no switch points.

Zeiler & Fergus 2014, arXiv 1311.2901, section 2.1. The rules differ where windows overlap, which
the paper leaves open. Only the first is a gradient.
"""

from minicnn.backend import array_module
from minicnn.errors import MinicnnError
from minicnn.kernels import launch
from minicnn.ops import maxpool2d
from minicnn.ops.pad import crop_to, pad_for

OVERLAPS = ("sum", "max", "overwrite")


def unpool(y, cache: maxpool2d.Cache, *, overlap: str = "sum"):
    """Place every entry of `y` where its window's maximum was; zero elsewhere.

    Parameters
    ----------
    y : array (N, C, P, Q)
    cache : maxpool2d.Cache
    overlap : {"sum", "max", "overwrite"}
        What to do where several windows have the same winner.

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
    if overlap == "sum":
        return maxpool2d.backward(y, cache)
    switches, x_shape, kernel, stride, padding = cache
    if launch.suit(y) and switches.dtype == "uint8":
        return launch.unpool(y, *cache, OVERLAPS.index(overlap))
    xp, size = array_module(y), y.shape[2:]
    zeros = xp.zeros_like(y, shape=x_shape)
    x_pad = pad_for(zeros, size, kernel, stride, padding, 0)
    # a pixel is the bottom right corner (the largest index) of the first window that holds it:
    # from the largest index to the smallest, windows are met in row-major order
    for index, seen in reversed(list(maxpool2d.elements(size, kernel, stride))):
        mine, there = switches == index, x_pad[seen]  # both (N, C, P, Q)
        if overlap == "max":
            mine &= abs(y) > abs(there)
        there[...] = xp.where(mine, y, there)
    return crop_to(x_pad, x_shape, padding)


def drop_zero_windows(y, cache):
    """Return the cache without switches where the maximum is not positive, so none leads there.

    After a ReLU all pixels of such a window tie at 0, and the switch at the first of them is
    arbitrary: a gradient that comes there is stopped by the ReLU's mask, but the deconvnet has no
    mask and would place signal there. y (N, C, P, Q) are the pooled values that came with the
    `maxpool2d.Cache`.
    """
    switches = cache.switches
    if cache.kernel[0] * cache.kernel[1] >= array_module(y).iinfo(switches.dtype).max:
        switches = switches.astype("uint32")
    nowhere = array_module(y).iinfo(switches.dtype).max  # no window has so many pixels
    switches = array_module(y).where(y > 0, switches, switches.dtype.type(nowhere))
    return cache._replace(switches=switches)


def zero_windows(y):
    """Count the windows whose maximum is exactly 0: after a ReLU all their pixels tie there."""
    return int(array_module(y).count_nonzero(y == 0))
