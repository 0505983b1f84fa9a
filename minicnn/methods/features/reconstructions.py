"""Reconstructions and patches of the strongest activations, cut by the same receptive field.

Every activation is projected by itself (`methods.deconvnet.projection`). A window of the picture
around it goes up and down instead of the whole (`windows`). Windows go in batches; one that several
units share goes up once and down once for each of them.
"""

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from minicnn.engine.cpu.evaluator import FastEvaluator
from minicnn.errors import MinicnnError
from minicnn.methods.deconvnet.projection import Policy, make_seed
from minicnn.methods.features.strongest import EMPTY
from minicnn.methods.features.windows import (
    Box,
    box,
    cut,
    inside,
    moved,
    window_origin,
    window_side,
)
from minicnn.pictures.arrays import deprocess, preprocess, resize
from minicnn.pictures.sheets import grid, labelled, signed_to_uint8

TILE = 64
CHUNK = 64  # units whose tiles are held at a time
BATCH_PIXELS = 2**15  # of the windows that go up together: more leave the processor's caches
LEAST_WINDOWS, MOST_WINDOWS = 2, 64
GREY = 128
CLIPPED = 0.01  # share of the visible values that may leave the range: deep signals are spiky
TOLERANCE = 1e-4  # of an activation: more, and what is projected is not what was found


class Tile(NamedTuple):
    """One activation: its numbers, `patch` uint8 and `projection` float32, both (h, w, 3) RGB."""

    picture: int
    row: int
    column: int
    value: float
    box: Box
    patch: np.ndarray
    projection: np.ndarray


def scaled(rgb, tile):
    """Return a cut in the size of a tile: few pixels are repeated, many resized."""
    height, width = rgb.shape[:2]
    times = tile // max(height, width)
    if times < 2:
        factor = tile / max(height, width)
        return resize(rgb, [max(1, round(side * factor)) for side in (height, width)])
    return np.repeat(np.repeat(rgb, times, axis=0), times, axis=1)


def projections(net, features, pictures, layer, units, *, evaluator=None, policy=None, tile=TILE):
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
    policy : deconvnet.Policy, optional
    tile : int
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
            rows = [i for i, key in enumerate(keys) if turn < len(wanted[key])]
            jobs = [wanted[keys[i]][turn] for i in rows]
            where = [
                inside(field, at, keys[i][1]) for i, (_, _, at) in zip(rows, jobs, strict=True)
            ]
            dx = _down(evaluator, policy, layer, y, rows, jobs, where, records)
            for i, (unit, slot, at) in zip(rows, jobs, strict=True):
                number, origin = keys[i]
                around = box(field, *at, size)
                projection = cut(_signed(dx[i : i + 1], net), moved(around, origin), 0)
                found[unit][slot] = Tile(
                    number,
                    *at,
                    float(records.value[unit, slot]),
                    around,
                    scaled(cut(rgb[number], around, GREY), tile),
                    scaled(projection, tile),
                )
    return {unit: [tiles[slot] for slot in sorted(tiles)] for unit, tiles in found.items()}


def _down(evaluator, policy, layer, y, rows, jobs, where, records):
    """Project one unit of each of some rows of `y`; the other rows stay zero."""
    seed = np.zeros_like(y)
    part, _, _, values = make_seed(y[rows], layer, [unit for unit, *_ in jobs], np.array(where))
    scale = float(y.max())
    for (unit, slot, _), value in zip(jobs, values, strict=True):
        recorded = float(records.value[unit, slot])
        if not abs(value - recorded) <= TOLERANCE * recorded + 1e-5 * scale:
            raise MinicnnError(
                f"layer {layer}, unit {unit}: picture {records.picture[unit, slot]} excites it by "
                f"{value:.6g} now, by {recorded:.6g} in the scan; the pictures or the weights are "
                "others now"
            )
    seed[rows] = part
    return policy.backward(evaluator, {layer: seed})


def _signed(dx, net):
    """Turn a projection (1, 3, H, W) into differences of grey levels, float32 (H, W, 3) RGB."""
    attrs = {**net.attrs["preprocess"], "mean": (0.0, 0.0, 0.0)}
    return deprocess(dx, attrs).astype(np.float32)


def block(tiles, slots, *, shared=True, gap=2):
    """Return a unit's block: square of reconstructions, square of patches; and the scales used.

    Parameters
    ----------
    tiles : list of Tile
        At least one.
    slots : int
        Tiles that the block has room for; those that are not there stay white.
    shared : bool
        One scale for the unit's reconstructions, so that their strengths compare; else each its
        own.
    gap : int
        Pixels between tiles.

    Returns
    -------
    uint8 (H, W, 3), list of float
        Scales in grey levels of the sheet for a grey level of the picture.
    """
    common = _scale([t.projection for t in tiles])
    drawn = [
        signed_to_uint8(t.projection, common if shared else _scale([t.projection])) for t in tiles
    ]
    columns = int(np.ceil(slots**0.5))
    empty = [None] * (slots - len(tiles))
    squares = [
        grid([*pictures, *empty], columns, gap=gap)
        for pictures in ([d for d, _ in drawn], [t.patch for t in tiles])
    ]
    return grid(squares, 2, gap=3 * gap), [scale for _, scale in drawn]


def _scale(projections):
    """Return the scale at which all but the `CLIPPED` largest values fit into a byte."""
    size = np.abs(np.concatenate([p.ravel() for p in projections]))
    size = size[size > 0.01 * size.max(initial=0)]
    peak = float(np.quantile(size, 1 - CLIPPED)) if size.size else 0.0
    return 127.0 / peak if peak > 1e-30 else None


def sheet(blocks, dead=(), columns=8):
    """Return one sheet of {unit: block picture}, each with its unit's number above.

    Units that are `dead` have their place too, with nothing in it.
    """
    nothing = np.full_like(next(iter(blocks.values())), 255)
    cells = {unit: labelled(picture, str(unit), size=14) for unit, picture in blocks.items()}
    cells |= {unit: labelled(nothing, f"{unit} DEAD", size=14) for unit in dead}
    return grid([cells[unit] for unit in sorted(cells)], columns, gap=14)
