"""Which part of a picture an activation is shown by, and which window of it goes up and down.

What an activation sees and what its projection can reach lies in its receptive field, so a window
of the picture around it is enough: with an origin that is a multiple of the layer's stride, every
layer's grid lies in the window as in the picture, and where the field touches an edge of the
picture, the window does.
"""

from typing import NamedTuple

from minicnn.pictures import overlays


class Box(NamedTuple):
    """What a tile shows, both as (top, left, bottom, right) with the ends excluded.

    `shown` is the receptive field, or all of the picture where that is smaller; `seen` is what of
    it is in the field and in the picture. The rest of a tile is grey.
    """

    shown: tuple
    seen: tuple


def box(field, row, column, size):
    """Return the `Box` of the entry at (row, column) of a layer's map.

    Parameters
    ----------
    field : fields.Field
    row, column : int
    size : (int, int)
        Rows and columns of the picture.

    >>> from minicnn.network.receptive_fields import Field
    >>> box(Field((7, 7), (2, 2), (-1, -1)), 0, 3, (20, 20))
    Box(shown=(-1, 5, 6, 12), seen=(0, 5, 6, 12))
    """
    whole = (0, 0, *size)
    found = tuple(field.box(row, column) or whole)
    seen = *(max(i, 0) for i in found[:2]), *map(min, found[2:], size)
    fits = [found[i + 2] - found[i] <= size[i] for i in (0, 1)] * 2
    shown = tuple(f if fit else w for f, w, fit in zip(found, whole, fits, strict=True))
    return Box(shown, seen)


def cut(rgb, where, fill):
    """Return the part of `rgb` (H, W, 3) that a `Box` shows, with `fill` where it sees nothing."""
    return overlays.cut(
        overlays.cut(rgb, where.seen, fill), _moved(where.shown, where.seen[:2]), fill
    )


def moved(where, origin):
    """Return a `Box` in the coordinates of a window with its first pixel at `origin`."""
    return Box(*(_moved(edges, origin) for edges in where))


def _moved(edges, origin):
    return tuple(edge - first for edge, first in zip(edges, (*origin, *origin), strict=True))


def inside(field, at, origin):
    """Return where entry `at` of the picture's map lies in that of the window at `origin`."""
    return tuple(a - o // (s or 1) for a, o, s in zip(at, origin, field.stride, strict=True))


def window_side(field, axis, length):
    """Return how many rows (axis 0) or columns of a picture of `length` a window has.

    Enough for a field anywhere between two multiples of the stride, and such that the last window
    ends with the picture.
    """
    if field.size is None:
        return length
    stride = field.stride[axis]
    least = field.size[axis] + stride - 1
    return min(length, least + (length - least) % stride)


def window_origin(field, axis, at, length, side):
    """Return the first row or column of the window for entry `at` of the layer's map."""
    if side == length:
        return 0
    stride = field.stride[axis]
    first = (field.offset[axis] + at * stride) // stride * stride
    return min(max(first, 0), length - side)
