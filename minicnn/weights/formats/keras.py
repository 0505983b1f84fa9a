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

import itertools
import re

import h5py
import numpy as np

from minicnn.errors import MinicnnError
from minicnn.storage.hdf5_reading import is_plain
from minicnn.storage.limits import MAX_DEPTH, parse_json
from minicnn.weights.formats import norms

OLD_KINDS = {
    "W": "kernel", "b": "bias", "running_mean": "moving_mean",
    "running_std": "moving_variance",  # it was one, whatever its name says
}  # fmt: skip
OLD = re.compile(r"(?P<layer>.+)_(?P<kind>W|b|gamma|beta|running_mean|running_std)(_\d+)?")
COUNTED = {  # what the arrays of a layer are, in the order in which Keras 3 numbers them
    1: ("kernel",),
    2: ("kernel", "bias"),
    4: ("gamma", "beta", "moving_mean", "moving_variance"),
}
LEFT_OUT = ("optimizer", "optimizer_weights", "training_config", "top_level_model_weights")


def is_keras(file, top: dict) -> bool:
    """Tell whether an HDF5 file with the members `top` comes from Keras."""
    if "keras_version" in file.attrs or "model_weights" in top:
        return True
    if "layers" in top or "_layer_checkpoint_dependencies" in top:
        return "vars" in top or "optimizer" in top
    named = any("weight_names" in member.attrs for member in top.values())
    return named and "layer_names" in file.attrs


def read(source, top: dict, config: bytes | None = None) -> tuple:
    """Return ({"conv1/kernel": array, ...}, layers) of an open file with the members `top`.

    The layers are in order, as far as the file tells. `config` is the JSON of the model, where it
    is not in the file: of a .keras archive.

    Raises
    ------
    MinicnnError
        If two layers come out under the same name, or Theano's kernels are in the file.
    """
    root = top.get("model_weights", source.file)
    if not isinstance(root, h5py.Group):
        raise MinicnnError("model_weights is no group")
    if source.attribute(root, "backend") == "theano":
        raise MinicnnError(
            "saved with Keras on Theano, whose kernels are turned by 180 degrees; save the "
            "weights with Keras on TensorFlow"
        )
    found, numbered = {}, {}
    for path, data in source.walk(root):
        parts = path.split("/")
        if parts[0] in LEFT_OUT or not is_plain(data):
            continue
        if len(parts) > 1 and parts[-2] == "vars":
            numbered.setdefault("/".join(parts[:-2]), {})[parts[-1]] = data
        else:
            layer, kind = _layer_and_kind(parts)
            source.budget.put(found, f"{layer}/{kind}", _ours(source.values(data), kind))
    for path, arrays in numbered.items():
        for layer, kind, data in _by_number(source, root[f"{path}/vars"], path, arrays):
            source.budget.put(found, f"{layer}/{kind}", _ours(source.values(data), kind))
    return found, _layers(source, root, config)


def _layers(source, root, config):
    config = source.attribute(source.file, "model_config", config)
    if isinstance(config, (str, bytes)):
        return _described(parse_json(config, source.budget))
    befores = [None, *source.texts(root, "layer_names")]
    return [norms.Layer(name, "", before) for before, name in itertools.pairwise(befores)]


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


def _layer_and_kind(parts):
    """block1_conv1/block1_conv1/kernel:0, block1_conv1/block1_conv1_W_1:0 -> layer, kind."""
    kind = parts[-1].removesuffix(":0")
    match = OLD.fullmatch(kind)
    if match:
        return match["layer"], OLD_KINDS.get(match["kind"], match["kind"])
    return (parts[-2] if len(parts) > 1 else kind), kind


def _by_number(source, group, path, arrays):
    """Yield (layer, kind, data set) of vars/0, 1, ..., named by their number in the layer."""
    name = source.attribute(group, "name", "")
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
