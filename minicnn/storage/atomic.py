"""Files written whole or not at all, and their hashes."""

import contextlib
import hashlib
import os
import secrets
from pathlib import Path

from minicnn.errors import MinicnnError


def file_hash(path):
    """Return the SHA-256 of a file.

    Raises
    ------
    MinicnnError
        If it cannot be read.
    """
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise MinicnnError(f"cannot read {str(path)!r}: {error.strerror or error}") from None


def write_whole(path, data):
    """Write bytes to a temporary file beside `path`, which then takes its name."""
    with temporary_beside(path) as temporary:
        with open(temporary, "xb") as file:
            file.write(data)
        os.replace(temporary, os.path.realpath(path))


@contextlib.contextmanager
def temporary_beside(path):
    """Give a new name beside `path`; leave nothing there, and put failures into one line."""
    folder = os.path.dirname(os.path.realpath(path))
    temporary = os.path.join(folder, f".minicnn-{secrets.token_hex(8)}.part")
    try:
        yield temporary
    except OSError as error:
        reason = error.strerror or error
        raise MinicnnError(f"cannot write {quoted(path)}: {reason} (folder {folder!r})") from error
    finally:
        with contextlib.suppress(OSError):
            os.remove(temporary)


def quoted(path):
    """Return the path in quotes, on one line whatever characters it has."""
    return repr(os.fspath(path))
