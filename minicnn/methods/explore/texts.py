"""What the page sends is text: numbers, places, names of files."""

import re

from minicnn.errors import MinicnnError, one_line


def whole(text, what):
    """Return a whole number from 0 on of a question."""
    if not text.isdecimal() or len(text) > 9:
        raise MinicnnError(f"no {what} {text[:20]!r}; use a whole number from 0 on")
    return int(text)


def place(text):
    """Return (row, column) of "3,4", None of ""."""
    if not text:
        return None
    row, _, column = text.partition(",")
    return whole(row, "row"), whole(column, "column")


def plain_name(name):
    r"""Return the name of an uploaded file without folders and control characters, not too long.

    >>> plain_name("C:\\pictures\\a\nb.png")
    'a b.png'
    """
    return one_line(re.split(r"[/\\]", name)[-1], 120) or "picture"
