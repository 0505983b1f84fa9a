"""The units of a layer as small tiles in one picture."""

import numpy as np

from minicnn.pictures.overlays import heat, unit_range


def mosaic(maps, columns, side, low, high):
    """Return maps (K, P, Q) as tiles in colours, `columns` a row, uint8.

    A tile has at most `side` entries a side. Of entries that share one the largest is shown, so
    that nothing that fires goes unseen.
    """
    P, Q = maps.shape[1:]
    rows, cols = (np.arange(0, n, -(-n // side)) for n in (P, Q))
    small = np.maximum.reduceat(np.maximum.reduceat(maps, rows, axis=1), cols, axis=2)
    height = -(-len(small) // columns)
    tiles = np.full((height * columns, *small.shape[1:]), low, small.dtype)
    tiles[: len(small)] = small
    tiles = tiles.reshape(height, columns, *small.shape[1:]).transpose(0, 2, 1, 3)
    return heat(unit_range(tiles.reshape(height * len(rows), columns * len(cols)), low, high))
