"""The operators of ONNX that `onnx_graph` reads: each is a function (builder, node) -> value."""

import math
from functools import partial

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.network.layers import (
    LRN,
    Add,
    AvgPool2d,
    BatchNorm2d,
    Clip,
    Concat,
    Dropout,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    PReLU,
    ReLU,
    Softmax,
)
from minicnn.weights.onnx_windows import conv, pool


def _gemm(b, node):
    """Multiply by a matrix of constants, and add constants."""
    of, w = node.attributes, b.constant(node, 1)
    if of.get("transA", 0):
        raise MinicnnError("a transposed input is not read")
    w = w if of.get("transB", 0) else w.T
    bias = _per_channel(b.constant(node, 2, np.zeros(1)), len(w), flat=True)
    return _dense(b, node, of.get("alpha", 1.0) * w, of.get("beta", 1.0) * bias)


def _matmul(b, node):
    w = b.constant(node, 1).T
    return _dense(b, node, w, np.zeros(len(w)))


def _dense(b, node, w, bias):
    x = b.value(node)
    if w.ndim != 2 or not x.flat:
        raise MinicnnError("only a flattened map times a matrix of constants is read")
    return b.add(node, Linear(len(w)), x, weight=w, bias=bias)._replace(flat=True)


def _per_channel(array, channels, flat):
    """Return the constants (C,) for the channels of maps (N, C, H, W), or flattened (N, C)."""
    shape = (1,) * ((2 if flat else 4) - array.ndim) + array.shape
    due = (1, channels) if flat else (1, channels, 1, 1)
    if array.size != 1 and shape != due:
        raise MinicnnError(f"constants {array.shape} are not read here, but {due} or one number")
    return np.resize(array, channels).astype(np.float64)


def _arithmetic(b, node):
    """Add maps; or add, subtract, multiply by or divide by constants."""
    if not (b.is_constant(node, 0) or b.is_constant(node, 1)):
        if node.kind != "Add":
            raise MinicnnError("only the sum of two maps is read, and constants")
        return _sum(b, node)
    first = int(b.is_constant(node, 0))
    x = b.map(node, first)
    c = _per_channel(b.constant(node, 1 - first), x.shape[0], x.flat)
    if node.kind == "Div":
        if first or not c.all():
            raise MinicnnError("a division by maps, or by zero, is not read")
        c = 1 / c
    by = node.kind in ("Mul", "Div")
    ones, zeros = np.ones(len(c)), np.zeros(len(c))
    scale, shift = (c, zeros) if by else (ones, c)
    if node.kind == "Sub":
        scale, shift = (-ones, c) if first else (ones, -c)
    last, bias = b.layers[-1] if b.layers else ("", None, ()), f"{x.layer}.bias"
    if node.kind == "Add" and last[0] == x.layer and isinstance(last[1], Linear):
        if b.readers[node.inputs[first]] == 1:  # x W + c, as MatMul and Add have it
            b.params[bias] = b.params[bias] + shift.astype(np.float32)
            return x
    statistics = {"mean": zeros, "var": ones}
    return b.add(node, BatchNorm2d(0.0), x, gamma=scale, beta=shift, **statistics)


def _sum(b, node):
    inputs = [b.value(node, i) for i in range(len(node.inputs))]
    if len({value.flat for value in inputs}) > 1:
        raise MinicnnError("it adds maps to flattened ones")
    return b.add(node, Add(), *inputs)


def _batch_norm(b, node):
    x = b.map(node)
    if node.attributes.get("training_mode", 0) or not node.attributes.get("spatial", 1):
        raise MinicnnError("only the stored statistics of channels are read")
    own = {kind: b.constant(node, i) for i, kind in enumerate(("gamma", "beta", "mean", "var"), 1)}
    return b.add(node, BatchNorm2d(float(node.attributes.get("epsilon", 1e-5))), x, **own)


