"""The layers of anybody's own network as plain data for its weight file, and back.

    [["conv1", "Conv2d", ["input"], {"channels": 8, "kernel": 3, ...}], ["relu1", "ReLU", ...]]

A row is a layer: its name, its class, the names of its inputs, its settings. Nothing in it is run.
"""

import math
from dataclasses import asdict, fields

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.network import layers as kinds
from minicnn.network.build import with_pool
from minicnn.network.network import Network
from minicnn.network.nodes import INPUT
from minicnn.network.parameters import no_params
from minicnn.network.sizes import checked_input

KINDS = {
    kind.__name__: kind
    for kind in (
        kinds.Add, kinds.AvgPool2d, kinds.BatchNorm2d, kinds.Clip, kinds.Concat, kinds.Conv2d,
        kinds.Dropout, kinds.GlobalAvgPool2d, kinds.LRN, kinds.Linear, kinds.MaxPool2d,
        kinds.PReLU, kinds.ReLU, kinds.ReplicatePad2d, kinds.Softmax,
    )
}  # fmt: skip
MOST_LAYERS, LARGEST, LONGEST = 4096, 1 << 20, 100
MOST_VALUES = 1 << 30  # of one parameter
PAIRS = ("kernel", "stride", "padding")  # one number, or (rows, columns)
PARAMETERS = {"weight", "bias", "gamma", "beta", "mean", "var"}


def table_of(net: Network) -> list:
    """Return the rows of a network; refuse layers that a file cannot hold."""
    for node in net.nodes:
        if KINDS.get(type(node.layer).__name__) is not type(node.layer):
            raise MinicnnError(
                f"layer {node.name} is a {type(node.layer).__name__}, which a weight file cannot "
                f"hold; it can hold {', '.join(KINDS)}"
            )
    return [
        [node.name, type(node.layer).__name__, list(node.inputs), asdict(node.layer)]
        for node in net.nodes
    ]


def network_of(table, input_shape, pool=None) -> Network:
    """Return the network of a table, with parameters that take no memory, see `build.skeleton`.

    Raises
    ------
    MinicnnError
        If the table is none, or its layers do not fit together or the input [3, N, N].
    """
    if not isinstance(table, list) or not 0 < len(table) <= MOST_LAYERS:
        raise MinicnnError(f"its layers are not a table of 1 to {MOST_LAYERS} rows")
    layers = [_layer(row) for row in table]
    layers = [(name, with_pool(layer, pool), inputs) for name, layer, inputs in layers]
    net = Network(layers, {}, checked_input(input_shape), {"pool": pool, "last": None})
    for key, shape in net.param_shapes().items():
        if math.prod(shape) > MOST_VALUES:
            raise MinicnnError(f"{key} would be {shape}: more than {MOST_VALUES} values")
    net.params = no_params(net)
    return net


def _layer(row):
    texts = isinstance(row, list) and len(row) == 4 and [row[0], row[1], *_listed(row[2])]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise MinicnnError(f"a layer's row is {str(row)[:60]}, not [name, class, inputs, settings]")
    name, kind, inputs, settings = row
    check_name(name)
    if kind not in KINDS:
        raise MinicnnError(f"layer {name} is a {kind[:60]!r}; known are {', '.join(KINDS)}")
    known = {field.name: field for field in fields(KINDS[kind])}
    if not isinstance(settings, dict) or not settings.keys() <= known.keys():
        raise MinicnnError(
            f"layer {name}: the settings of a {kind} are {', '.join(known) or 'none'}"
        )
    values = {key: _value(name, known[key], value) for key, value in settings.items()}
    if "channels" in known.keys() - values.keys():
        raise MinicnnError(f"layer {name}: a {kind} needs its channels")
    return name, KINDS[kind](**values), tuple(inputs)


def _listed(names):
    return names if isinstance(names, list) and names else [None]


def check_name(name: str) -> None:
    """Refuse the name of a layer under which a file or the command line could not find it."""
    parts = name.split("/")
    if (
        not name.isprintable()
        or len(name) > LONGEST
        or name == INPUT
        or set(name) & set(" ,=*?[]:")
        or {"", ".", ".."} & set(parts)
        or PARAMETERS & set(parts[1:])  # a/weight is where layer a keeps its own
    ):
        raise MinicnnError(
            f"a layer cannot be called {name[:LONGEST]!r}: use letters, digits and _ - . /, at "
            f"most {LONGEST}; behind a / comes a part, and none named as a parameter"
        )


def _value(name, field, value):
    """Return a setting of a layer, checked by its type: bool, float, int or two of these."""
    least = 0 if field.name == "padding" else 1
    if field.type is int:
        both = field.name in PAIRS and isinstance(value, (list, tuple)) and len(value) == 2
        fits = all(
            type(one) is int and least <= one <= LARGEST for one in (value if both else [value])
        )
        value = tuple(value) if both else value
    elif field.type is bool:
        fits = isinstance(value, bool)
    else:
        fits = type(value) in (int, float) and np.isfinite(value)
    if not fits:
        raise MinicnnError(f"layer {name}: {field.name} = {str(value)[:60]}")
    return value
