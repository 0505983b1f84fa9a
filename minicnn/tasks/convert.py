"""Foreign weight files into networks: names by table, every shape checked, nothing in silence."""

from pathlib import Path

import numpy as np

from minicnn import architectures, convert, models, public
from minicnn.convert.names import namings
from minicnn.errors import MinicnnError
from minicnn.network import INPUT
from minicnn.ops import batchnorm
from minicnn.tasks.provenance import file_hash

PREPROCESS = {
    "caffe": architectures.CAFFE,
    "torchvision": architectures.TORCHVISION,
    "rgb-mean": {
        **architectures.CAFFE,
        "channel_order": "RGB",
        "mean": architectures.CAFFE["mean"][::-1],
    },
}
EPS = 1e-5  # of torchvision's batch normalisations
SHOWN = 5


def convert_file(path, network, *, fold=False, preprocess=None):
    """Make a network of a foreign weight file.

    Parameters
    ----------
    path : path
        In any of `convert.FORMATS`.
    network : str
        One of `models.names()`.
    fold : bool
        Fold batch normalisations that the file has and the network has not.
    preprocess : {"caffe", "torchvision", "rgb-mean"}, optional
        How pictures are prepared; by default as the names of the layers tell.

    Returns
    -------
    Network
        Its `attrs` say where the weights come from: "source_file", "source_sha256",
        "source_format", "source_names" (the table that fitted), "left_out" (names of the arrays
        that were not used), "classes" (the names of ImageNet's classes if there are 1000), and,
        where there is something to know, "note".

    Raises
    ------
    MinicnnError
        If the file cannot be read, or does not fit: the message names the first layer that
        differs.
    """
    wanted = models.skeleton(network)
    if preprocess not in (None, *PREPROCESS):
        raise MinicnnError(f"no preprocessing {preprocess!r}; use {', '.join(PREPROCESS)}")
    foreign = convert.read(path)
    naming, prefix = _fitting(foreign, wanted, path)
    foreign = _in_our_axes(foreign, naming.layout)
    used = {key: prefix + name for key, name in naming.names.items()}
    norms = {key: prefix + name for key, name in naming.norms.items()}
    if norms and not fold:
        raise MinicnnError(
            f"{path} has batch normalisations, {network} has none; --fold folds them in"
        )
    outputs = _outputs(foreign.arrays, used, wanted)
    net = models.skeleton(network, classes=outputs)
    params = parameters(net, foreign, naming, path, prefix)
    if norms:
        _fold(params, norms, foreign.arrays, path)
    net.params = params
    chosen = preprocess or naming.preprocess
    if chosen != "own":
        net.attrs["preprocess"] = dict(PREPROCESS[chosen])
    taken = {*used.values(), *norms.values()}
    net.attrs |= {
        "source_file": Path(path).name,
        "source_sha256": file_hash(path),
        "source_format": foreign.format,
        "source_names": naming.family,
        "left_out": [name for name in foreign.arrays if name not in taken],
    }
    net.attrs["classes"] = public.class_names(outputs)
    if naming.note:
        net.attrs["note"] = naming.note
    return net


def parameters(net, foreign, naming, path, prefix=""):
    """Return {name: float32 array} of what `net` needs, out of a foreign file.

    Parameters
    ----------
    net : Network
        Its parameters need only have the right shapes.
    foreign : convert.Foreign
    naming : convert.names.Naming
    path : path
        For messages.
    prefix : str
        What stands before all names in the file.

    Raises
    ------
    MinicnnError
        If an array is missing or has another shape: the first layer that differs is named.
    """
    shapes = {INPUT: net.input_shape, **net.shapes()}
    sources = {node.name: shapes[node.inputs[0]] for node in net.nodes}
    params = {}
    for key, wanted in net.param_shapes().items():
        layer, _, kind = key.rpartition(".")
        name = prefix + naming.names[key]
        bare = kind == "bias" and f"{layer}.gamma" in naming.norms
        found = _found(foreign.arrays, name, key, path, optional=bare)
        params[key] = _fitted(found, wanted, key, foreign, naming, sources[layer], path)
    return params


