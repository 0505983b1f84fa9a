"""Raw arrays in NumPy's npz format, written whole or not at all."""

import io
import json

import numpy as np

from minicnn.storage.atomic import check_output, write_whole

METADATA = "metadata"


def check_npz(path, force=False):
    """Check that `save_npz` can write to `path`, see `atomic.check_output`."""
    check_output(path, force, (".npz",))


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
    write_whole(path, memory.getvalue())
