"""Raw arrays in NumPy's npz format, written whole or not at all."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.storage.atomic import check_output, write_whole
from minicnn.storage.limits import damage_told, regular_file

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


def save_large(path, arrays, told):
    """Write arrays without compression, straight to the disk, replacing a file that is there.

    Parameters
    ----------
    path : path
    arrays : dict, name -> array of numbers
    told : what JSON holds
        Goes in under the name "metadata", as bytes.
    """
    text = np.frombuffer(json.dumps(told).encode(), np.uint8)
    write_whole(path, lambda file: np.savez(file, **arrays, **{METADATA: text}))


def load_large(path):
    """Return (arrays, told) of a file of `save_large`; its checksums are verified.

    Raises
    ------
    MinicnnError
        If it cannot be read, is damaged, or is another file: one with pickles, or one that would
        take more memory than it has bytes.
    """
    path = Path(path)
    size, _ = regular_file(path)
    with damage_told(path):
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
        if packed or sum(entry.file_size for entry in entries) > size:
            raise MinicnnError("compressed, which minicnn does not do with such a file")
        with np.load(path, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        return arrays, json.loads(arrays.pop(METADATA).tobytes())
