"""Raw arrays in NumPy's npz format, written whole or not at all."""

import contextlib
import io
import json
import os
import secrets
from pathlib import Path

import numpy as np

from minicnn.errors import MinicnnError

METADATA = "metadata"


def check_npz(path, force=False):
    """Check that `save_npz` can write to `path`; call it before a long computation.

    Raises
    ------
    MinicnnError
        If the name does not end in .npz, the folder is missing, or a file is there already and
        `force` is not set.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise MinicnnError(f"cannot write {str(path)!r}: raw arrays need a name that ends in .npz")
    if path.is_dir():
        raise MinicnnError(f"cannot write {str(path)!r}: it is a folder; give a file name")
    if not path.parent.is_dir():
        raise MinicnnError(
            f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}; create it first"
        )
    if not os.access(path.parent, os.W_OK):
        raise MinicnnError(f"cannot write {str(path)!r}: the folder cannot be written to")
    if path.exists() and not force:
        raise MinicnnError(
            f"{str(path)!r} exists already; give another name, or force to replace it"
        )


def save_npz(path, arrays, metadata=None, *, force=False):
    """Write arrays; the same arrays and metadata give the same bytes.

    Parameters
    ----------
    path : path
    arrays : dict, name -> array of numbers
    metadata : dict, optional
        Goes in as JSON text, under the name "metadata".
    force : bool
        Replace an existing file.

    Raises
    ------
    MinicnnError
        As `check_npz` does, or if the disk is full.
    """
    check_npz(path, force)
    if metadata is not None:
        arrays = {**arrays, METADATA: np.array(json.dumps(metadata, sort_keys=True, default=str))}
    memory = io.BytesIO()
    np.savez_compressed(memory, **arrays)
    temporary = Path(path).with_name(f".minicnn-{secrets.token_hex(8)}.part")
    try:
        temporary.write_bytes(memory.getvalue())
        os.replace(temporary, path)
    except OSError as error:
        raise MinicnnError(f"cannot write {str(path)!r}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
