"""Named arrays and attributes in an HDF5 file: written atomically, read with distrust.

The same arrays and attributes give the same bytes: no times are stored. Numbers of more than a
few values are compressed and carry checksums.

`hdf5_reading` says what is refused. Whatever is wrong comes out as one `MinicnnError`.

An attribute is a piece of text, a number, or a list of numbers; anything else that JSON can hold
is stored as text with "json:" in front.
"""

import io
import json

import h5py
import numpy as np

from minicnn.errors import MinicnnError, one_line
from minicnn.storage.atomic import quoted, write_whole
from minicnn.storage.hdf5_reading import is_plain, reading
from minicnn.storage.limits import DAMAGE, parse_json

JSON = "json:"
COMPRESS_FROM = 1024  # values; below, the bookkeeping takes more than it saves
CHUNK_BYTES = 1 << 20


def save_arrays(path, arrays, attrs=None, *, compression=True):
    """Write a file, replacing one that is there only when all is written.

    Parameters
    ----------
    path : path
        In a folder that exists.
    arrays : {name: array}
        Of numbers, on the host; "/" in a name makes groups.
    attrs : {name: value}, optional
        Text, numbers, lists, dicts, None.
    compression : bool

    Raises
    ------
    MinicnnError
        If the file cannot be written, or an attribute has no place in it.
    """
    encoded = {name: _encode(name, value) for name, value in (attrs or {}).items()}
    memory = io.BytesIO()  # libhdf5 crashes where a disk is full
    try:
        with h5py.File(memory, "w") as file:
            for name, value in encoded.items():
                file.attrs[name] = value
            for name, array in arrays.items():
                options = _compressed(array) if compression and array.size >= COMPRESS_FROM else {}
                file.create_dataset(name, data=array, track_times=False, **options)
    except DAMAGE as error:
        raise MinicnnError(f"cannot write {quoted(path)}: {one_line(error)}") from None
    write_whole(path, memory.getbuffer())


def load_arrays(path, *, check=None):
    """Read a file.

    Parameters
    ----------
    path : path
    check : function, optional
        Called as check({name: (shape, dtype)}, attrs) before any array is read.

    Returns
    -------
    arrays : {name: array}
    attrs : {name: value}

    Raises
    ------
    MinicnnError
        If there is no such file, it is no HDF5 file, is damaged, or holds something else than
        arrays of numbers.
    """
    return _read(path, check, arrays=True)


def inspect(path):
    """Return ({name: (shape, dtype)}, attrs) of a file; see `load_arrays`."""
    return _read(path, None, arrays=False)


def _read(path, check, *, arrays):
    with reading(path) as source:
        attrs = {name: _decode(name, source) for name in source.file.attrs}
        datasets = dict(sorted(source.walk(source.file)))
        for where, data in datasets.items():
            if not is_plain(data):
                raise MinicnnError(f"{where} is not an array of numbers (its type is {data.dtype})")
        found = {where: (data.shape, data.dtype) for where, data in datasets.items()}
        if check is not None:
            check(found, attrs)
        if not arrays:
            return found, attrs
        return {where: source.values(data) for where, data in datasets.items()}, attrs


def _compressed(array):
    rows = max(1, min(len(array), CHUNK_BYTES // array[0].nbytes))
    chunks = (rows, *array.shape[1:])
    return {"compression": "gzip", "shuffle": True, "fletcher32": True, "chunks": chunks}


def _encode(name, value):
    value = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
    if isinstance(value, str) and value.isprintable() and not value.startswith(JSON):
        return value
    if isinstance(value, (bool, float)) or (type(value) is int and abs(value) < 2**63):
        return value
    if isinstance(value, (list, tuple)) and {type(v) for v in value} == {float}:
        return np.array(value)
    try:
        return JSON + json.dumps(value)
    except (TypeError, ValueError) as error:
        raise MinicnnError(f"attribute {name!r} cannot be stored: {error}") from None


def _decode(name, source):
    value = source.attribute(source.file, name)
    if isinstance(value, str):
        return parse_json(value[len(JSON) :], source.budget) if value.startswith(JSON) else value
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fiub":
        return value.tolist()
    raise MinicnnError(
        f"attribute {name!r} has a type that is not read ({type(value).__name__}): it is no file "
        "of minicnn; weights of other programs are read by `minicnn weights convert`"
    )
