"""The rows of a batch as they are written: JSON lines, CSV, or every content with every style.

Nothing is checked here but how they are written; `rows` says what they mean.
"""

import csv
import io
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from minicnn.data.walk import pictures_below
from minicnn.errors import MinicnnError

MOST_BYTES = 2**30
SEVERAL = ";"  # between several values in a cell of CSV


@dataclass(frozen=True)
class Written:
    """A row as written.

    Attributes
    ----------
    file : str
    line : int, from 1 on; None where there is none
    values : dict, key -> text, number, bool, list or dict
    columns : dict, key -> where it stands in its line, in words
    """

    file: str
    line: int | None
    values: dict
    columns: dict

    def fault(self, message, key=None):
        """Return the error that says where something is wrong."""
        column = self.columns.get(key)
        place = [self.file, self.line and f"line {self.line}", column]
        return MinicnnError(f"{', '.join(filter(None, place))}: {message}")


def read(settings):
    """Return the rows of `BatchSettings`, a list of `Written`."""
    if settings.manifest is None:
        found = _product(settings.contents, settings.styles)
    else:
        suffix = ".jsonl" if settings.manifest == "-" else Path(settings.manifest).suffix.lower()
        if suffix not in READERS:
            raise MinicnnError(
                f"{settings.manifest!r} is no manifest; use a file that ends in "
                f"{', '.join(READERS)}"
            )
        file = "stdin" if settings.manifest == "-" else settings.manifest
        found = list(READERS[suffix](file, _text(settings.manifest)))
    if not found:
        raise MinicnnError(f"there are no rows in {settings.manifest or settings.contents!r}")
    return found


def _text(path):
    try:
        if path == "-":
            data = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(MOST_BYTES + 1)
        text = data.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MinicnnError(f"cannot read the manifest {path!r}: {reason}") from None
    if len(data) > MOST_BYTES:
        raise MinicnnError(f"the manifest {path!r} has more than {MOST_BYTES:,} bytes; cut it up")
    return text


def _json_lines(file, text):
    for line, written in enumerate(text.splitlines(), 1):
        if not written.strip():
            continue
        row = Written(file, line, {}, {})
        try:
            pairs = json.loads(written, object_pairs_hook=_Pairs)
        except json.JSONDecodeError as error:
            row.columns[None] = f"column {error.colno}"
            raise row.fault(f"no JSON: {error.msg}; write an object a line") from None
        except RecursionError:
            raise row.fault("no job: too many brackets; write an object a line") from None
        if not isinstance(pairs, _Pairs):
            raise row.fault('no object; write {"content": "a.jpg", ...} a line')
        for key, value in pairs:
            place = re.search(rf"(?<!\\){re.escape(json.dumps(key))}\s*:", written)
            row.columns.setdefault(key, place and f"column {place.start() + 1}")
            if key in row.values:
                raise row.fault(f"the key {key!r} stands there twice", key)
            row.values[key] = dict(value) if isinstance(value, _Pairs) else value
        yield row


class _Pairs(list):
    """The (key, value) of a JSON object, those that stand there twice too."""


def _csv(file, text):
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    row = Written(file, 1, {}, {})
    try:
        head = next(reader, [])
        for at, key in enumerate(head, 1):
            if not key.strip() or key in head[: at - 1]:
                row.columns[key] = f"column {at}"
                raise row.fault(f"a column is named {key!r}; give each a name of its own", key)
        before = reader.line_num
        for cells in reader:
            row, before = Written(file, before + 1, {}, {}), reader.line_num
            if not any(cells):
                continue
            if len(cells) != len(head):
                raise row.fault(f"{len(cells)} cells, but the first line names {len(head)}")
            for at, (key, cell) in enumerate(zip(head, cells, strict=True), 1):
                row.columns[key] = f"column {at}"
                if cell:
                    row.values[key] = cell.split(SEVERAL) if SEVERAL in cell else cell
            yield row
    except csv.Error as error:
        raise Written(file, reader.line_num, {}, {}).fault(f"no CSV: {error}") from None


READERS = {".jsonl": _json_lines, ".csv": _csv}


def _product(contents, styles):
    """Return a row for every content with every style; all styles of a content after each other."""
    found = []
    for folder in (contents, styles):
        if not Path(folder).is_dir():
            raise MinicnnError(f"there is no folder {folder!r}")
        names = pictures_below(folder)[0]
        if not names:
            raise MinicnnError(f"no pictures in {folder!r}")
        found.append([str(Path(folder, name)) for name in names])
    return [
        Written(f"{content} with {style}", None, {"content": content, "style": style}, {})
        for content in found[0]
        for style in found[1]
    ]
