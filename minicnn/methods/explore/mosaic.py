"""The units of a layer as small tiles in one picture."""

import numpy as np

from minicnn.pictures.overlays import heat


def mosaic(maps, columns, side, low, high):
    """Return maps (K, P, Q) as tiles in colours, `columns` a row, uint8.

    A tile has at most `side` entries a side. Of entries that share one the largest is shown, so
    that nothing that fires goes unseen. `low` is shown black and `high` brightest: numbers, or
    arrays (K, 1, 1).
    """
    K, P, Q = maps.shape
    rows, cols = (np.arange(0, n, -(-n // side)) for n in (P, Q))
    small = np.maximum.reduceat(np.maximum.reduceat(maps, rows, axis=1), cols, axis=2)
    height = -(-K // columns)
    tiles = np.zeros((height * columns, len(rows), len(cols)))
    tiles[:K] = (small - low) / np.maximum(high - low, 1e-30)
    tiles = tiles.reshape(height, columns, *tiles.shape[1:]).transpose(0, 2, 1, 3)
    return heat(tiles.reshape(height * len(rows), columns * len(cols)))
