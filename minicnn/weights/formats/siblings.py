"""Weights in several files: the others stand in the same folder, and are regular files."""

from pathlib import Path

from minicnn.errors import MinicnnError
from minicnn.storage.limits import weight_file


def read_beside(path: Path, name: str, budget) -> bytes:
    """Return the bytes of the file `name` beside `path`; the budget grows by its size.

    Raises
    ------
    MinicnnError
        If `name` leads out of the folder, or is no regular file there.
    """
    if not isinstance(name, str) or name in ("", ".", "..") or set(name) & set("/\\\0"):
        raise MinicnnError(f"it wants a file {str(name)[:60]!r}, which is no name beside it")
    size, _ = weight_file(path.parent / name)
    budget.more(size)
    return (path.parent / name).read_bytes()
