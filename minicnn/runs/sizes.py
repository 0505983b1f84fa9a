"""How large a picture must be for the layers that look at it."""

import math

from minicnn.errors import MinicnnError

LEAST_MAP = 4  # rows and columns below which a Gram matrix says nothing about a texture


def least_side(net, layers):
    """Return the least rows (or columns) of a picture at which each layer has `LEAST_MAP`.

    Raises
    ------
    MinicnnError
        If a layer is unknown or sees the whole picture at once.
    """
    fields = net.receptive_fields()
    for name in layers:
        if name not in fields:
            raise MinicnnError(f"no layer named {name!r}; the layers are {', '.join(net.layers)}")
        if fields[name].size is None:
            raise MinicnnError(
                f"layer {name} has no positions left, it sees the whole picture; use one before it"
            )
    side = LEAST_MAP
    while layers and not _fits(net, layers, side):
        side += 1
    return side


def layer_shapes(net, layers, shape):
    """Return {layer: (C, P, Q)} for a picture (C, H, W), whatever comes behind the last of them."""
    shapes = net.shapes(tuple(shape), layers)
    return {name: shapes[name] for name in layers}


def _fits(net, layers, side):
    try:
        shapes = net.shapes((net.input_shape[0], side, side), layers)
    except MinicnnError:
        return False
    return all(min(shapes[name][1:]) >= LEAST_MAP for name in layers)


def check_size(path, rgb, net, layers, size, option):
    """Refuse a picture that is too small for the layers, as it is or as resized."""
    least = least_side(net, layers)
    rows, cols = rgb.shape[:2]
    if min(rows, cols) < least:
        raise MinicnnError(
            f"{str(path)!r} is too small: {cols} x {rows} pixels, the layers of "
            f"{net.attrs['name']} need at least {least} x {least}; use a larger picture"
        )
    if min(rows, cols) * size < (least - 0.5) * max(rows, cols):
        wanted = math.ceil(least * max(rows, cols) / min(rows, cols))
        raise MinicnnError(
            f"{option} {size} makes {str(path)!r} too small for the layers of "
            f"{net.attrs['name']}, which need at least {least} x {least} pixels; "
            f"use {option} {wanted} or more"
        )
