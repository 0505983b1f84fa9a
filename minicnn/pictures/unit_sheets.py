"""What excites units, arranged: reconstructions beside the patches of pictures they belong to.

A tile has a `patch`, uint8 (h, w, 3), and a `projection`, signed floating point (h, w, 3).
"""

import numpy as np

from minicnn.pictures.lettering import LIGHT
from minicnn.pictures.sheets import figure, grid, labelled, signed_to_uint8

GAP = 2
CLIPPED = 0.01  # share of the visible values that may leave the range: deep signals are spiky


def block(tiles, slots, *, shared=True, paper=LIGHT):
    """Return a unit's block: square of reconstructions, square of patches; and the scales used.

    Parameters
    ----------
    tiles : list of tiles, at least one
    slots : int
        Tiles that the block has room for; those that are not there stay empty.
    shared : bool
        One scale for the unit's reconstructions, so that their strengths compare; else each its
        own.

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
        grid([*pictures, *empty], columns, gap=GAP, paper=paper)
        for pictures in ([d for d, _ in drawn], [t.patch for t in tiles])
    ]
    return grid(squares, 2, gap=3 * GAP, paper=paper), [scale for _, scale in drawn]


def _scale(projections):
    """Return the scale at which all but the `CLIPPED` largest values fit into a byte."""
    size = np.abs(np.concatenate([p.ravel() for p in projections]))
    size = size[size > 0.01 * size.max(initial=0)]
    peak = float(np.quantile(size, 1 - CLIPPED)) if size.size else 0.0
    return 127.0 / peak if peak > 1e-30 else None


def sheet(blocks, labels, title, columns=8, *, caption="", paper=LIGHT):
    """Return one sheet of {unit: block}, each below its label, as a figure with the title.

    Units that have a label and no block have their place too, with nothing in it.
    """
    nothing = paper.sheet(*next(iter(blocks.values())).shape[:2])
    size = max(16, len(nothing) // 9)
    cells = [
        labelled(blocks.get(unit, nothing), labels[unit], size=size, paper=paper)
        for unit in sorted(labels)
    ]
    return figure(grid(cells, columns, gap=14, paper=paper), title, caption, paper=paper)