def _leaky(b, node):
    x = b.map(node)
    return b.add(node, PReLU(), x, weight=np.full(x.shape[0], node.attributes.get("alpha", 0.01)))


def _prelu(b, node):
    x = b.map(node)
    return b.add(node, PReLU(), x, weight=_per_channel(b.constant(node, 1), x.shape[0], x.flat))


def _clip(b, node):
    """Clip: between two bounds, or a ReLU."""
    bounds = [
        float(np.ravel(b.constant(node, i, np.float32(node.attributes.get(key, default))))[0])
        for i, key, default in ((1, "min", -math.inf), (2, "max", math.inf))
    ]
    if bounds[0] == 0 and bounds[1] > 3e38:  # torch's "no bound" of float32, or infinite
        return b.add(node, ReLU(), b.value(node))
    if not np.isfinite(bounds).all():
        raise MinicnnError(f"bounds {bounds}; two are read, or 0 alone")
    return b.add(node, Clip(*bounds), b.value(node))


def _lrn(b, node):
    defaults = {"size": None, "alpha": 1e-4, "beta": 0.75, "bias": 1.0}
    settings = [node.attributes.get(key, value) for key, value in defaults.items()]
    if type(settings[0]) is not int or not 0 < settings[0] < 1 << 16:
        raise MinicnnError(f"its size is {settings[0]}")
    return b.add(node, LRN(settings[0], *map(float, settings[1:])), b.map(node))


def _concat(b, node):
    inputs = [b.map(node, i) for i in range(len(node.inputs))]
    if node.attributes.get("axis") not in (1, -1 if inputs[0].flat else -3):
        raise MinicnnError("only channels are concatenated")
    return b.add(node, Concat(), *inputs)


def _flatten(b, node):
    if node.attributes.get("axis", 1) != 1:
        raise MinicnnError("only an axis of 1 is read")
    return b.value(node)._replace(flat=True)


def _reshape(b, node):
    """Flatten; or leave the shape as it is."""
    x, wanted = b.value(node), tuple(b.constant(node, 1).ravel().tolist())
    flat = len(wanted) == 2 and wanted[1] in (-1, math.prod(x.shape))
    if flat or wanted[1:] == x.shape:
        return x._replace(flat=flat)
    raise MinicnnError(f"from maps {x.shape} to {wanted[:8]}; only a flattening is read")


def _dropout(b, node):
    ratio = float(np.ravel(b.constant(node, 1, node.attributes.get("ratio", 0.5)))[0])
    if not 0 <= ratio < 1:
        raise MinicnnError(f"its ratio is {ratio}")
    return b.add(node, Dropout(ratio), b.value(node))


def _softmax(b, node):
    x = b.map(node)
    axis = node.attributes.get("axis", 1 if b.opset < 13 else -1)
    if x.shape[1:] != (1, 1) or axis not in (1, -1 if x.flat else -3):
        raise MinicnnError(f"of maps {x.shape} along axis {axis}; only that of classes is read")
    return b.add(node, Softmax(), x)


def _identity(b, node):
    return b.constant(node, 0) if b.is_constant(node, 0) else b.value(node)


def _constant(b, node):
    for key in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        if node.attributes.get(key) is not None:
            return np.asarray(node.attributes[key])
    raise MinicnnError("its value is of a type that is not read")


OPERATORS = {
    "Conv": conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Relu": lambda b, node: b.add(node, ReLU(), b.value(node)),
    "LeakyRelu": _leaky,
    "PRelu": _prelu,
    "Clip": _clip,
    "MaxPool": partial(pool, MaxPool2d),
    "AveragePool": partial(pool, AvgPool2d),
    "GlobalAveragePool": lambda b, node: b.add(node, GlobalAvgPool2d(), b.map(node)),
    "BatchNormalization": _batch_norm,
    "LRN": _lrn,
    "Concat": _concat,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _arithmetic),
    "Sum": _sum,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Dropout": _dropout,
    "Softmax": _softmax,
    "Identity": _identity,
    "Constant": _constant,
}
