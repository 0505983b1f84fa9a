"""Keras files: kernels (R, S, C, K) become (K, C, R, S), matrices (in, out) become (out, in).

    .h5 of Keras 1 and 2   [model_weights/]LAYER/.../kernel:0, bias:0, ... ("LAYER_W_1:0" in the
                           files of Keras Applications)
    .weights.h5 of Keras 3 layers/TYPE_NUMBER/vars/0, 1, ...; the attribute "name" of vars is the
                           layer's own
    .keras                 a zip archive with the latter as model.weights.h5

Arrays are called layer/kernel, layer/bias, layer/gamma, ... The state of the optimizer is left
out. Keras flattens maps in the order H, W, C.

Sources: keras/engine/saving.py (Keras 2.2), keras/src/saving/saving_lib.py (Keras 3).
"""

import json
import re

import h5py
import numpy as np

from minicnn.errors import MinicnnError
from minicnn.storage import hdf5_screening
from minicnn.weights.formats import norms
from minicnn.weights.formats.h5 import values, walk

OLD_KINDS = {
    "W": "kernel", "b": "bias", "running_mean": "moving_mean",
    "running_std": "moving_variance",  # it was one, whatever its name says
}  # fmt: skip
MAX_DEPTH = 16
OLD = re.compile(r"(?P<layer>.+)_(?P<kind>W|b|gamma|beta|running_mean|running_std)(_\d+)?")
COUNTED = {  # what the arrays of a layer are, in the order in which Keras 3 numbers them
    1: ("kernel",),
    2: ("kernel", "bias"),
    4: ("gamma", "beta", "moving_mean", "moving_variance"),
}
HARD = h5py.HardLink
LEFT_OUT = ("optimizer", "optimizer_weights", "training_config", "top_level_model_weights")


def is_keras(file) -> bool:
    """Tell whether an HDF5 file comes from Keras."""
    if "keras_version" in file.attrs or "model_weights" in file:
        return True
    if "layers" in file or "_layer_checkpoint_dependencies" in file:
        return "vars" in file or "optimizer" in file
    groups = (file[name] for name in file if file.get(name, getlink=True, getclass=True) is HARD)
    return "layer_names" in file.attrs and any("weight_names" in group.attrs for group in groups)


def read(file, budget) -> dict:
    """Return {"conv1/kernel": array, ...} of an open HDF5 file.

    Raises
    ------
    MinicnnError
        If two layers come out under the same name, or Theano's kernels are in the file.
    """
    root = file["model_weights"] if "model_weights" in file else file
    if hdf5_screening.attribute(root.attrs, "backend") in ("theano", b"theano"):
        raise MinicnnError(
            "saved with Keras on Theano, whose kernels are turned by 180 degrees; save the "
            "weights with Keras on TensorFlow"
        )
    found, numbered = {}, {}
    for path, data in walk(root, budget):
        parts = path.split("/")
        if parts[0] in LEFT_OUT:
            continue
        if len(parts) > 1 and parts[-2] == "vars":
            numbered.setdefault("/".join(parts[:-2]), {})[parts[-1]] = data
        else:
            _add(found, *_layer_and_kind(parts), values(data, budget))
    for path, arrays in numbered.items():
        for layer, kind, data in _by_number(root, path, arrays):
            _add(found, layer, kind, values(data, budget))
    return found


def layers(file, config: str | bytes | None = None) -> list[norms.Layer]:
    """Return the layers of an open file in order, as far as it tells.

    Parameters
    ----------
    file : h5py.File
    config : str or bytes, optional
        The JSON of the model, where it is not in the file: of a .keras archive.
    """
    root = file["model_weights"] if "model_weights" in file else file
    config = hdf5_screening.attribute(file.attrs, "model_config", config)
    if isinstance(config, (str, bytes)):
        return _described(json.loads(config))
    names = [
        name.decode() if isinstance(name, bytes) else str(name)
        for name in np.ravel(hdf5_screening.attribute(root.attrs, "layer_names", []))
    ]
    befores = [None, *names]
    return [norms.Layer(name, "", before) for name, before in zip(names, befores, strict=False)]


def _described(model):
    """Return the layers of a model's configuration; none of one that is written in Python."""
    inner = _part(model, "config", dict | list)
    entries = inner if isinstance(inner, list) else _part(inner, "layers", list)
    found, before = [], None
    for entry in entries or ():
        config = _part(entry, "config", dict)
        name, eps = str(_part(config, "name", str)), _part(config, "epsilon", int | float)
        source = _first_text(_part(entry, "inbound_nodes", list), MAX_DEPTH) or before
        found.append(norms.Layer(name, str(_part(entry, "class_name", str)), source, eps))
        before = name
    return found


def _part(value, key, kind):
    """Return value[key] if it is of that kind, else None."""
    part = value.get(key) if isinstance(value, dict) else None
    return part if isinstance(part, kind) else None


def _first_text(value, depth):
    """Return the name of the first layer that `inbound_nodes` speaks of, of Keras 2 or 3.

    [[["conv1", 0, 0, {}]]]
    [{"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["conv1", 0, 0]}}]}]
    """
    if depth < 0:
        return None
    if isinstance(value, list):
        if value and isinstance(value[0], str):
            return value[0]
        values = value
    elif isinstance(value, dict):
        values = [value[key] for key in ("args", "config", "keras_history") if key in value]
    else:
        return None
    found = (_first_text(inner, depth - 1) for inner in values)
    return next((name for name in found if name), None)


def _add(found, layer, kind, array):
    key = f"{layer}/{kind}"
    if key in found:
        raise MinicnnError(f"two arrays are named {key[:60]}")
    found[key] = _ours(array, kind)


def _layer_and_kind(parts):
    """block1_conv1/block1_conv1/kernel:0, block1_conv1/block1_conv1_W_1:0 -> layer, kind."""
    kind = parts[-1].removesuffix(":0")
    match = OLD.fullmatch(kind)
    if match:
        return match["layer"], OLD_KINDS.get(match["kind"], match["kind"])
    return (parts[-2] if len(parts) > 1 else kind), kind


def _by_number(root, path, arrays):
    """Yield (layer, kind, data set) of vars/0, 1, ..., named by their number in the layer."""
    name = hdf5_screening.attribute(root[f"{path}/vars"].attrs, "name", "")
    name = name.decode() if isinstance(name, bytes) else name
    layer = name if isinstance(name, str) and name else path.rpartition("/")[2]
    kinds = COUNTED.get(len(arrays), ())
    for number, data in arrays.items():
        known = number.isdigit() and int(number) < len(kinds)
        kind = kinds[int(number)] if known else number
        yield layer, "alpha" if "prelu" in layer.lower() and len(arrays) == 1 else kind, data


def _ours(array, kind):
    if kind.endswith("kernel") and array.ndim == 4:
        return np.ascontiguousarray(array.transpose(3, 2, 0, 1))
    if kind.endswith("kernel") and array.ndim == 2:
        return np.ascontiguousarray(array.T)
    return array
