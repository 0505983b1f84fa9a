"""Networks of MatConvNet, and other MATLAB files: filters (R, S, C, K) become (K, C, R, S).

    SimpleNN    layers{i}, or net.layers{i}: name, weights {filters, biases}; in the files of 2014
                filters, biases by themselves. Here: name/0, name/1.
    DagNN       net.params(i): name, value. Here: by name.
    others      every array by its path: params.0.w

MATLAB drops sizes of 1 at the end: the filters of a layer with one output are (R, S, C). Fully
connected layers are convolutions there. Biases are rows and become (K,).
"""

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.weights.formats import norms


def arrays(tree: dict) -> dict:
    """Return {name: array} of the variables of a file; see above for the names."""
    for where in (tree, tree.get("net")):
        if not isinstance(where, dict):
            continue
        if isinstance(where.get("params"), (list, dict)) and _is_dag(where["params"]):
            return _dag(where["params"])
        found = _simple(_chain(where))
        if found:
            return found
    return dict(_others(tree, ""))


def layers(tree: dict) -> list[norms.Layer]:
    """Return the layers of a SimpleNN, each of which stands behind the one before."""
    net = tree.get("net")
    chain = _chain(tree) or (_chain(net) if isinstance(net, dict) else [])
    names = [_name(i, layer) for i, layer in enumerate(chain)]
    return [
        norms.Layer(name, str(layer.get("type")), before)
        for name, layer, before in zip(names, chain, [None, *names], strict=False)
    ]


def _chain(where):
    """Return the list of layers in a dictionary, if it has one."""
    layers = where.get("layers")
    layers = [layers] if isinstance(layers, dict) else layers
    whole = isinstance(layers, list) and all(isinstance(layer, dict) for layer in layers)
    return layers if whole else []


def _name(i, layer):
    return str(layer.get("name") or f"layer{i}")


def _simple(layers):
    found = {}
    for i, layer in enumerate(layers):
        name = _name(i, layer)
        weights = layer.get("weights")
        if not isinstance(weights, list):
            weights = [layer.get("filters"), layer.get("biases")]
        for j, array in enumerate(weights):
            if not _is_array(array) or not array.size:
                continue
            key = f"{name}/{j}"
            if key in found:
                raise MinicnnError(f"two layers are named {name[:60]}")
            found[key] = _filters(array) if j == 0 and layer.get("type") != "bnorm" else _row(array)
    return found


def _is_dag(params):
    params = [params] if isinstance(params, dict) else params
    return bool(params) and all(
        isinstance(param, dict) and {"name", "value"} <= set(param) for param in params
    )


def _dag(params):
    found = {}
    for param in [params] if isinstance(params, dict) else params:
        name, value = str(param["name"]), param["value"]
        if name in found or not _is_array(value):
            raise MinicnnError(f"the parameter {name[:60]} occurs twice, or is no array")
        found[name] = _filters(value) if value.ndim > 2 else _row(value)
    return found


def _filters(array):
    """Return (K, C, R, S)."""
    if array.ndim > 4:
        raise MinicnnError(f"filters with {array.ndim} axes")
    full = array.reshape(array.shape + (1,) * (4 - array.ndim))
    return np.ascontiguousarray(full.transpose(3, 2, 0, 1))


def _row(array):
    """Return a row or column as (K,); all else as it is."""
    return array.ravel(order="F") if array.size == max(array.shape) else array


def _others(value, path):
    if _is_array(value):
        if value.size:
            yield path, _filters(value) if value.ndim == 4 else value
    elif isinstance(value, (list, dict)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, item in items:
            yield from _others(item, f"{path}.{name}" if path else str(name))


def _is_array(value):
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
