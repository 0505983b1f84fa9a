"""Letters for sheets: text on strips, and what the colours of a map mean.

Every result is uint8 (H, W, 3) on paper: `LIGHT` unless told otherwise.
"""

import unicodedata
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_LOOKALIKES = str.maketrans("×·–—‘’“”−", "x*--''\"\"-") | {ord("ß"): "ss"}


class Paper(NamedTuple):
    """The colours of a sheet, RGB: what is behind the pictures, the letters, arrows and frames."""

    ground: tuple
    ink: tuple
    line: tuple

    def sheet(self, height, width):
        """Return an empty sheet, uint8 (H, W, 3)."""
        return np.full((height, width, 3), self.ground, np.uint8)


LIGHT = Paper((255, 255, 255), (0, 0, 0), (90, 90, 90))
DARK = Paper((22, 22, 24), (232, 232, 232), (150, 150, 150))


class Scale(NamedTuple):
    """What the colours of a map mean, for the bar below it.

    `colours` turns values in 0..1, (H, W), into uint8 (H, W, 3); they stand for `low` to `high`.
    """

    colours: Callable
    low: float
    high: float


def text_strip(text, width, size, *, left=False, paper=LIGHT):
    """Return text on a strip at least `width` wide, with a little space around.

    The lines are centred, or begin at the `left`.
    """
    font = ImageFont.load_default(size)
    margin = max(2, size // 4)
    lines = text_lines(plain_text(text), font, width - 2 * margin)
    ascent, descent = font.getmetrics()
    width = max([width, *(int(np.ceil(font.getlength(line))) + 2 * margin for line in lines)])
    picture = Image.fromarray(paper.sheet(len(lines) * (ascent + descent) + 2 * margin, width))
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        start = margin if left else round((width - font.getlength(line)) / 2)
        draw.text((start, margin + number * (ascent + descent)), line, fill=paper.ink, font=font)
    return np.array(picture)


def colour_bar(scale, width, size, paper=LIGHT):
    """Return the colours of a `Scale` above the numbers at both ends; empty without a scale."""
    font, margin = ImageFont.load_default(size), max(2, size // 4)
    picture = paper.sheet(2 * size + 3 * margin, width)
    if scale is None:
        return picture
    picture[margin : margin + size] = scale.colours(np.linspace(0, 1, width)[np.newaxis])
    picture = Image.fromarray(picture)
    draw = ImageDraw.Draw(picture)
    for x, anchor, value in ((0, "la", scale.low), (width, "ra", scale.high)):
        draw.text((x, size + 2 * margin), f"{value:.4g}", fill=paper.ink, font=font, anchor=anchor)
    return np.array(picture)


def plain_text(text):
    """Return `text` in the letters of the font, which draws an empty box for any other."""
    text = unicodedata.normalize("NFKD", text.translate(_LOOKALIKES))
    plain = "".join(letter for letter in text if not unicodedata.combining(letter))
    return plain.encode("ascii", "replace").decode()


def text_lines(text, font, width=np.inf):
    """Return the lines of `text`, broken at spaces where they are longer than `width` pixels."""
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines
