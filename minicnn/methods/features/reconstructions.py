"""The strongest activations projected, and the patches that they see, cut by the same box.

The box is the unit's effective field: the least square, at one place of the receptive field, that
holds `overlays.ENERGY` of the energy of its projections (the sum of their squares). The theoretical
field is several times as wide, and next to nothing comes down to most of it (Luo et al. 2016, arXiv
1701.04128).

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

PATCH = 80
HELD_BYTES = 64 << 20  # of cuts before they are made smaller
BATCH_PIXELS = 2**15  # of the windows that go up together: more leave the processor's caches
LEAST_WINDOWS, MOST_WINDOWS = 2, 64
GREY = 128
TOLERANCE = 1e-4  # of an activation: more, and what is projected is not what was found


class Tile(NamedTuple):
    """One activation: its numbers, `patch` uint8 and `projection` float32, both (h, w, 3) RGB.

    `box` is what they show of the picture, (top, left, bottom, right) with the ends excluded; what
    of it lies outside is grey.
    """

    picture: int
    row: int
    column: int
    value: float
    box: tuple
    patch: np.ndarray
    projection: np.ndarray


def scaled(rgb, side):
    """Return a cut with its longest side so long: few pixels are repeated, many resized."""
    factor = side / max(rgb.shape[:2])
    sides = [max(1, round(length * factor)) for length in rgb.shape[:2]]
    if factor < 2:
        return resize(rgb, sides)
    rows, columns = (np.arange(n) * old // n for n, old in zip(sides, rgb.shape, strict=False))
    return rgb[rows][:, columns]


def energy_of(settings):
    """Return the `energy` of `projections` that `DrawSettings` stand for."""
    return overlays.ENERGY if settings.field == "effective" else None


def projections(
    net,
    features,
    pictures,
    layer,
    units,
    *,
    evaluator=None,
    policy=None,
    patch=PATCH,
    energy=overlays.ENERGY,
):
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
    energy : float or None
        Of a unit's projections, that its box holds; None for the theoretical field.

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
    field, size = net.receptive_fields()[layer], (features.settings.size,) * 2
    slots, found = features.layers[layer].picture.shape[1], {}
    tall, wide = field.size or size
    together = max(1, HELD_BYTES // (15 * slots * tall * wide))  # float32 and uint8, three colours
    for first in range(0, len(units), together):
        some = units[first : first + together]
        whole = _whole_fields(net, features, pictures, layer, some, evaluator, policy)
        for unit, cuts in whole.items():
            cuts = [cuts[slot] for slot in sorted(cuts)]
            place = None
            if energy and field.size:
                place = overlays.least_square(
                    sum((c.projection**2).sum(axis=2) for c in cuts), energy
                )
            found[unit] = [_narrowed(cut, place, size, patch) for cut in cuts]
    return found


def _whole_fields(net, features, pictures, layer, units, evaluator, policy):
    """Return {unit: {slot: `Tile` of the whole receptive field, not scaled}}."""
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
                around = tuple(field.box(*at) or (0, 0, *size))
                found[unit][slot] = Tile(
                    number,
                    *at,
                    float(records.value[unit, slot]),
                    around,
                    overlays.cut(rgb[number], around, GREY),
                    overlays.cut(_signed(dx[i : i + 1], net), _moved(around, origin), 0),
                )
    return found


def _narrowed(whole, place, size, patch):
    """Return the `Tile` of a part of the receptive field, or of all of it that fits a picture."""
    if place is None:
        box = theoretical(whole.box, size)
    else:
        top, left = whole.box[:2]
        box = (top + place[0], left + place[1], top + place[2], left + place[3])
    part = _moved(box, whole.box[:2])
    return whole._replace(
        box=box,
        patch=scaled(overlays.cut(whole.patch, part, GREY), patch),
        projection=scaled(overlays.cut(whole.projection, part, 0), patch),
    )


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


def theoretical(field, size):
    """Return what is shown of a field: where it is longer than the picture, the picture.

    >>> theoretical((-5, 7, 25, 17), (20, 20))
    (0, 7, 20, 17)
    """
    fits = [field[i + 2] - field[i] <= size[i] for i in (0, 1)] * 2
    return tuple(f if fit else w for f, w, fit in zip(field, (0, 0, *size), fits, strict=True))


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
