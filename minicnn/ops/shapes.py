"""Sizes of sliding windows.

    floor: P = floor((H + 2 pad - span) / stride) + 1        span = dilation (R - 1) + 1
    ceil:  P = ceil (...) + 1, less a last window that would start in the padding behind the
           input (Caffe's rule)

Source: Dumoulin & Visin 2016, arXiv 1603.07285, relationships 6 and 15.
"""

from minicnn.errors import MinicnnError


def pair(value):
    """Return `value` as (rows, columns); a single number stands for both.

    >>> pair(3), pair((1, 2))
    ((3, 3), (1, 2))
    """
    if isinstance(value, (tuple, list)):
        rows, cols = value
        return int(rows), int(cols)
    return int(value), int(value)


def out_size(size, kernel, stride, padding, *, dilation=1, ceil=False):
    """Return the number of windows along one axis.

    Parameters
    ----------
    size, kernel, stride, padding, dilation : int
        Along this axis, in pixels; `padding` on each side.
    ceil : bool
        Let a last window hang over the edge, as Caffe's pooling does.

    Raises
    ------
    MinicnnError
        If not a single window fits.

    >>> out_size(224, 7, 2, 1), out_size(110, 3, 2, 0, ceil=True)
    (110, 55)
    """
    span = dilation * (kernel - 1) + 1
    room = size + 2 * padding - span
    if room < 0 and not (ceil and room > -stride):
        raise MinicnnError(
            f"a window of {span} px does not fit into {size} px with padding {padding}; "
            "use a larger picture"
        )
    if not ceil:
        return room // stride + 1
    count = -(-room // stride) + 1
    if (count - 1) * stride >= size + padding:
        count -= 1
    return count


def pooled(size, kernel, stride, padding, *, ceil=False):
    """Return (P, Q), the size of a pooling's output; all arguments but `ceil` are pairs.

    Raises
    ------
    MinicnnError
        If no window fits, or one would lie in the padding alone.
    """
    if padding[0] >= kernel[0] or padding[1] >= kernel[1]:
        raise MinicnnError(f"pooling padding {padding} must be smaller than the window {kernel}")
    return tuple(out_size(size[i], kernel[i], stride[i], padding[i], ceil=ceil) for i in (0, 1))


def convolved(x_shape, w_shape, stride=1, padding=0, dilation=1, groups=1):
    """Return (P, Q), the size of a convolution's output.

    Parameters
    ----------
    x_shape, w_shape : (int, int, int, int)
        (N, C, H, W) and (K, C / groups, R, S).
    stride, padding, dilation : int or (int, int)
    groups : int

    Raises
    ------
    MinicnnError
        If the channels do not fit, or no window does.
    """
    if x_shape[1] != w_shape[1] * groups or w_shape[0] % groups:
        raise MinicnnError(
            f"a convolution with weights {tuple(w_shape)} in {groups} group(s) takes "
            f"{w_shape[1] * groups} channels, the input has {x_shape[1]}"
        )
    u, pad_, d = pair(stride), pair(padding), pair(dilation)
    return tuple(
        out_size(x_shape[2 + i], w_shape[2 + i], u[i], pad_[i], dilation=d[i]) for i in (0, 1)
    )
