"""Diagrams of arrays: maps in colours, tables of numbers, a board with arrows on it.

Sheets (`sheets`) put pictures beside each other; here lines lead from one to the next. All results
are uint8 (H, W, 3). Maps and tables are on white; a board has the paper of the sheets.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from minicnn.pictures.lettering import LIGHT, plain_text, text_lines

BLUE, RED = np.array([33, 90, 160.0]), np.array([190, 50, 40.0])
TINTS = ((222, 235, 247), (254, 230, 206), (229, 245, 224), (239, 237, 245))  # of windows


def heat(values, side, most=None):
    """Return values (H, W) as a map: 0 is white, `most` blue, -`most` red.

    Parameters
    ----------
    values : array (H, W)
    side : int
        The longest side in pixels; few values are repeated, not blurred.
    most : float, optional
        Of what is drawn in the full colour; by default the largest magnitude.
    """
    values = np.asarray(values, np.float64)
    most = most or np.abs(values).max() or 1.0
    share = np.clip(values / most, -1, 1)[..., None]
    rgb = 255 + np.abs(share) * (np.where(share < 0, RED, BLUE) - 255)
    image = Image.fromarray(rgb.round().astype(np.uint8))
    rows, columns = values.shape
    scale = side / max(rows, columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    return np.asarray(image.resize(size, how))


def numbers(values, *, tints=None, marked=None, side=46, size=17):
    """Return a table of numbers, each in a square of `side` pixels.

    Parameters
    ----------
    values : array (H, W)
    tints : int array (H, W), optional
        Which of `TINTS` is behind each; -1 is white.
    marked : bool array (H, W), optional
        Those in a thick frame.
    """
    values = np.asarray(values)
    rows, columns = values.shape
    board = Board(rows * side + 3, columns * side + 3)
    for i, j in np.ndindex(values.shape):
        corner = (i * side + 1, j * side + 1)
        tint = -1 if tints is None else int(tints[i, j])
        board.box(corner, (side, side), fill=TINTS[tint % len(TINTS)] if tint >= 0 else None)
        centre = (corner[0] + side / 2, corner[1] + side / 2)
        board.text(f"{values[i, j]:g}", centre, size=size)
    for i, j in np.argwhere(marked) if marked is not None else ():
        board.box((i * side + 2, j * side + 2), (side - 2, side - 2), width=3, line=LIGHT.ink)
    return board.picture()


class Board:
    """A sheet of so many rows and columns of pixels; places are (row, column)."""

    def __init__(self, height, width, paper=LIGHT):
        self.paper = paper
        self._image = Image.new("RGB", (int(width), int(height)), paper.ground)
        self._draw = ImageDraw.Draw(self._image)

    def put(self, picture, place):
        """Put a picture with its upper left corner at a place."""
        picture = np.asarray(picture)
        self._image.paste(Image.fromarray(picture), (round(place[1]), round(place[0])))

    def centred(self, picture, place):
        """Put a picture with its middle at a place."""
        height, width = np.shape(picture)[:2]
        self.put(picture, (place[0] - height / 2, place[1] - width / 2))

    def box(self, place, shape, *, fill=None, line=None, width=1):
        """Draw a rectangle of so many rows and columns."""
        (top, left), (height, wide) = place, shape
        corners = (left, top, left + wide, top + height)
        self._draw.rectangle(corners, fill=fill, outline=line or self.paper.line, width=width)

    def text(self, text, place, *, size=16, anchor="mm"):
        """Write lines around a place; the anchor is Pillow's: "mm" middle, "lm" left."""
        font = ImageFont.load_default(size)
        lines = text_lines(plain_text(text), font)
        step = sum(font.getmetrics())
        first = place[0] - step * (len(lines) - 1) / 2
        for number, line in enumerate(lines):
            where = (place[1], first + number * step)
            self._draw.text(where, line, fill=self.paper.ink, font=font, anchor=anchor)

    def arrow(self, start, end, text="", *, size=15, beside=8):
        """Draw an arrow, with text `beside` the middle of its line (at the right, or above)."""
        (y0, x0), (y1, x1) = start, end
        self._draw.line((x0, y0, x1, y1), fill=self.paper.line, width=2)
        length = max(1e-9, np.hypot(y1 - y0, x1 - x0))
        v, u = (y1 - y0) / length, (x1 - x0) / length
        tip = [(x1 - 10 * u + s * 5 * v, y1 - 10 * v - s * 5 * u) for s in (-1, 1)]
        self._draw.polygon([(x1, y1), *tip], fill=self.paper.line)
        if text:
            middle = ((y0 + y1) / 2, (x0 + x1) / 2)
            if abs(u) > abs(v):
                lines = text.count("\n") + 1
                self.text(text, (middle[0] - beside - 9 * lines, middle[1]), size=size)
            else:
                self.text(text, (middle[0], middle[1] + beside), size=size, anchor="lm")

    def picture(self):
        """Return the sheet."""
        return np.array(self._image)
