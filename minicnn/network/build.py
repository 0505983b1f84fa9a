"""Networks by name: made with random weights, or described without any.

`architectures` holds the tables of layers, `parameters` draws the weights.
"""

from typing import NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.network.architectures import MODELS
from minicnn.network.layers import AvgPool2d, Linear, MaxPool2d
from minicnn.network.network import Network
from minicnn.network.parameters import count_parameters, no_params, random_params
from minicnn.ops.shapes import pair

POOLS = {"max": MaxPool2d, "average": AvgPool2d}


def names():
    """Return the names that `build` knows."""
    return list(MODELS)


def build(
    name: str,
    *,
    seed: int = 0,
    dtype: str = "float32",
    pool: str | None = None,
    classes: int | None = None,
) -> Network:
    """Make a network with random weights.

    Parameters
    ----------
    name : str
        One of `names()`.
    seed : int
        The same seed gives the same weights, in either dtype up to rounding.
    dtype : {"float32", "float64"}
    pool : {"max", "average"}, optional
        What all spatial pooling layers are to be; as published by default.
    classes : int, optional
        Outputs of the last layer; as published by default.

    Returns
    -------
    Network
        With `attrs` "name", "pool", "classes" (None: no names are known), "preprocess", and
        "last" (None: all of its layers are there).

    Raises
    ------
    MinicnnError
        If there is no such network, dtype or pooling.

    >>> build("minivgg").layers[:3]
    ['conv1_1', 'relu1_1', 'conv1_2']
    """
    net = skeleton(name, pool=pool, classes=classes)
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise MinicnnError(f"no dtype {dtype!r} for weights; use float32 or float64")
    net.params = random_params(net.param_shapes(), seed, dtype)
    return net


def skeleton(name, *, pool=None, classes=None, last=None):
    """Return the network `name` with parameters of the right shapes that take no memory.

    They are read-only zeros: to look at, and to be replaced. `last` is the layer behind which the
    table is cut off, for weights that go no further: it is also in `attrs`.
    """
    if name not in MODELS:
        raise MinicnnError(f"no network named {name!r}; the networks are {', '.join(MODELS)}")
    if pool not in (None, *POOLS):
        raise MinicnnError(f"no pooling {pool!r}; use {' or '.join(POOLS)}")
    model = MODELS[name]
    classes = model.classes if classes is None else classes
    if not isinstance(classes, (int, np.integer)) or classes < 1:
        raise MinicnnError(f"a network has a whole number of classes, at least 1, not {classes!r}")
    attrs = {"name": name, "pool": pool, "classes": None, "preprocess": dict(model.preprocess)}
    layers = [(at, with_pool(layer, pool), *i) for at, layer, *i in model.layers(int(classes))]
    whole = layers[-1][0]
    if last is not None:
        names = [at for at, *_ in layers]
        if last not in names:
            raise MinicnnError(f"no layer {last!r} in {name}; its layers are {', '.join(names)}")
        layers = layers[: names.index(last) + 1]
    attrs["last"] = None if last == whole else last
    net = Network(layers, {}, (3, model.size, model.size), attrs)
    net.params = no_params(net)
    return net


def with_pool(layer, pool):
    """Return `layer`, or if it pools windows the one of the other kind with the same windows."""
    if pool is None or not isinstance(layer, tuple(POOLS.values())):
        return layer
    return POOLS[pool](layer.kernel, layer.stride, layer.padding, layer.ceil)


class Row(NamedTuple):
    """A layer in a description; the field's entries are (rows, columns), as in `Field`."""

    layer: str
    kind: str
    shape: tuple
    parameters: int
    field_size: tuple
    field_stride: tuple
    field_offset: tuple


def describe(name, size=None):
    """Return a `Row` for every layer of a network.

    Parameters
    ----------
    name : str, or Network
    size : int or (int, int), optional
        (rows, columns) of the picture; the size that the network was made for by default. At
        another size, layers from the first fully connected one on are left out if it does not fit.

    Raises
    ------
    MinicnnError
        If there is no such network, or the picture is too small.

    >>> describe("zfnet")[0]
    Row(layer='conv1', kind='Conv2d', shape=(96, 110, 110), parameters=14208, field_size=(7, 7), \
field_stride=(2, 2), field_offset=(-1, -1))
    """
    net = name if isinstance(name, Network) else skeleton(name)
    wanted = net.input_shape if size is None else (net.input_shape[0], *pair(size))
    try:
        shapes = net.shapes(wanted)
    except MinicnnError:
        kinds = [isinstance(node.layer, Linear) for node in net.nodes]
        if not any(kinds):
            raise
        net = Network([tuple(node) for node in net.nodes[: kinds.index(True)]], net.params, wanted)
        shapes = net.shapes()
    counts, fields = count_parameters(net), net.receptive_fields()
    return [
        Row(at, type(layer).__name__, shapes[at], counts[at], *fields[at])
        for at, layer, _ in net.nodes
    ]
