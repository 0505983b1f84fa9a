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


def refuse_clashes(paths, inputs):
    """Raise `MinicnnError` if a file to be written is one of the inputs, or is named twice."""
    taken = {Path(path).resolve(): "an input of this run" for path in inputs}
    for path in paths:
        place = Path(path).resolve()
        if place in taken:
            raise MinicnnError(f"cannot write {str(path)!r}: it is {taken[place]}")
        taken[place] = "already to be written by this run"


def results_folder(path, names, force=False):
    """Make a folder for results and return it as `Path`.

    Parameters
    ----------
    path : path
    names : list of str
        Files that are going to be written there.
    force : bool
        They may be there already.

    Raises
    ------
    MinicnnError
        If the folder cannot be made, or one of the files is there and may not be replaced.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MinicnnError(f"cannot make the folder {str(path)!r}: {error.strerror}") from None
    taken = [folder / name for name in names if (folder / name).exists()]
    if taken and not force:
        raise MinicnnError(
            f"{taken[0]} exists already; replace it with --force, or give another folder"
        )
    return folder
