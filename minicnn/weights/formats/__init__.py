"""Readers of foreign weight files: each returns plain arrays under the names in the file.

Axes are ours: kernels (K, C, R, S), matrices (out, in). No framework is needed, nothing in a file
is run, and no other file is opened but those that go with a checkpoint, model.json or
.weights, beside it. The format is told by what is in the file, not by its name, except for the
formats without a signature: .onnx, .net and .weights.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import h5py

from minicnn.errors import MinicnnError
from minicnn.storage import hdf5_screening
from minicnn.storage.hdf5_reading import Hdf5Source, is_hdf5, is_plain, reading
from minicnn.storage.limits import Budget, damage_told, weight_file
from minicnn.weights.formats import (
    caffemodel,
    code_books,
    darknet,
    deep_compression,
    keras,
    mat5,
    mat73,
    matconvnet,
    mxnet,
    numpy_files,
    numpy_pickles,
    onnx,
    pth,
    safetensors,
    strangers,
    tensorflow,
    tfjs,
    torch7,
)
from minicnn.weights.formats.names import ORDERS
from minicnn.weights.formats.zips import open_zip, read_member

FORMATS = (
    "PyTorch (.pth, .pt)",
    "Caffe (.caffemodel, .caffemodel.h5)",
    "Keras (.h5, .weights.h5, .keras)",
    "TensorFlow (.index of a checkpoint, .ckpt, model.json)",
    "MatConvNet (.mat)",
    "NumPy (.npz, .npy, pickles of arrays)",
    "Torch7 (.t7)",
    "MXNet (.params)",
    "darknet (.weights with its .cfg)",
    "safetensors",
    "ONNX (.onnx)",
    "Deep Compression SqueezeNet (.net)",
    "HDF5",
)


class Foreign(NamedTuple):
    """A foreign file.

    Attributes
    ----------
    format : str
        pytorch, pytorch-legacy, caffe, caffe-hdf5, keras, matlab5, matlab7.3, npz, npy, pickle,
        tensorflow, tfjs, torch7, mxnet, darknet, safetensors, onnx, deep-compression or hdf5.
    arrays : {name: array}
    layers : list of norms.Layer
        In order, as far as the file tells; needed to fold batch normalisations.
    flatten : {"CHW", "HWC"}
        In which order the rows of a matrix behind a map run over the map.
    """

    format: str
    arrays: dict
    layers: Sequence = ()
    flatten: str = "CHW"


def read(path, order: str | None = None) -> Foreign:
    """Read a weight file of any format in `FORMATS`.

    Parameters
    ----------
    path : path
    order : {"theano", "tensorflow"}, optional
        On which of the two Keras trained the weights, where the file does not say it.

    Raises
    ------
    MinicnnError
        If there is no such file, it is of no known format, is damaged, holds something else than
        arrays, or claims more than a file of its size can hold.
    """
    if order not in (None, *ORDERS):
        raise MinicnnError(f"no order {order!r}; use {', '.join(ORDERS)}")
    path = Path(path)
    strangers.check_path(path)
    size, head = weight_file(path)
    if is_hdf5(head):
        with reading(path) as source:
            return _complete(_from_hdf5(source, order), order)
    with damage_told(path):
        data = path.read_bytes()
        return _complete(_from_bytes(data, path, Budget(size), order), order)


def _complete(foreign, order):
    if order and foreign.format != "keras":
        raise MinicnnError("no file of Keras; leave out --order")
    if not foreign.arrays:
        raise MinicnnError("it holds no arrays")
    return foreign._replace(arrays=code_books.look_up(foreign.arrays))


def _from_bytes(data, path, budget, order):
    suffix = path.suffix
    if data[:4] == b"PK\x03\x04":
        return _from_zip(open_zip(data, budget), budget, order)
    if data[:6] == numpy_files.MAGIC:
        return Foreign("npy", numpy_files.read_npy(data, budget), flatten="HWC")
    if data[:15] == pth.SIGNATURE:
        return Foreign("pytorch-legacy", pth.read_legacy(data, budget))
    if mat5.is_mat5(data):
        tree = mat5.read_tree(data, budget)
        return Foreign("matlab5", *matconvnet.read(tree, budget))
    if data[-8:] == tensorflow.MAGIC:
        return Foreign("tensorflow", tensorflow.read(data, path, budget), flatten="HWC")
    if data[:64].lstrip()[:1] == b"{" and tfjs.MARK in data:
        return Foreign("tfjs", tfjs.read(data, path, budget), flatten="HWC")
    if torch7.is_torch7(data):
        return Foreign("torch7", *torch7.read(data, budget))
    if data[:16] == mxnet.SIGNATURE:
        return Foreign("mxnet", mxnet.read(data, budget))
    if data[8:9] == b"{":
        return Foreign("safetensors", safetensors.read(data, budget))
    strangers.check(data, suffix)
    if data[:2] in numpy_pickles.PROTOCOLS:
        return Foreign("pickle", numpy_pickles.read(data, budget))
    if suffix == ".net":
        return Foreign("deep-compression", deep_compression.read(data))
    if suffix == ".onnx":
        return Foreign("onnx", onnx.read(data, budget))
    if suffix == ".weights":
        return Foreign("darknet", *darknet.read(data, path, budget))
    if suffix == ".caffemodel" or caffemodel.is_caffemodel(data, budget):
        return Foreign("caffe", *caffemodel.read(data, budget))
    raise MinicnnError(f"not a weight file of a known format; these are {', '.join(FORMATS)}")


def _from_zip(archive, budget, order):
    names = archive.namelist()
    strangers.check_zip(names)
    if pth.is_zip(names):
        return Foreign("pytorch", pth.read_zip(archive, budget))
    if "model.weights.h5" in names:
        inner = read_member(archive, "model.weights.h5", budget)
        longest = hdf5_screening.check_heaps(inner)
        config = read_member(archive, "config.json", budget) if "config.json" in names else None
        with h5py.File(io.BytesIO(inner), "r") as file:
            return _from_hdf5(Hdf5Source(file, budget, longest), order, config)
    return Foreign("npz", numpy_files.read_npz(archive, budget))


def _from_hdf5(source, order, config=None):
    top = dict(source.members(source.file))
    if mat73.is_mat73(top):
        tree = mat73.read_tree(source, top)
        return Foreign("matlab7.3", *matconvnet.read(tree, source.budget))
    if set(top) <= {"data", "diff"} and isinstance(top.get("data"), h5py.Group):
        return Foreign("caffe-hdf5", _plain(source, top["data"]))  # LAYER/0, ..., axes as ours
    if keras.is_keras(source.file, top):
        return Foreign("keras", *keras.read(source, top, config, order))
    return Foreign("hdf5", _plain(source, source.file))


def _plain(source, group):
    return {path: source.values(data) for path, data in source.walk(group) if is_plain(data)}
