"""Average pooling.

    forward   y[n,c,p,q]  = 1 / count[p,q]  Σ_rs x[n,c, p u + r - pad, q u + s - pad]
    backward  dx[n,c,h,w] = Σ dy[n,c,p,q] / count[p,q] over the windows (p, q) that hold (h, w)

    u is the stride; pixels outside the picture are 0. With `count_padding` (as in Caffe, the
    default of torch) count is the number of pixels of the window within the padded picture: of a
    ceil-mode window that hangs over the padded edge, only the part inside counts. Without it, only
    real pixels count.

A window is summed over its rows, then over its columns: R + S slice additions instead of R S.
"""

from typing import NamedTuple

from minicnn.backend import array_module
from minicnn.kernels import launch
from minicnn.layout import channels_last, empty
from minicnn.ops.shapes import pair, pooled


class Cache(NamedTuple):
    """What `backward` needs: the divisors (P, Q), the geometry, how x lies in memory."""

    count: object
    x_shape: tuple
    kernel: tuple
    stride: tuple
    padding: tuple
    channels_last: bool


def forward(x, kernel=None, *, stride=None, padding=0, ceil=False, count_padding=True) -> tuple:
    """Average every window.

    Parameters
    ----------
    x : array (N, C, H, W)
    kernel : int or (int, int), optional
        (rows, columns); None takes the whole map: global average pooling, P = Q = 1.
    stride : int or (int, int), optional
        The kernel by default.
    padding : int or (int, int)
        Smaller than the kernel.
    ceil : bool
        Let a last window hang over the edge (`shapes.out_size`).
    count_padding : bool
        Whether the zeros of the padding count as pixels.

    Returns
    -------
    y : array (N, C, P, Q), in the memory layout of `x`
    cache : Cache

    Raises
    ------
    MinicnnError
        If no window fits, or one would lie in the padding alone.
    """
    size = x.shape[2:]
    kernel = tuple(size) if kernel is None else pair(kernel)
    stride, padding = pair(kernel if stride is None else stride), pair(padding)
    xp = array_module(x)
    counts = []
    for i, windows in enumerate(pooled(size, kernel, stride, padding, ceil=ceil)):
        low, high = (-padding[i], size[i] + padding[i]) if count_padding else (0, size[i])
        starts = [p * stride[i] - padding[i] for p in range(windows)]
        counts.append([min(start + kernel[i], high) - max(start, low) for start in starts])
    count = xp.outer(*(xp.asarray(c, dtype=x.dtype) for c in counts))  # (P, Q)
    cache = Cache(count, x.shape, kernel, stride, padding, channels_last(x))
    if launch.suit(x):
        return launch.average_pool(x, count, kernel, stride, padding), cache
    y = x
    for i in (0, 1):
        y = _sum_windows(y, 2 + i, count.shape[i], kernel[i], stride[i], padding[i])
    y /= count
    return y, cache


def backward(dy, cache: Cache):
    """Return dx (N, C, H, W) for `dy` (N, C, P, Q), in the memory layout of `x`.

    A GPU has that of `dy`.
    """
    count, x_shape, kernel, stride, padding, last = cache
    if launch.suit(dy):
        return launch.average_unpool(dy, count, x_shape, kernel, stride, padding)
    dx = dy / count
    for i in (0, 1):
        dx = _spread_windows(dx, 2 + i, x_shape[2 + i], kernel[i], stride[i], padding[i], last)
    return dx


def _sum_windows(x, axis, windows, kernel, stride, padding):
    """Sum the windows along one axis: N, C, H, W -> N, C, P, W for the rows."""
    y = array_module(x).zeros_like(x, shape=(*x.shape[:axis], windows, *x.shape[axis + 1 :]))
    for r in range(kernel):
        mine, pixels = _inside(r, axis, windows, x.shape[axis], stride, padding)
        y[mine] += x[pixels]
    return y


def _spread_windows(dy, axis, size, kernel, stride, padding, last):
    """Give each pixel the sum of its windows' `dy` along one axis: `_sum_windows` transposed."""
    dx = empty(dy, (*dy.shape[:axis], size, *dy.shape[axis + 1 :]), last)
    dx.fill(0)
    for r in range(kernel):
        mine, pixels = _inside(r, axis, dy.shape[axis], size, stride, padding)
        dx[pixels] += dy[mine]
    return dx


def _inside(r, axis, windows, size, stride, padding):
    """Index the windows whose r-th pixel lies in the picture, and index those pixels."""
    first = max(0, -((r - padding) // stride))
    end = max(first, min(windows, (size - 1 + padding - r) // stride + 1))
    start = first * stride + r - padding
    before = (slice(None),) * axis
    # up to the last pixel, or none at all where the slice ends before it starts
    stop = start + (end - first - 1) * stride + 1 if end > first else 0
    return (*before, slice(first, end)), (*before, slice(start, stop, stride))
