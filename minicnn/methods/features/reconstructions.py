"""The strongest activations projected, and the patches that they see, cut by the same field.

Every activation is projected by itself (`methods.deconvnet.projection`). What it sees and what its
projection can reach lies in its receptive field, so a window of the picture around it goes up and
down instead of the whole: with an origin that is a multiple of the layer's stride, every layer's
grid lies in the window as in the picture, and where the field touches an edge of the picture, the
window does. Windows go in batches; one that several units share goes up once and down once for each
of them.
"""

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from minicnn.engine.cpu.evaluator import FastEvaluator
from minicnn.errors import MinicnnError
from minicnn.methods.deconvnet.projection import Policy, make_seed
from minicnn.methods.features.strongest import EMPTY
from minicnn.pictures import overlays
from minicnn.pictures.arrays import deprocess, preprocess, resize

PATCH = 64
BATCH_PIXELS = 2**15  # of the windows that go up together: more leave the processor's caches
LEAST_WINDOWS, MOST_WINDOWS = 2, 64
GREY = 128
TOLERANCE = 1e-4  # of an activation: more, and what is projected is not what was found


class Box(NamedTuple):
    """What a tile shows, both as (top, left, bottom, right) with the ends excluded."""

    shown: tuple  # the receptive field, or all of the picture where that is smaller
    seen: tuple  # what of it is in the field and in the picture; the rest of a tile is grey


class Tile(NamedTuple):
    """One activation: its numbers, `patch` uint8 and `projection` float32, both (h, w, 3) RGB."""

    picture: int
    row: int
    column: int
    value: float
    box: Box
    patch: np.ndarray
    projection: np.ndarray


def scaled(rgb, side):
    """Return a cut with its longest side so long: few pixels are repeated, many resized."""
    factor = side / max(rgb.shape[:2])
    if factor < 2:
        return resize(rgb, [max(1, round(length * factor)) for length in rgb.shape[:2]])
    return rgb.repeat(int(factor), axis=0).repeat(int(factor), axis=1)


def projections(net, features, pictures, layer, units, *, evaluator=None, policy=None, patch=PATCH):
    """Project the strongest activations of some units of a layer.

    Parameters
    ----------
    net : Network
    features : Features
    pictures : PictureSet
        The one that was scanned.
    layer : str
    units : list of int
    evaluator : FastEvaluator, optional
    policy : projection.Policy, optional
    patch : int
        Longest side of the cuts, as `scaled` makes them.

    Returns
    -------
    {unit: list of `Tile`, strongest first}
        Without entries for slots that are empty.

    Raises
    ------
    MinicnnError
        If a picture can no longer be read, or an activation is not the one that was recorded.
    """
    evaluator, policy = evaluator or FastEvaluator(net), policy or Policy()
    records, field = features.layers[layer], net.receptive_fields()[layer]
    size = (features.settings.size,) * 2
    side = tuple(window_side(field, axis, size[axis]) for axis in (0, 1))
    wanted = defaultdict(list)  # {(picture, origin of the window): [(unit, slot)]}
    for unit in units:
        for slot in np.flatnonzero(records.picture[unit] != EMPTY):
            at = (int(records.row[unit, slot]), int(records.column[unit, slot]))
            origin = tuple(window_origin(field, i, at[i], size[i], side[i]) for i in (0, 1))
            wanted[int(records.picture[unit, slot]), origin].append((unit, int(slot), at))
    # windows with equally many projections share a batch, so that few rows go down empty
    order = sorted(wanted, key=lambda key: (-len(wanted[key]), key))
    batch = max(LEAST_WINDOWS, min(MOST_WINDOWS, BATCH_PIXELS // (side[0] * side[1])))
    found = {unit: {} for unit in units}
    for first in range(0, len(order), batch):
        keys = order[first : first + batch]
        rgb = {n: pictures.picture(n, features.settings.size) for n in {n for n, _ in keys}}
        x = [
            preprocess(rgb[n][top : top + side[0], left : left + side[1]], net.attrs["preprocess"])
            for n, (top, left) in keys
        ]
        y = policy.forward(evaluator, np.concatenate(x), [layer])[layer]
        for turn in range(len(wanted[keys[0]])):
            jobs = [
                (i, *wanted[key][turn]) for i, key in enumerate(keys) if turn < len(wanted[key])
            ]
            where = [inside(field, at, keys[i][1]) for i, _, _, at in jobs]
            dx = _down(evaluator, policy, layer, y, jobs, where, records)
            for i, unit, slot, at in jobs:
                number, origin = keys[i]
                around = box(field, *at, size)
                projection = cut(_signed(dx[i : i + 1], net), moved(around, origin), 0)
                found[unit][slot] = Tile(
                    number,
                    *at,
                    float(records.value[unit, slot]),
                    around,
                    scaled(cut(rgb[number], around, GREY), patch),
                    scaled(projection, patch),
                )
    return {unit: [tiles[slot] for slot in sorted(tiles)] for unit, tiles in found.items()}


def _down(evaluator, policy, layer, y, jobs, where, records):
    """Project one unit of each of some rows of `y`; the other rows stay zero."""
    rows, units = ([job[i] for job in jobs] for i in (0, 1))
    seed = np.zeros_like(y)
    seed[rows], _, _, values = make_seed(y[rows], layer, units, np.array(where))
    scale = float(y.max())
    for (_, unit, slot, _), value in zip(jobs, values, strict=True):
        recorded = float(records.value[unit, slot])
        if not abs(value - recorded) <= TOLERANCE * recorded + 1e-5 * scale:
            raise MinicnnError(
                f"layer {layer}, unit {unit}: picture {records.picture[unit, slot]} excites it by "
                f"{value:.6g} now, by {recorded:.6g} in the scan; the pictures or the weights are "
                "others now"
            )
    return policy.backward(evaluator, {layer: seed})


def _signed(dx, net):
    """Turn a projection (1, 3, H, W) into differences of grey levels, float32 (H, W, 3) RGB."""
    attrs = {**net.attrs["preprocess"], "mean": (0.0, 0.0, 0.0)}
    return deprocess(dx, attrs).astype(np.float32)


# windows


def box(field, row, column, size):
    """Return the `Box` of the entry at (row, column) of a layer's map, in a picture of `size`.

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
