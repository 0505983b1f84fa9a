"""Maps as colours, and on pictures: heat, boxes, labelled regions; arrays in and arrays out."""

import numpy as np

from minicnn.errors import MinicnnError

# black, violet, red, orange, pale yellow: lightness grows evenly, also in grey print
HEAT = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))
OPACITY = 0.6
ENERGY = 0.95  # of a projection, that its effective field holds
LEAST_SIDE = 5  # pixels of an effective field
# easily told apart and easily named, for regions; what is behind the last is grey
COLOURS = {
    "blue": (70, 140, 230),
    "yellow": (240, 200, 40),
    "pink": (240, 110, 190),
    "green": (80, 180, 80),
    "grey": (128, 128, 128),
}


def heat(values):
    """Turn values (H, W), clipped to 0..1, into uint8 (H, W, 3): black, red, pale yellow."""
    values = np.clip(_map(values), 0, 1) * (len(HEAT) - 1)
    steps = np.arange(len(HEAT))
    channels = [np.interp(values, steps, [point[c] for point in HEAT]) for c in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def unit_range(values, low=None, high=None):
    """Scale values to 0..1 from `low` to `high`, by default from the least to the largest."""
    values = _map(values).astype(np.float64)
    low = values.min() if low is None else low
    high = values.max() if high is None else high
    return np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros_like(values)


def over(rgb, values):
    """Lay heat, (H, W) in 0..1, over a picture uint8 (H, W, 3) in grey, darker where it is 0."""
    values = np.clip(_map(values), 0, 1)
    if rgb.shape[:2] != values.shape:
        raise MinicnnError(f"a map {values.shape} does not lie on a picture {rgb.shape[:2]}")
    grey = rgb.astype(np.float64) @ (0.299, 0.587, 0.114)
    share = OPACITY * np.sqrt(values)[..., np.newaxis]
    mixed = (1 - share) * (0.7 * grey)[..., np.newaxis] + share * heat(values)
    # heat is dark where it is weak: let it only add there
    return np.rint(np.clip(mixed + 60 * share * values[..., np.newaxis], 0, 255)).astype(np.uint8)


def boxed(rgb, box, colour=(255, 255, 0)):
    """Draw the outline of `box` = (top, left, bottom, right), which may lie outside in part."""
    rgb = rgb.copy()
    top, left, bottom, right = box
    rows, cols = rgb.shape[:2]
    down, across = slice(max(0, top), max(0, bottom)), slice(max(0, left), max(0, right))
    for row in {top, bottom - 1}.intersection(range(rows)):
        rgb[row, across] = colour
    for col in {left, right - 1}.intersection(range(cols)):
        rgb[down, col] = colour
    return rgb


def cut(rgb, box, fill):
    """Return the part of a picture (H, W, 3) in `box` = (top, left, bottom, right).

    What lies outside of the picture is `fill`, a number or (3,).
    """
    top, left, bottom, right = box
    out = np.empty((bottom - top, right - left, 3), rgb.dtype)
    out[:] = fill
    rows = slice(max(0, top), min(rgb.shape[0], bottom))
    cols = slice(max(0, left), min(rgb.shape[1], right))
    if rows.start < rows.stop and cols.start < cols.stop:
        out[rows.start - top : rows.stop - top, cols.start - left : cols.stop - left] = rgb[
            rows, cols
        ]
    return out


def least_square(energy, share=ENERGY):
    """Return (top, left, bottom, right) of the least square that holds a share of a map's sum.

    Cut to the map, and `LEAST_SIDE` long at least; of several the first that holds most.

    >>> energy = np.zeros((9, 9))
    >>> energy[4:6, 3:9] = 1
    >>> least_square(energy, 0.95)
    (0, 3, 6, 9)
    """
    if not energy.any():
        return 0, 0, *energy.shape
    sums = np.pad(energy.cumsum(0).cumsum(1), ((1, 0), (1, 0)))

    def held(side):
        down, right = (min(side, length) for length in energy.shape)
        below = sums[down:] - sums[:-down]
        return below[:, right:] - below[:, :-right]  # of each place of the square

    low, high = min(LEAST_SIDE, *energy.shape), max(energy.shape)
    while low < high:  # the most that a square holds grows with its side
        side = (low + high) // 2
        low, high = (low, side) if held(side).max() >= share * sums[-1, -1] else (side + 1, high)
    places = held(low)
    top, left = (int(i) for i in np.unravel_index(places.argmax(), places.shape))
    return top, left, *(min(at + low, n) for at, n in zip((top, left), energy.shape, strict=True))


def enlarged(values, step, shape):
    """Repeat every entry of a map `step` = (rows, columns) times, cut to `shape` = (H, W)."""
    values = np.repeat(np.repeat(values, step[0], axis=0), step[1], axis=1)
    return values[: shape[0], : shape[1]]


def magnified(rgb, least=200):
    """Repeat the pixels of a picture so often that a side has `least`: for sheets with labels."""
    times = -(-least // max(rgb.shape[:2]))
    return np.repeat(np.repeat(rgb, times, axis=0), times, axis=1)


def regions(labels, colours):
    """Paint a map of numbers with the colour that `colours` {number: (r, g, b)} has for each."""
    out = np.zeros((*labels.shape, 3), np.uint8)
    for label, colour in colours.items():
        out[labels == label] = colour
    return out


def _map(values):
    values = np.asarray(values)
    if values.ndim != 2 or not values.size:
        raise MinicnnError(f"a map is an array (H, W), got {values.shape}")
    if not np.isfinite(values).all():
        raise MinicnnError("the map has values that are NaN or infinite")
    return values


def peak(values, clip):
    """Return the magnitude of values that is shown as the brightest; 1 where all are 0.

    `clip` is the share, from 0 to below 1, of those that are not 0 that may be larger. Zeros do
    not count: what is sparse is not all clipped.
    """
    if not 0 <= clip < 1:
        raise MinicnnError(f"clip = {clip}; use a share from 0 to below 1, such as 0.005")
    sizes = np.abs(values)[values != 0]
    return float(np.quantile(sizes, 1 - clip)) if sizes.size else 1.0


def strength(delta, clip):
    """Return the magnitude of a signed picture (H, W, 3) as a map (H, W) in 0..1."""
    size = np.abs(delta).sum(axis=-1)
    return np.clip(size / peak(size, clip), 0, 1)
