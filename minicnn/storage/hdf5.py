"""Named arrays and attributes in an HDF5 file: written atomically, read with distrust.

The same arrays and attributes give the same bytes: no times are stored. Numbers of more than a
few values are compressed and carry checksums.

Whoever wrote the file, reading it opens no other file and runs nothing: links, external or
virtual data sets, and every type of object but groups and plain numbers are refused. Whatever is
wrong comes out as one `MinicnnError`. Damage on which libhdf5 would hang is found before
(`hdf5_screening`), and arrays that no file of this size can hold are not read (`limits`).

An attribute is a piece of text, a number, or a list of numbers; anything else that JSON can hold
is stored as text with "json:" in front.
"""

import io
import json
from pathlib import Path

import h5py
import numpy as np

from minicnn.errors import MinicnnError
from minicnn.storage import hdf5_screening
from minicnn.storage.atomic import quoted, write_whole
from minicnn.storage.limits import Budget

JSON = "json:"
COMPRESS_FROM = 1024  # values; below, the bookkeeping takes more than it saves
CHUNK_BYTES = 1 << 20
MAX_DEPTH, MAX_OBJECTS = 8, 10_000
# what h5py raises on damaged files, as found by damaging some
H5PY_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, OverflowError)


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
    except H5PY_ERRORS as error:
        reason = " ".join(str(error).split())
        raise MinicnnError(f"cannot write {quoted(path)}: {reason}") from None
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
    path = Path(path)
    _check_readable(path)
    hdf5_screening.check_file(path)
    try:
        with h5py.File(path, "r") as file:
            attrs = {n: _decode(n, hdf5_screening.attribute(file.attrs, n)) for n in file.attrs}
            datasets = _datasets(file)
            found = {name: (data.shape, data.dtype) for name, data in datasets.items()}
            if check is not None:
                check(found, attrs)
            if not arrays:
                return found, attrs
            budget = Budget(path.stat().st_size)
            for data in datasets.values():
                budget.take(data.shape, data.dtype.itemsize)
            return {name: _native(data[()]) for name, data in datasets.items()}, attrs
    except MinicnnError as error:
        raise MinicnnError(f"{path}: {error}") from None
    except H5PY_ERRORS as error:
        reason = " ".join(str(error).split())
        raise MinicnnError(f"{path} is truncated or damaged: {reason}") from None


def _check_readable(path):
    if path.is_dir():
        raise MinicnnError(f"{path} is a folder, not an HDF5 file")
    try:
        with open(path, "rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise MinicnnError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise MinicnnError(f"{str(path)!r} is not a path: {error}") from None
    if empty or not h5py.is_hdf5(path):
        raise MinicnnError(f"{path} is {'empty' if empty else 'not an HDF5 file'}")


def _datasets(file):
    """Return {name: data set} of every array in `file`, in the order of the names."""
    found, groups, count = {}, [("", file)], 0
    while groups:
        prefix, group = groups.pop()
        for name in group:
            where, count = prefix + name, count + 1
            # hard links can make loops
            if count > MAX_OBJECTS or where.count("/") > MAX_DEPTH:
                raise MinicnnError(f"too many or too deeply nested objects, such as {where}")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise MinicnnError(f"{where} is a link; links are not followed")
            kind = group.get(name, getclass=True)
            if kind is h5py.Group:
                groups.append((where + "/", group[name]))
            elif kind is h5py.Dataset:
                _check_plain(where, group[name])
                found[where] = group[name]
            else:
                raise MinicnnError(f"{where} is a {kind.__name__}, expected a group or an array")
    return dict(sorted(found.items()))


def _check_plain(where, data):
    if data.external or data.is_virtual:
        raise MinicnnError(f"{where} keeps its values in another file, which is not read")
    if data.shape is None or data.dtype.kind not in "fiub":
        raise MinicnnError(f"{where} is not an array of numbers (its type is {data.dtype})")


def _compressed(array):
    rows = max(1, min(len(array), CHUNK_BYTES // array[0].nbytes))
    chunks = (rows, *array.shape[1:])
    return {"compression": "gzip", "shuffle": True, "fletcher32": True, "chunks": chunks}


def _native(array):
    array = np.asarray(array)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


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


def _decode(name, value):
    value = value.decode() if isinstance(value, bytes) else value
    if isinstance(value, str):
        return json.loads(value[len(JSON) :]) if value.startswith(JSON) else value
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fiub":
        return value.tolist()
    raise MinicnnError(f"attribute {name!r} has a type that is not read ({type(value).__name__})")
