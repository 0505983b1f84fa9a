"""How large a picture must be for the layers that look at it, and may be at most."""

from minicnn.errors import MinicnnError

LARGEST = 4096  # pixels a side
LEAST_MAP = 4  # rows and columns below which a Gram matrix says nothing about a texture


def least_side(net, layers):
    """Return the least rows (or columns) of a picture at which each layer has `LEAST_MAP`.

    A layer that is unknown, or sees the whole picture at once, is refused.
    """
    if not layers:
        return LEAST_MAP
    net.find(layers)  # or raise
    fields = net.receptive_fields()
    for name in layers:
        if fields[name].size is None:
            raise MinicnnError(
                f"layer {name} has no positions left, it sees the whole picture; use one before it"
            )
    # a larger picture has no smaller maps: double until it fits, then halve the interval
    high = LEAST_MAP
    while not _fits(net, layers, high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _fits(net, layers, middle) else (middle, high)
    return max(high, LEAST_MAP)


def set_input(net, shape) -> None:
    """Make `shape` = [3, side, side] the input of a network, in the place of that of its table.

    Raises
    ------
    MinicnnError
        If it is no such shape, or does not suit the layers.
    """
    shape = checked_input(shape)
    last, name = net.layers[-1], net.attrs["name"]
    try:
        before, after = (net.shapes(one)[last] for one in (net.input_shape, shape))
    except MinicnnError as error:
        raise MinicnnError(f"input {list(shape)} does not suit {name}: {error}") from None
    if before[1:] == (1, 1) != after[1:]:
        raise MinicnnError(f"input {list(shape)} does not suit {name}: it gives maps {after}")
    net.input_shape = shape


def checked_input(shape) -> tuple:
    """Return the shape (3, N, N) of an input; refuse any other."""
    whole = isinstance(shape, (list, tuple)) and all(type(size) is int for size in shape)
    if not whole or len(shape) != 3 or shape[0] != 3 or not 0 < shape[1] == shape[2] <= LARGEST:
        raise MinicnnError(f"input {shape}; it must be [3, N, N], N at most {LARGEST}")
    return tuple(shape)


def _fits(net, layers, side):
    try:
        shapes = net.shapes((net.input_shape[0], side, side), layers)
    except MinicnnError:
        return False
    return all(min(shapes[name][1:]) >= LEAST_MAP for name in layers)
