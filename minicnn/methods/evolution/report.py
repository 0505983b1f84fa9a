"""What `evolution` has found, as a sheet, as CSV and as JSON.

The sheet has a block for each layer, in it a row for each unit and a column for each epoch. A cell
is the projection of the unit's strongest activation beside the part of the picture that it sees,
and below them the number of the picture and the activation. A coloured frame marks a jump: the
strongest activation comes from another picture than in the snapshot before.
"""

import csv
import io
from itertools import pairwise
from pathlib import Path

import numpy as np

from minicnn.methods.evolution.distances import NAMES
from minicnn.methods.evolution.evolution import WITHIN, arrivals, mean_distances
from minicnn.pictures.lettering import LIGHT
from minicnn.pictures.sheets import column, figure, grid, labelled
from minicnn.pictures.unit_sheets import block

JUMP = (235, 120, 0)
FRAME = 4
LEGEND = (
    "Each cell, left: the strongest activation of the unit projected, zero is grey; right: what it "
    "comes from; below: number of the picture, activation. Orange frame: another picture than in "
    "the snapshot before."
)
COLUMNS = ("layer", "epoch", *NAMES, "changed", "dead")


def sheet(evolution, data, paper=LIGHT):
    """Return the sheet, uint8 (H, W, 3), and {layer: {unit: [scale of each projection]}}.

    `data` is what the pictures are called.
    """
    picture, scales = blocks(evolution, paper)
    title = (
        f"evolution of {evolution.snapshots[0].architecture}, {len(evolution.epochs)} snapshots; "
        f"{evolution.pictures} pictures of {Path(data).name}"
    )
    return figure(picture, title, LEGEND, paper=paper), scales


def blocks(evolution, paper=LIGHT):
    """Return the blocks of all layers below each other, and the scales, as `sheet` does."""
    drawn, scales = {}, {}
    for layer, units in evolution.units.items():
        tiles = [t for unit in units for t in evolution.found[layer][unit] if t]
        shape = block(tiles[:1], 1)[0].shape if tiles else (64, 128, 3)
        drawn[layer], scales[layer] = {}, {}
        for unit in units:
            pairs = zip(evolution.found[layer][unit], evolution.changed[layer][unit], strict=True)
            cells = [cell(tile, jumped, shape, paper) for tile, jumped in pairs]
            drawn[layer][unit] = [picture for picture, _ in cells]
            scales[layer][unit] = [scale for _, scale in cells]
    # all cells are as wide as the widest, so that the epochs of all layers stand below each other
    wide = max(one.shape[1] for rows in drawn.values() for cells in rows.values() for one in cells)
    heads, parts = ["", *(f"epoch {epoch}" for epoch in evolution.epochs)], []
    for layer, units in evolution.units.items():
        rows = [[_words(text, wide, paper) for text in heads]]
        rows += [
            [_words(f"unit {unit}", wide, paper), *cells] for unit, cells in drawn[layer].items()
        ]
        title = f"{layer}: {len(units)} of {evolution.layers[layer]} units"
        stacked = column([grid(row, len(row), paper=paper) for row in rows], gap=2, paper=paper)
        parts.append(labelled(stacked, title, size=18, paper=paper))
    return column(parts, gap=12, paper=paper), scales


def _words(text, width, paper):
    """Return a cell of some width with text in it, as low as the text alone."""
    return labelled(paper.sheet(1, width), text, size=14, paper=paper)


def cell(tile, jumped, shape, paper=LIGHT):
    """Return (picture of a tile with its numbers below, scale of its projection)."""
    if tile is None:
        picture, scale, text = np.full(shape, 200, np.uint8), None, "never fires\n"
    else:
        picture, (scale,) = block([tile], 1, shared=False, paper=paper)
        text = f"picture {tile.picture}\n{tile.value:.3g}"
    height, width = picture.shape[:2]
    framed = paper.sheet(height + 2 * FRAME, width + 2 * FRAME)
    if jumped:
        framed[:] = JUMP
    framed[FRAME:-FRAME, FRAME:-FRAME] = picture
    return labelled(framed, text, size=14, below=True, paper=paper), scale


def table_csv(evolution):
    """Return the numbers as CSV text: a row for every layer and epoch."""
    lines = [COLUMNS, *([_short(row[key]) for key in COLUMNS] for row in evolution.rows)]
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows(lines)
    return file.getvalue()


def as_dict(evolution):
    """Return everything as plain values for JSON."""
    return {
        "snapshots": [
            {"file": s.path, "epoch": s.epoch, "architecture": s.architecture}
            for s in evolution.snapshots
        ],
        "pictures": evolution.pictures,
        "measures": {
            "features": "1 - linear CKA with the last snapshot (Kornblith et al. 2019)",
            "units": "1 - mean correlation of each unit with itself in the last snapshot",
            "filters": "1 - mean cosine between filters now and in the last snapshot",
            "weights": "|w - last| / |last| of the weights",
            "changed": "share of all units whose strongest picture is another than before",
            "dead": "units that never fire on the data set",
        },
        "rows": evolution.rows,
        "within": {"distance": WITHIN, "epoch": arrivals(evolution)},
        "mean_distance": mean_distances(evolution),
        "units": {
            layer: {
                str(unit): [_found(evolution, layer, unit, i) for i in range(len(evolution.epochs))]
                for unit in units
            }
            for layer, units in evolution.units.items()
        },
    }


def _found(evolution, layer, unit, i):
    tile = evolution.found[layer][unit][i]
    told = {"epoch": evolution.epochs[i], "changed": evolution.changed[layer][unit][i]}
    if tile is None:
        return {**told, "picture": None}
    return {
        **told,
        "picture": tile.picture,
        "name": evolution.names[tile.picture],
        "position": [tile.row, tile.column],
        "value": tile.value,
        "seen": list(tile.box),
    }


def summary(evolution):
    """Return the numbers of every layer as rows for a table: when it arrives, how far it was."""
    arrived, told = arrivals(evolution), []
    features, filters = (mean_distances(evolution, name) for name in ("features", "filters"))
    for layer in evolution.layers:
        rows = evolution.rows_of(layer)
        told.append(
            {
                "layer": layer,
                f"within {WITHIN:g} from epoch": arrived[layer],
                "mean distance of features": f"{features[layer]:.3f}",
                "of filters": _short(filters[layer]),
                "pictures changed": f"{np.mean([row['changed'] for row in rows[1:]]):.0%}",
                "dead": rows[-1]["dead"],
            }
        )
    return told


def order_holds(evolution):
    """Return whether every layer was nearer to its end, on the whole, than the one above it."""
    means = list(mean_distances(evolution).values())
    return all(a <= b for a, b in pairwise(means))


def _short(value):
    return f"{value:.4f}" if isinstance(value, float) else "" if value is None else value
