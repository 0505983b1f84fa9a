"""Readers of foreign weight files: each returns plain arrays under the names in the file.

Axes are ours: kernels (K, C, R, S), matrices (out, in). No framework is needed, nothing in a file
is run, and no other file is opened. The format is told by what is in the file, not by its name,
except for the formats without a signature: .caffemodel, .onnx and .net.
"""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import h5py

from minicnn.errors import MinicnnError
from minicnn.storage import hdf5_screening
from minicnn.storage.limits import MAX_BYTES, Budget
from minicnn.weights.formats import (
    caffemodel,
    code_books,
    deep_compression,
    h5,
    keras,
    mat5,
    mat73,
    matconvnet,
    numpy_files,
    onnx,
    pth,
    safetensors,
)
from minicnn.weights.formats.zips import open_zip, read_member

FORMATS = (
    "PyTorch (.pth, .pt)",
    "Caffe (.caffemodel, .caffemodel.h5)",
    "Keras (.h5, .weights.h5, .keras)",
    "MatConvNet (.mat)",
    "NumPy (.npz, .npy)",
    "safetensors",
    "ONNX (.onnx)",
    "Deep Compression SqueezeNet (.net)",
    "HDF5",
)
# what the libraries underneath raise on damaged files, as found by damaging some
DAMAGE = (
    ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, EOFError,
    RecursionError, MemoryError, RuntimeError, OSError, struct.error, zlib.error,
    zipfile.BadZipFile, NotImplementedError, json.JSONDecodeError,
)  # fmt: skip


class Foreign(NamedTuple):
    """A foreign file.

    Attributes
    ----------
    format : str
        pytorch, pytorch-legacy, caffe, caffe-hdf5, keras, matlab5, matlab7.3, npz, npy, pickle,
        safetensors, onnx, deep-compression or hdf5.
    arrays : {name: array}
    flatten : {"CHW", "HWC"}
        In which order the rows of a matrix behind a map run over the map.
    layers : list of norms.Layer
        In order, as far as the file tells; needed to fold batch normalisations.
    """

    format: str
    arrays: dict
    flatten: str = "CHW"
    layers: Sequence = ()


def read(path) -> Foreign:
    """Read a weight file of any format in `FORMATS`.

    Raises
    ------
    MinicnnError
        If there is no such file, it is of no known format, is damaged, holds something else than
        arrays, or claims more than a file of its size can hold.
    """
    path = Path(path)
    size, head = _head(path)
    if h5.is_hdf5(head):
        hdf5_screening.check_file(path)
    try:
        if h5.is_hdf5(head):
            foreign = _from_hdf5(path, size)
        else:
            foreign = _from_bytes(path.read_bytes(), path.suffix)
        if not foreign.arrays:
            raise MinicnnError("it holds no arrays")
        return foreign._replace(arrays=code_books.look_up(foreign.arrays))
    except MinicnnError as error:
        raise MinicnnError(f"{path}: {error}") from None
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise MinicnnError(f"{path} is truncated or damaged: {reason}") from None


def _head(path):
    """Return the size of a file and its first bytes."""
    try:
        size = path.stat().st_size
        regular = path.is_file()
        head = _first_bytes(path) if regular and size <= MAX_BYTES else b""
    except OSError as error:
        raise MinicnnError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise MinicnnError(f"{str(path)!r} is not a path: {error}") from None
    if not regular:
        raise MinicnnError(f"{path} is a folder or a device, not a file")
    if size > MAX_BYTES:
        raise MinicnnError(f"{path} has {size} bytes; weight files have at most {MAX_BYTES}")
    if not head:
        raise MinicnnError(f"{path} is empty")
    return size, head


def _first_bytes(path):
    with open(path, "rb") as file:
        return file.read(h5.HEAD)


def _from_bytes(data, suffix):
    if data[:4] == b"PK\x03\x04":
        return _from_zip(data)
    if data[:6] == numpy_files.MAGIC:
        return Foreign("npy", numpy_files.read_npy(data), "HWC")
    if data[:15] == pth.SIGNATURE:
        return Foreign("pytorch-legacy", pth.read_legacy(data))
    if mat5.is_mat5(data):
        return _from_matlab("matlab5", mat5.read_tree(data, Budget(len(data))))
    if suffix == ".net":
        return Foreign("deep-compression", deep_compression.read(data))
    if suffix == ".onnx":
        return Foreign("onnx", onnx.read(data))
    if data[8:9] == b"{":
        return Foreign("safetensors", safetensors.read(data))
    if suffix == ".caffemodel":
        return Foreign("caffe", caffemodel.read(data), layers=caffemodel.layers(data))
    raise MinicnnError(f"not a weight file of a known format; these are {', '.join(FORMATS)}")


def _from_zip(data):
    archive = open_zip(data)
    names = archive.namelist()
    if pth.is_zip(names):
        return Foreign("pytorch", pth.read_zip(data))
    if "model.weights.h5" in names:
        budget = Budget(len(data))
        inner = read_member(archive, "model.weights.h5", budget)
        hdf5_screening.check_heaps(inner)
        config = read_member(archive, "config.json", budget) if "config.json" in names else None
        return _from_hdf5(io.BytesIO(inner), len(inner), config)
    return Foreign("npz", numpy_files.read_npz(data))


def _from_matlab(version, tree):
    return Foreign(version, matconvnet.arrays(tree), layers=matconvnet.layers(tree))


def _from_hdf5(source, size, config=None):
    budget = Budget(size)
    with h5py.File(source, "r") as file:
        if mat73.is_mat73(file):
            return _from_matlab("matlab7.3", mat73.read_tree(file, budget))
        if h5.is_caffe(file):
            return Foreign("caffe-hdf5", h5.read_caffe(file, budget))
        if keras.is_keras(file):
            return Foreign("keras", keras.read(file, budget), "HWC", keras.layers(file, config))
        return Foreign("hdf5", h5.read_plain(file, budget))
