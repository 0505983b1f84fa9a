"""A file that comes in pieces: what is there so far, where it comes from, and its hash.

NAME.part       what has come; it becomes NAME when it is whole and its hash is right
NAME.part.json  where it comes from and what the server called it (ETag, Last-Modified)
"""

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from minicnn.errors import MinicnnError

BLOCK = 1 << 20


class Digest(NamedTuple):
    """The beginning of a file's hash, or all of it, as its publisher gives it."""

    algorithm: str
    start: str

    @property
    def whole(self) -> bool:
        """Whether it is all of the hash."""
        return len(self.start) == 2 * hashlib.new(self.algorithm).digest_size


def hashes(path: Path, digest: Digest | None = None) -> tuple:
    """Return (SHA-256 of a file, what is wrong with the hash that `digest` tells, or None)."""
    hashers = {name: hashlib.new(name) for name in {"sha256", digest and digest.algorithm} - {None}}
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            for hasher in hashers.values():
                hasher.update(block)
    found = {name: hasher.hexdigest() for name, hasher in hashers.items()}
    if digest is None or found[digest.algorithm].startswith(digest.start):
        return found["sha256"], None
    verb = "is" if digest.whole else "begins with"
    name = digest.algorithm.upper().replace("SHA", "SHA-")
    wrong = found[digest.algorithm]
    return found["sha256"], f"its {name} is {wrong}, the right one {verb} {digest.start}"


class PartialFile:
    """The beginning of the file `path`, locked: two commands do not write into it at once.

    Parameters
    ----------
    path : Path
        Of the whole file.
    url : str
        Where it comes from. A beginning from elsewhere, or one that the server gave no name by
        which it could be told from another version, is dropped.

    Raises
    ------
    MinicnnError
        On entering, if another command writes it.
    """

    def __init__(self, path: Path, url: str):
        self.path, self.url = path, url
        self.part = path.with_name(f"{path.name}.part")
        self._state = path.with_name(f"{path.name}.part.json")
        self.origin, self.continued = {}, False

    def __enter__(self):
        self._file = open(self.part, "ab")
        try:
            _lock(self._file)
        except OSError:
            self._file.close()
            raise MinicnnError(f"{str(self.part)!r} is being written by another command") from None
        self.origin = self._read_state()
        if self.origin.get("url") != self.url or not self.validator():
            self.restart()
        return self

    def __exit__(self, *_):
        self._file.close()
        if self.part.is_file() and not self.part.stat().st_size:
            self._remove()

    def size(self) -> int:
        """Return how many bytes are there."""
        return self._file.seek(0, os.SEEK_END)

    def validator(self) -> str | None:
        """Return what If-Range may compare; a weak ETag may not be used for that."""
        etag = self.origin.get("etag")
        return etag if etag and etag.startswith('"') else self.origin.get("modified")

    def restart(self) -> None:
        """Forget what has come."""
        self._file.truncate(0)
        self.origin, self.continued = {}, False

    def begin(self, headers, total: int | None) -> None:
        """Start over with the version of the file that these headers tell of."""
        self.restart()
        self.origin = {
            "url": self.url,
            "etag": headers.get("ETag"),
            "modified": headers.get("Last-Modified"),
            "total": total,
        }
        self._state.write_text(json.dumps(self.origin), encoding="utf-8")

    def append(self, chunk: bytes) -> None:
        """Write what has come."""
        self._file.write(chunk)

    def flush(self) -> None:
        """Bring it to the disk's file, where `hashes` reads it."""
        self._file.flush()

    def discard(self) -> None:
        """Delete what has come."""
        self._file.close()
        self._remove()

    def finish(self) -> None:
        """Make it the whole file."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self.part, self.path)
        self._remove()

    def _remove(self):
        self.part.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)

    def _read_state(self):
        try:
            found = json.loads(self._state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        texts = isinstance(found, dict) and {type(found.get(k)) for k in ("etag", "modified")}
        return found if texts and texts <= {str, type(None)} else {}


def _lock(file):
    """Take hold of an open file, or raise OSError; closing it lets go."""
    with contextlib.suppress(ImportError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with contextlib.suppress(ImportError):
        import msvcrt

        file.seek(1 << 40)  # Windows keeps others from reading what is locked: nothing is there
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
