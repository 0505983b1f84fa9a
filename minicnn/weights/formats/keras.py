"""Keras files: kernels (R, S, C, K) become (K, C, R, S), matrices (in, out) become (out, in).

    .h5 of Keras 0         LAYER/param_0, param_1, ...
    .h5 of Keras 1 and 2   [model_weights/]LAYER/.../kernel:0, bias:0, ... ("LAYER_W_1:0" in the
                           files of Keras Applications)
    .weights.h5 of Keras 3 layers/TYPE_NUMBER/vars/0, 1, ...; the attribute "name" of vars is the
                           layer's own
    .keras                 a zip archive with the latter as model.weights.h5

Arrays are called layer/kernel, layer/bias, layer/gamma, ... The layer is the group in the file; a
model that is a layer itself has its inner layers' scopes in its group, and they are the names. The
state of the optimizer is left out. Keras flattens maps in the order H, W, C.

On Theano, Keras turned kernels by 180 degrees, and maps were usually C, H, W, flattened so; Keras 0
and 1 stored the kernels of such maps as (K, C, R, S). The length of the bias tells those axes. No
array tells whether it was turned: whoever has the file says so (`order`), unless it says that it
comes from TensorFlow.

Sources: keras/engine/topology.py (Keras 1.2), saving.py (2.2), keras/src/saving/saving_lib.py (3).
"""

import itertools
import re

import h5py
import numpy as np

from minicnn.errors import MinicnnError
from minicnn.storage.hdf5_reading import is_plain
from minicnn.storage.limits import MAX_DEPTH, parse_json
from minicnn.weights.formats import norms
from minicnn.weights.formats.names import ORDERS

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
COUNTED_IN_KERAS_0 = re.compile(r"param_(\d+)")
LEFT_OUT = ("optimizer", "optimizer_weights", "training_config", "top_level_model_weights")


def is_keras(file, top: dict) -> bool:
    """Tell whether an HDF5 file with the members `top` comes from Keras."""
    if {"keras_version", "nb_layers"} & set(file.attrs) or "model_weights" in top:
        return True
    if "layers" in top or "_layer_checkpoint_dependencies" in top:
        return "vars" in top or "optimizer" in top
    named = any("weight_names" in member.attrs for member in top.values())
    return named and "layer_names" in file.attrs


def read(source, top: dict, config: bytes | None = None, order: str | None = None) -> tuple:
    """Return ({"conv1/kernel": array, ...}, layers, flatten) of an open file with members `top`.

    The layers are in order, as far as the file tells; for flatten see `formats.Foreign`. `config`
    is the JSON of the model, where it is not in the file: of a .keras archive.

    Parameters
    ----------
    order : {"theano", "tensorflow"}, optional
        On which of the two the weights were trained, where the file does not say it.

    Raises
    ------
    MinicnnError
        If two layers come out under the same name, or it cannot be told how kernels stand.
    """
    root = top.get("model_weights", source.file)
    if not isinstance(root, h5py.Group):
        raise MinicnnError("model_weights is no group")
    groups, numbered = {}, {}  # {layer's group: [(parts within, data)]}, {path: {number: data}}
    names = set(source.texts(root, "layer_names"))
    for path, data in source.walk(root):
        parts = path.split("/")
        if parts[0] in LEFT_OUT or not is_plain(data):
            continue
        counted = COUNTED_IN_KERAS_0.fullmatch(parts[-1])
        if counted or (len(parts) > 1 and parts[-2] == "vars"):
            number = counted[1] if counted else parts[-1]
            numbered.setdefault("/".join(parts[:-1]), {})[number] = data
        else:
            at = _layer_group(parts, names)
            groups.setdefault("/".join(parts[:at]), []).append((parts[at:], data))
    found, old = {}, {}  # old: names of the kernels of Keras 0 and 1
    for name, group in groups.items():
        entries = [_layer_and_kind(parts) for parts, _ in group]
        inner = name and len({scope for scope, _, _ in entries}) > 1
        for (scope, kind, is_old), (_, data) in zip(entries, group, strict=True):
            key = f"{scope if inner or not name else name}/{kind}"
            source.budget.put(found, key, source.values(data))
            old[key] = is_old
    for path, arrays in numbered.items():
        for layer, kind, data in _by_number(source, root[path], path, arrays):
            source.budget.put(found, f"{layer}/{kind}", source.values(data))
            old[f"{layer}/{kind}"] = not path.endswith("/vars")
    backend = source.attribute(root, "backend")
    old = [name for name, is_old in old.items() if is_old and name.endswith("/kernel")]
    found, flatten = _ours(found, old, backend, order)
    return found, _layers(source, root, config), flatten


def _layer_group(parts, names):
    """Return how many parts of a path are the name of its layer; names may have slashes."""
    for at in range(1, len(parts)):
        if "/".join(parts[:at]) in names:
            return at
    return 0


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
    """block1_conv1/kernel:0, block1_conv1_W_1:0 -> scope, kind, whether that is of Keras 1."""
    kind = parts[-1].removesuffix(":0")
    match = OLD.fullmatch(kind)
    if match:
        return match["layer"], OLD_KINDS.get(match["kind"], match["kind"]), True
    return (parts[-2] if len(parts) > 1 else kind), kind, False


def _by_number(source, group, path, arrays):
    """Yield (layer, kind, data set) of vars/0, 1, ..., named by their number in the layer."""
    name = source.attribute(group, "name", "")
    own = path.removesuffix("/vars").rpartition("/")[2]
    layer = name if isinstance(name, str) and name else own
    kinds = COUNTED.get(len(arrays), ())
    for number, data in arrays.items():
        known = number.isdigit() and int(number) < len(kinds)
        kind = kinds[int(number)] if known else number
        yield layer, "alpha" if "prelu" in layer.lower() and len(arrays) == 1 else kind, data


def _ours(arrays, old, backend, order):
    """Return the arrays with our axes, kernels turned back if they are Theano's; and flatten."""
    if order and backend in ORDERS and order != backend:
        raise MinicnnError(f"it says that it comes from Keras on {backend}; leave out --order")
    kernels = [name for name in old if arrays[name].ndim == 4]
    votes = {_axes(arrays, name) for name in kernels} - {None}
    if len(votes) > 1:
        raise MinicnnError("kernels of some layers are (K, C, R, S), of others (R, S, C, K)")
    axes = votes.pop() if votes else order if kernels else "tensorflow"
    if order is None and (axes != "tensorflow" or backend not in (None, "tensorflow")):
        raise MinicnnError(
            "its kernels may be turned by 180 degrees, as Keras has them on Theano: give --order "
            "theano if the weights were trained there, --order tensorflow if not"
        )
    found = {}
    for name, array in arrays.items():
        if name.endswith("kernel") and array.ndim == 4:
            if not (name in kernels and axes == "theano"):
                array = array.transpose(3, 2, 0, 1)
            if order == "theano":
                array = array[:, :, ::-1, ::-1]
        elif name.endswith("kernel") and array.ndim == 2:
            array = array.T
        found[name] = np.ascontiguousarray(array)
    return found, "CHW" if "theano" in (axes, order) else "HWC"


def _axes(arrays, name):
    """Return whose axes a kernel has, by the length of its bias; None if it may be both."""
    bias, shape = arrays.get(name.removesuffix("kernel") + "bias"), arrays[name].shape
    if bias is None or shape[0] == shape[3]:
        return None
    return {(shape[0],): "theano", (shape[3],): "tensorflow"}.get(bias.shape)