def _fitting(foreign, net, path):
    """Return the naming of which the file has most names, and what stands before them there."""
    best, most = None, 0
    known = namings(net.attrs["name"], list(net.params))
    for naming in known:
        if foreign.format not in naming.formats:
            continue
        for prefix in _prefixes(foreign.arrays, naming):
            names = [*naming.names.values(), *naming.norms.values()]
            hits = sum(prefix + name in foreign.arrays for name in names)
            if hits > most:
                best, most = (naming, prefix), hits
    if best is None:
        families = ", ".join(dict.fromkeys(naming.family for naming in known))
        raise MinicnnError(
            f"{path} ({foreign.format}) has no layer of {net.attrs['name']} under any name known "
            f"for it ({families}); its arrays are {_some(foreign.arrays)}"
        )
    return best


def _in_our_axes(foreign, layout):
    """Return the file with kernels (K, C, R, S) and matrices (out, in), whatever it has."""
    if layout == "ours":
        return foreign
    turned = {
        name: array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
        for name, array in foreign.arrays.items()
    }
    return foreign._replace(arrays=turned, flatten="HWC")


def _prefixes(arrays, naming):
    """Return what may stand before all names, as "module." or "state_dict." does."""
    first = next(iter(naming.names.values()))
    ends = [name[: -len(first)] for name in arrays if name.endswith(first)]
    return ["", *dict.fromkeys(end for end in ends if end and end[-1] in "./")]


def _outputs(arrays, used, net):
    """Return the number of classes in the file, or of the network where there is none."""
    last = [key for key in net.params if key.endswith(".weight")][-1]
    array = arrays.get(used[last])
    if array is None or array.ndim < 2 or not array.shape[0]:
        return net.params[last].shape[0]
    return int(array.shape[0])


def _found(arrays, name, key, path, *, optional):
    if name in arrays:
        return arrays[name]
    if optional:
        return None
    layer, _, kind = key.rpartition(".")
    raise MinicnnError(
        f"{path} does not fit: layer {layer} needs its {kind} under the name {name!r}, and there "
        f"is none; the arrays are {_some(arrays)}"
    )


def _fitted(array, shape, key, foreign, naming, source, path):
    """Return `array` as the float32 parameter `key` of `shape`.

    Parameters
    ----------
    source : (int, int, int)
        (C, H, W) of the layer's input: a matrix behind a map may run over it in another order.
    """
    if array is None:
        return np.zeros(shape, np.float32)
    given = array.shape
    if array.dtype.kind == "f" and array.shape[:1] == shape[:1] and array.size == np.prod(shape):
        if len(shape) == 2 and array.ndim == 2 and foreign.flatten == "HWC":
            C, H, W = source
            array = array.reshape(-1, H, W, C).transpose(0, 3, 1, 2)
        if _same_map(array.shape, shape, source):
            with np.errstate(over="ignore"):
                return np.ascontiguousarray(array.reshape(shape), np.float32)
    layer, _, kind = key.rpartition(".")
    wrong = f"of the type {array.dtype}" if array.dtype.kind != "f" else f"{given}"
    raise MinicnnError(
        f"{path} does not fit: layer {layer} has a {kind} {wrong} in it "
        f"({naming.names[key]}), the network wants {shape}"
    )


def _same_map(given, shape, source):
    """Tell whether the values stand in the same order: a matrix may be a convolution elsewhere."""
    if given == shape or (len(given) == len(shape) == 1):
        return given == shape
    if len(shape) == 2:
        return given[1:] == tuple(source) or given[2:] == (1, 1)
    return given + (1,) * (len(shape) - len(given)) == shape


def _fold(params, norms, arrays, path):
    """Fold the normalisations in `norms`, {"conv1_1.gamma": foreign name}, into `params`."""
    for layer in dict.fromkeys(key.rpartition(".")[0] for key in norms):
        keys = [f"{layer}.{kind}" for kind in ("gamma", "beta", "mean", "var")]
        own = [_found(arrays, norms[key], key, path, optional=False) for key in keys]
        w, b = params[f"{layer}.weight"], params[f"{layer}.bias"]
        for key, array in zip(keys, own, strict=True):
            if array.shape != b.shape or array.dtype.kind != "f":
                raise MinicnnError(
                    f"{path} does not fit: {norms[key]} is {array.shape} of {array.dtype}, layer "
                    f"{layer} wants {b.shape}"
                )
        exact = (array.astype(np.float64) for array in (w, b, *own))
        folded = batchnorm.fold(*exact, eps=EPS)
        params[f"{layer}.weight"], params[f"{layer}.bias"] = (a.astype(np.float32) for a in folded)


def _some(names):
    names = list(names)
    more = f", ... ({len(names)} in all)" if len(names) > SHOWN else ""
    return ", ".join(name[:60] for name in names[:SHOWN]) + more
