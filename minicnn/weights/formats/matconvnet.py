"""Networks of MatConvNet, and other MATLAB files: filters (R, S, C, K) become (K, C, R, S).

    SimpleNN    layers{i}, or net.layers{i}: name, weights {filters, biases}; in the files of 2014
                filters, biases by themselves. Here: name/0, name/1.
    DagNN       net.params(i): name, value; net.layers(i): name, type, inputs, outputs, params.
                Here: name/0, name/1, ... of the layer; where no layer names it, by its own name.
    others      every array by its path: params.0.w

MATLAB drops sizes of 1 at the end: the filters of a layer with one output are (R, S, C). Fully
connected layers are convolutions there. Biases are rows and become (K,).
"""

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.weights.formats import norms
from minicnn.weights.formats.pickles import flatten

NORMS = ("bnorm", "dagnn.BatchNorm")


def read(tree: dict, budget) -> tuple:
    """Return ({name: array}, layers) of the variables of a file.

    For the names see above; the layers of a SimpleNN each stand behind the one before, those of
    a DagNN behind the one that makes their first input.
    """
    for where in (tree, tree.get("net")):
        if not isinstance(where, dict):
            continue
        if isinstance(where.get("params"), (list, dict)) and _is_dag(where["params"]):
            return _dag(where, budget)
        layers = _structs(where.get("layers"))
        if layers is not None:
            return _simple(layers, budget)
    found = {}
    for name, array in flatten(tree, budget).items():
        if _is_array(array) and array.size:
            _put(found, name, _filters(array) if array.ndim == 4 else array, budget)
    return found, []


def _simple(layers, budget):
    found, chain, before = {}, [], None
    for i, layer in enumerate(layers):
        name, kind = _text(layer.get("name")) or f"layer{i}", _text(layer.get("type"))
        chain.append(norms.Layer(name, kind, before))
        weights, before = layer.get("weights"), name
        if not isinstance(weights, list):
            weights = [layer.get("filters"), layer.get("biases")]
        for j, array in enumerate(weights):
            if _is_array(array) and array.size:
                _put(found, f"{name}/{j}", _part(array, j, kind), budget)
    return found, chain


def _structs(value):
    """Return an array of structs as the list of them; None for anything else."""
    values = [value] if isinstance(value, dict) else value
    fits = isinstance(values, list) and all(isinstance(item, dict) for item in values)
    return values if fits else None


def _part(array, i, kind):
    """Return parameter `i` of a layer: filters, a row, or the moments of a normalisation."""
    if i == 0 and kind not in NORMS:
        return _filters(array)
    return _row(array) if i < 2 else array


def _put(found, name, array, budget):
    budget.take(array.nbytes)  # parts of a file may stand in many places, each a copy
    budget.put(found, name, array)


def _text(value):
    return value if isinstance(value, str) else ""


def _is_dag(params):
    params = _structs(params)
    return bool(params) and all({"name", "value"} <= set(param) for param in params)


def _dag(net, budget):
    chain, places, made = [], {}, {}  # made: {variable: the layer that makes it}
    for layer in _structs(net.get("layers")) or ():
        name, kind = _text(layer.get("name")), _text(layer.get("type"))
        inputs = _texts(layer.get("inputs"))
        chain.append(norms.Layer(name, kind, made.get(inputs[0]) if inputs else None))
        made.update(dict.fromkeys(_texts(layer.get("outputs")), name))
        for i, param in enumerate(_texts(layer.get("params"))):
            places.setdefault(param, (f"{name}/{i}", i, kind))
    found = {}
    for param in _structs(net["params"]):
        name, value = _text(param["name"]), param["value"]
        if not _is_array(value):
            raise MinicnnError(f"the parameter {name[:60]} is no array")
        if name in places:
            name, *place = places[name]
            _put(found, name, _part(value, *place), budget)
        else:
            _put(found, name, _filters(value) if value.ndim > 2 else _row(value), budget)
    return found, chain


def _texts(cells):
    """Return the texts in a cell; one may stand by itself."""
    return [cells] if isinstance(cells, str) else [_text(cell) for cell in cells or ()]


def _filters(array):
    """Return (K, C, R, S)."""
    if array.ndim > 4:
        raise MinicnnError(f"filters with {array.ndim} axes")
    full = array.reshape(array.shape + (1,) * (4 - array.ndim))
    return np.ascontiguousarray(full.transpose(3, 2, 0, 1))


def _row(array):
    """Return a row or column as (K,); all else as it is."""
    return array.ravel(order="F") if array.size == max(array.shape) else array


def _is_array(value):
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
