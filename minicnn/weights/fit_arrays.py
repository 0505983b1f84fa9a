"""Arrays of a foreign file as parameters of a network: all of them found, every shape checked."""

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.network.layers import Dropout
from minicnn.network.network import INPUT

SHOWN = 5


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
        name = prefix + naming.names[key]
        if name not in foreign.arrays:
            raise MinicnnError(_lacking(net, key, name, foreign.arrays, path))
        source = sources[key.rpartition(".")[0]]
        params[key] = _fitted(foreign.arrays[name], wanted, key, foreign, naming, source, path)
    return params


def _lacking(net, key, name, arrays, path):
    """Return what to say where an array is missing."""
    layer, _, kind = key.rpartition(".")
    first = layer == next(iter(net.param_shapes())).rpartition(".")[0]
    advice = "" if first else f"; --until {layer_before(net, layer)} converts what comes before"
    return (
        f"{path} does not fit: layer {layer} needs its {kind} under the name {name!r}, and there "
        f"is none; the arrays are {some(arrays)}{advice}"
    )


def layer_before(net, name):
    """Return the last layer before `name` that computes something at test time."""
    names = net.layers[: net.layers.index(name)]
    return [at for at in names if not isinstance(net.layer(at), Dropout)][-1]


def _fitted(array, shape, key, foreign, naming, source, path):
    """Return `array` as the float32 parameter `key` of `shape`.

    Parameters
    ----------
    source : (int, int, int)
        (C, H, W) of the layer's input: a matrix behind a map may run over it in another order.
    """
    given = array.shape
    if array.dtype.kind == "f" and array.shape[:1] == shape[:1] and array.size == np.prod(shape):
        if len(shape) == 2 and array.ndim == 2 and foreign.flatten == "HWC":
            C, H, W = source
            array = array.reshape(-1, H, W, C).transpose(0, 3, 1, 2)
        if _same_map(array.shape, shape, source):
            with np.errstate(over="ignore"):
                return np.ascontiguousarray(array.reshape(shape), np.float32)
    layer, _, kind = key.rpartition(".")
    wrong, advice = f"{given}", ""
    if array.dtype.kind != "f":
        wrong = f"of the type {array.dtype}"
        advice = "; codes without their scales are not read, convert weights that are no codes"
    raise MinicnnError(
        f"{path} does not fit: layer {layer} has a {kind} {wrong} in it "
        f"({naming.names[key]}), the network wants {shape}{advice}"
    )


def _same_map(given, shape, source):
    """Tell whether the values stand in the same order: a matrix may be a convolution elsewhere."""
    if given == shape or (len(given) == len(shape) == 1):
        return given == shape
    if len(shape) == 2:
        return given[1:] == tuple(source) or given[2:] == (1, 1)
    return given + (1,) * (len(shape) - len(given)) == shape


def some(names):
    """Write the first of some names, and how many there are."""
    names = list(names)
    more = f", ... ({len(names)} in all)" if len(names) > SHOWN else ""
    return ", ".join(name[:60] for name in names[:SHOWN]) + more
