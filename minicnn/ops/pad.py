"""Constant padding and its adjoint, cropping: around a picture, or as far as its windows reach."""

from minicnn.backend import array_module
from minicnn.ops.shapes import pair


def pad(x, padding, value=0):
    """Return `x` (N, C, H, W) with `padding` rows and columns of `value` on each side."""
    rows, cols = pair(padding)
    if rows == cols == 0:
        return x
    xp = array_module(x)
    return xp.pad(x, ((0, 0), (0, 0), (rows, rows), (cols, cols)), constant_values=value)


def crop(x, padding):
    """Return the view of `x` (N, C, H, W) without its padding: the adjoint of `pad`."""
    rows, cols = pair(padding)
    return x[:, :, rows : x.shape[2] - rows, cols : x.shape[3] - cols]


def pad_for(x, size, kernel, stride, padding, value):
    """Pad so that every window of an output of `size` (P, Q) lies inside."""
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


def crop_to(x_pad, x_shape, padding):
    """Return the view (N, C, H, W) of what `pad_for` has padded."""
    (top, left), (H, W) = padding, x_shape[2:]
    return x_pad[:, :, top : top + H, left : left + W]
