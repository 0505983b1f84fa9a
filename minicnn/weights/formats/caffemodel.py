"""Caffe's binary files, without Caffe: the few fields that matter.

    NetParameter      layers = 2 (V1, of 2013 and 2014)     layer = 100 (V2)
    V1LayerParameter  layer = 1 (V0)   name = 4   type = 5 (number)   blobs = 6
    V0LayerParameter  name = 1   type = 2 (text)   blobs = 50
    LayerParameter    name = 1   type = 2 (text)   bottom = 3   top = 4   blobs = 7
                      batch_norm_param = 139 (eps = 3)
    BlobProto         num, channels, height, width = 1 to 4 (legacy shape)   shape = 7 (dim = 1)
                      data = 5 (float)   double_data = 8   diff = 6, double_diff = 9 (not read)

A blob is called layer/0, layer/1, ...: weights, then biases. They are (K, C / groups, R, S) and
(out, in) already. Legacy shapes have four sizes whatever the blob is: those of fully connected
layers lose their leading ones, and biases become (K,).

Source: caffe/src/caffe/proto/caffe.proto.
"""

from typing import NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.storage.limits import array_from
from minicnn.weights.formats import norms
from minicnn.weights.formats.protobuf import BYTES, FIXED32, FIXED64, VARINT, fields, sizes

FULLY_CONNECTED = (14, "InnerProduct", "innerproduct")
# {field of the network: (name, type, blobs of a layer)}
LAYERS = {2: (4, 5, 6), 100: (1, 2, 7)}
# name, input, input_dim (packed too), force_backward, state, debug_info, input_shape
OTHERS = {(1, BYTES), (3, BYTES), (4, VARINT), (4, BYTES), (5, VARINT), (6, BYTES), (7, VARINT),
          (8, BYTES)}  # fmt: skip
V0, V0_FIELDS = 1, (1, 2, 50)
V2 = LAYERS[100]
BOTTOM, TOP, BATCH_NORM, EPS = 3, 4, 139, 3
FLOATS, DOUBLES, SHAPE = 5, 8, 7


def is_caffemodel(data: bytes, budget) -> bool:
    """Tell by the outermost fields whether a file without a suffix can be one."""
    try:
        numbers = {(number, wire) for number, wire, _ in fields(data, budget)}
    except MinicnnError:
        return False
    layers = {(number, BYTES) for number in LAYERS}
    return bool(numbers & layers) and numbers <= {*layers, *OTHERS}


def read(data: bytes, budget) -> tuple:
    """Return ({"conv1/0": weights, "conv1/1": biases, ...}, layers).

    The layers are those of a file of version V2, with what they stand behind.
    """
    arrays, layers, made = {}, [], {}  # made: {blob: the layer that has written it last}
    for number, wire, value in fields(data, budget):
        if number not in LAYERS or wire != BYTES:
            continue
        layer = _layer(value, LAYERS[number], budget)
        for i, blob in enumerate(layer.blobs):
            array = _blob(blob, budget, bias=i > 0, flat=layer.kind in FULLY_CONNECTED)
            budget.put(arrays, f"{layer.name}/{i}", array)
        if layer.bottoms or layer.tops:
            source = made.get(layer.bottoms[0]) if layer.bottoms else None
            layers.append(norms.Layer(layer.name, str(layer.kind), source, layer.eps))
            made.update(dict.fromkeys(layer.tops, layer.name))
    if not arrays:
        raise MinicnnError("no layers with arrays; is it a .caffemodel?")
    return arrays, layers


class _Layer(NamedTuple):
    name: str
    kind: str | int | None
    blobs: list
    bottoms: list
    tops: list
    eps: float | None


def _layer(message, numbers, budget):
    name, kind, blobs, bottoms, tops, eps = "", None, [], [], [], None
    name_field, type_field, blobs_field = numbers
    for number, wire, value in fields(message, budget):
        if number == V0 and numbers == LAYERS[2] and wire == BYTES:
            return _layer(value, V0_FIELDS, budget)
        if number == name_field and wire == BYTES:
            name = bytes(value).decode()
        elif number == type_field:
            kind = value if wire == VARINT else bytes(value).decode()
        elif number == blobs_field and wire == BYTES:
            blobs.append(value)
        elif numbers == V2 and wire == BYTES and number in (BOTTOM, TOP):
            (bottoms if number == BOTTOM else tops).append(bytes(value).decode())
        elif numbers == V2 and wire == BYTES and number == BATCH_NORM:
            eps = _eps(value, budget)
    return _Layer(name, kind, blobs, bottoms, tops, eps)


def _eps(message, budget):
    for number, wire, value in fields(message, budget):
        if number == EPS and wire == FIXED32:
            return float(np.frombuffer(value, "<f4")[-1])
    return None


def _blob(message, budget, *, bias, flat):
    parts, doubles, legacy, shape = [], [], [0, 0, 0, 0], None
    for number, wire, value in fields(message, budget):
        if number in (1, 2, 3, 4) and wire == VARINT:
            legacy[number - 1] = value
        elif number == FLOATS and wire in (FIXED32, BYTES):
            parts.append(value)
        elif number == DOUBLES and wire in (FIXED64, BYTES):
            doubles.append(value)
        elif number == SHAPE and wire == BYTES:
            shape = sizes(value, budget)
    if shape is None:
        shape = _legacy_shape(legacy, bias, flat)
    data, dtype = (doubles, "<f8") if doubles and not parts else (parts, "<f4")
    whole = data[0] if len(data) == 1 else b"".join(data)
    return array_from(whole, dtype, shape, budget)


def _legacy_shape(legacy, bias, flat):
    """Return (num, channels, height, width) without the ones that stand for nothing."""
    if bias and legacy[:3] == [1, 1, 1]:
        return (legacy[3],)
    if flat and legacy[:2] == [1, 1]:
        return tuple(legacy[2:])
    return tuple(legacy)
