"""Contact sheets: pictures side by side, in grids, columns and tables, with labels.

Pictures are uint8 (H, W, 3), or (H, W) for grey; every result is uint8 (H, W, 3) on paper, and
gaps are pixels between pictures. There is none around a sheet, so that sheets can be nested;
`figure` is the outermost. How sheets look is decided here and in `lettering`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.pictures.arrays import resize, to_uint8
from minicnn.pictures.lettering import LIGHT, Paper, Scale, colour_bar, text_strip

WIDTH = 1600  # pixels of a row; longer ones go on below


def grid(images: Sequence[Any], columns: int, *, gap: int = 4, paper: Paper = LIGHT) -> Any:
    """Arrange pictures in rows, each in the middle of a cell as large as the largest picture.

    Parameters
    ----------
    images : list of pictures, or None for an empty cell
    columns : int
        At most; fewer pictures than that make a narrower sheet.
    gap : int

    >>> grid([np.zeros((10, 20, 3), np.uint8)] * 3, 2).shape
    (24, 44, 3)
    """
    cells = [None if image is None else _rgb(image) for image in images]
    shapes = [cell.shape for cell in cells if cell is not None]
    if not shapes:
        raise MinicnnError("a grid needs at least one picture")
    if columns < 1 or gap < 0:
        raise MinicnnError(f"a grid needs columns >= 1 and gap >= 0, got {columns} and {gap}")
    height, width = (max(shape[axis] for shape in shapes) for axis in (0, 1))
    columns = min(columns, len(cells))
    rows, places = -(-len(cells) // columns), []
    for number, cell in enumerate(cells):
        if cell is not None:
            row, column = divmod(number, columns)
            top = row * (height + gap) + (height - cell.shape[0]) // 2
            left = column * (width + gap) + (width - cell.shape[1]) // 2
            places.append((top, left, cell))
    return _sheet(paper, rows * (height + gap) - gap, columns * (width + gap) - gap, places)


def column(images, *, gap=4, paper=LIGHT):
    """Put pictures below each other, each at the left, without space for the tallest of them."""
    images = [_rgb(image) for image in images]
    if not images:
        raise MinicnnError("a column needs at least one picture")
    places, top = [], 0
    for image in images:
        places.append((top, 0, image))
        top += image.shape[0] + gap
    return _sheet(paper, top - gap, max(image.shape[1] for image in images), places)


def labelled(
    image: Any,
    text: str,
    *,
    size: int | None = None,
    below: bool = False,
    paper: Paper = LIGHT,
) -> Any:
    """Put a strip with text above a picture, or below it.

    The text is wrapped to the picture's width, and the sheet is wider than the picture where a
    single word needs it: text is never cut off and never smaller than `size`.

    Parameters
    ----------
    image : uint8 (H, W, 3) or (H, W)
    text : str
        Pillow's own font has ASCII only: accents are dropped, other letters become "?".
    size : int, optional
        Of the letters in pixels; by default a 24th of the picture's short side, 14 at least.
    below : bool
    """
    image = _rgb(image)
    strip = text_strip(text, image.shape[1], size or _text_size(image), paper=paper)
    return _stacked(*((image, strip) if below else (strip, image)), paper)


def figure(image, title, caption, *, width=400, margin=18, paper=LIGHT):
    """Return a picture as a figure: its title above, its caption below, a margin around.

    Parameters
    ----------
    image : uint8 (H, W, 3) or (H, W)
    title, caption : str
        In lines as wide as the picture, and `width` at least; letters grow with wide pictures.
    width, margin : int
        Pixels.
    """
    image = _rgb(image)
    wide = max(width, image.shape[1])
    times = max(1, wide / WIDTH)
    above, below = (
        [text_strip(text, wide, round(times * size), left=True, paper=paper)] if text else []
        for text, size in ((title, 22), (caption, 16))
    )
    sheet = column([*above, image, *below], gap=margin // 2, paper=paper)
    height, wide = (side + 2 * margin for side in sheet.shape[:2])
    return _sheet(paper, height, wide, [(margin, margin, sheet)])


def greys(values):
    """Turn values (H, W), clipped to 0..1, into uint8 (H, W, 3), black to white."""
    return np.repeat(to_uint8(255 * np.clip(values, 0, 1))[..., np.newaxis], 3, axis=2)


def side_by_side(
    images: Sequence[Any],
    labels: Sequence[str] | None = None,
    *,
    scales: Sequence[Scale | None] = (),
    height: int | None = None,
    gap: int = 8,
    paper: Paper = LIGHT,
) -> Any:
    """Scale pictures to one height and put them in a row, each with its label above.

    A row longer than `WIDTH` goes on below, unless it has three pictures or fewer.

    Parameters
    ----------
    images : list of pictures
    labels : list of str, optional
        One for each picture.
    scales : list of Scale or None, optional
        One for each picture: it gets a bar of its colours below, with both ends in numbers.
    height : int, optional
        By default that of the first picture.
    gap : int
    paper : Paper
    """
    images = [_rgb(image) for image in images]
    if not images:
        raise MinicnnError("a row needs at least one picture")
    if gap < 0:
        raise MinicnnError(f"the gap between pictures must be at least 0, got {gap}")
    if labels is not None and len(labels) != len(images):
        raise MinicnnError(f"{len(labels)} labels for {len(images)} pictures; give one for each")
    height = height or images[0].shape[0]
    scaled = [
        image
        if image.shape[0] == height
        else resize(image, (height, max(1, round(image.shape[1] * height / image.shape[0]))))
        for image in images
    ]
    wide, size = max(image.shape[1] for image in scaled) + gap, min(map(_text_size, scaled))
    lines = -(-len(scaled) // max(3, (WIDTH + gap) // wide))
    columns, rows = -(-len(scaled) // lines), []
    for first in range(0, len(scaled), columns):
        part = slice(first, first + columns)
        rows.append(_row(scaled[part], labels and labels[part], scales[part], size, gap, paper))
    return column(rows, gap=2 * gap, paper=paper)


def _row(images, labels, scales, size, gap, paper):
    """Return a row of `side_by_side`: pictures of one height."""
    if labels is not None:
        strips = [
            text_strip(text, image.shape[1], size, paper=paper)
            for text, image in zip(labels, images, strict=True)
        ]
        # short labels stand on the line of the longest, so that the pictures line up
        tallest = max(strip.shape[0] for strip in strips)
        for number, strip in enumerate(strips):
            above = paper.sheet(tallest - strip.shape[0], strip.shape[1])
            images[number] = _stacked(np.concatenate([above, strip]), images[number], paper)
    if any(scales):
        for number, (scale, image) in enumerate(zip(scales, images, strict=True)):
            images[number] = _stacked(image, colour_bar(scale, image.shape[1], size, paper), paper)
    places, left = [], 0
    for image in images:
        places.append((0, left, image))
        left += image.shape[1] + gap
    return _sheet(paper, images[0].shape[0], left - gap, places)


def table(
    images: Sequence[Any],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    gap: int = 4,
    paper: Paper = LIGHT,
) -> Any:
    """Put pictures into a table, the columns' labels above the first row, the rows' at the left.

    Parameters
    ----------
    images : list of pictures
        Row by row; missing ones at the end leave empty cells.
    rows, columns : list of str
        Labels; a row's stands above its first picture. Empty ones take no room.
    gap : int
    """
    if not 0 < len(images) <= len(rows) * len(columns):
        raise MinicnnError(
            f"{len(images)} pictures for a table of {len(rows)} x {len(columns)} cells"
        )
    missing, cells = len(rows) * len(columns) - len(images), []
    for number, image in enumerate([*images, *[paper.sheet(1, 1)] * missing]):
        i, j = divmod(number, len(columns))
        texts = [columns[j] if i == 0 else "", rows[i] if j == 0 else ""]
        text = "\n".join(filter(None, texts))
        cells.append(labelled(image, text, paper=paper) if text else _rgb(image))
    # pictures stand on the lower edge of their cells, whatever is written above them
    width, top, places = max(cell.shape[1] for cell in cells), 0, []
    for first in range(0, len(cells), len(columns)):
        row = cells[first : first + len(columns)]
        height = max(cell.shape[0] for cell in row)
        for j, cell in enumerate(row):
            left = j * (width + gap) + (width - cell.shape[1]) // 2
            places.append((top + height - cell.shape[0], left, cell))
        top += height + gap
    return _sheet(paper, top - gap, len(columns) * (width + gap) - gap, places)


def signed_to_uint8(x, scale=None):
    """Turn signed values into bytes, zero into exactly 128.

        y = 128 + scale x, rounded and clipped to 0..255

    Parameters
    ----------
    x : floating point, any shape
    scale : float, optional
        Grey levels per unit; by default 127 / max |x|, so that nothing is clipped. Pass one
        scale for pictures that are to be compared.

    Returns
    -------
    y : uint8, the shape of x
    scale : float
        The one used, for the metadata; 1 where x is zero everywhere.
    """
    x = np.asarray(x, np.float64)
    if scale is None:
        # NaN and infinity are left for to_uint8 to refuse; below 1e-300 the scale would overflow
        peak = np.abs(x[np.isfinite(x)]).max(initial=0.0)
        scale = 127.0 / peak if peak > 1e-300 else 1.0
    return to_uint8(128.0 + x * scale), float(scale)


def _rgb(image):
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise MinicnnError(
            "a sheet is made of uint8 pictures (H, W, 3) or (H, W), "
            f"got {image.dtype} {image.shape}; to_uint8 and signed_to_uint8 make bytes"
        )
    if not image.size:
        raise MinicnnError(f"a picture of shape {image.shape} has no pixels")
    return np.repeat(image[:, :, np.newaxis], 3, axis=2) if image.ndim == 2 else image


def _sheet(paper, height, width, places):
    """Return a sheet with pictures on it, [(top, left, picture)]."""
    sheet = paper.sheet(height, width)
    for top, left, image in places:
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet


def _text_size(image):
    return max(14, min(image.shape[:2]) // 24)


def _stacked(above, under, paper):
    """Return one picture above another; what is narrower is filled up on both sides."""
    width = max(above.shape[1], under.shape[1])
    tops = ((0, above), (above.shape[0], under))
    places = [(top, (width - part.shape[1]) // 2, part) for top, part in tops]
    return _sheet(paper, above.shape[0] + under.shape[0], width, places)
