"""A table of pictures with labels at its edges, arrays in and arrays out."""

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.pictures.sheets import grid, labelled


def table(images, rows, columns, *, gap=4, background=255):
    """Put pictures into a table, the columns' labels above the first row, the rows' at the left.

    Parameters
    ----------
    images : list of uint8 (H, W, 3) or (H, W)
        Row by row; missing ones at the end leave empty cells.
    rows, columns : list of str
        Labels; a row's stands above its first picture. Empty ones take no room.
    gap : int
        Pixels between cells.
    background : int or (red, green, blue)

    Returns
    -------
    uint8 (H, W, 3)
    """
    images = list(images)
    if not 0 < len(images) <= len(rows) * len(columns):
        raise MinicnnError(
            f"{len(images)} pictures for a table of {len(rows)} x {len(columns)} cells"
        )

    def blank(height, width):
        return np.full((height, width, 3), background, np.uint8)

    images += [blank(1, 1)] * (len(rows) * len(columns) - len(images))
    cells = []
    for number, image in enumerate(images):
        i, j = divmod(number, len(columns))
        texts = [columns[j] if i == 0 else "", rows[i] if j == 0 else ""]
        text = "\n".join(filter(None, texts))
        cell = labelled(image, text, background=background) if text else grid([image], 1)
        cells.append(cell)
    # pictures stand on the lower edge of their cells, whatever is written above them
    width = max(cell.shape[1] for cell in cells)
    bands = []
    for i in range(len(rows)):
        row = cells[i * len(columns) : (i + 1) * len(columns)]
        height = max(cell.shape[0] for cell in row)
        band = blank(height + gap, len(columns) * (width + gap))
        for j, cell in enumerate(row):
            left = j * (width + gap) + (width - cell.shape[1]) // 2
            top = height - cell.shape[0]
            band[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
        bands.append(band)
    return np.concatenate(bands)[: -gap or None, : -gap or None]
