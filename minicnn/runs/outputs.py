"""Files of a results folder: refused where they exist, written whole or not at all."""

import os
import secrets
from pathlib import Path

from minicnn.errors import MinicnnError


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


def write_bytes(path, data):
    """Write a file by a temporary name in the same folder.

    Raises
    ------
    MinicnnError
        If it cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".minicnn-{secrets.token_hex(8)}.part")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        raise MinicnnError(f"cannot write {str(path)!r}: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)
