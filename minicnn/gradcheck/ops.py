"""Where `minicnn gradcheck` tries the gradient of each operation.

Awkward ones on purpose: R != S, H != W, strides that do not divide the size, padding, groups,
dilation, windows over the edge, batches. Inputs of functions with kinks (ReLU, max) keep
away from them, so that a finite difference sees one branch only.
"""

from typing import NamedTuple

import numpy as np

from minicnn.ops import (
    add,
    avgpool2d,
    batchnorm,
    clip,
    concat,
    conv2d,
    conv_transpose2d,
    dropout,
    im2col,
    linear,
    lrn,
    maxpool2d,
    prelu,
    relu,
    replicate,
    softmax,
)


class Case(NamedTuple):
    """A function and its gradient at a point."""

    name: str
    function: object  # x -> y
    vjp: object  # (dy, x) -> dx
    x: object  # an array, or a dict of arrays: then `vjp` returns a dict too
    linear: bool = False  # then `vjp` is the adjoint of `function` and does not use its x


def distinct(rng, shape):
    """Return values between -1 and 1, of which no two, and none and 0, are closer than 1 / size."""
    size = int(np.prod(shape))
    signs = rng.choice([-1, 1], size)
    return (rng.permutation(np.arange(1, size + 1)) * signs / size).reshape(shape)


def _op(name, op, x, *args, linear=False, **options):
    """A case of an operation with the plain contract: forward -> y, cache; backward(dy, cache)."""
    return Case(
        name,
        lambda x: op.forward(x, *args, **options)[0],
        lambda dy, x: op.backward(dy, op.forward(x, *args, **options)[1]),
        x,
        linear,
    )


def with_params(name, op, x, w, b, *, forward=None, sizes=(), **options):
    """Two cases of a convolution or linear layer; `forward` are options of forward alone."""
    forward = {**options, **(forward or {})}

    def vjp(dy, p):
        grads = op.backward_params(dy, x, *[w.shape] * (op is not linear), **options)
        return dict(zip(("weight", "bias"), grads, strict=True))

    yield Case(
        name,
        lambda x: op.forward(x, w, **forward)[0],
        lambda dy, x: op.backward_data(dy, w, *sizes, **options),
        x,
        linear=True,
    )
    yield Case(
        name,
        lambda p: op.forward(x, p["weight"], p["bias"], **forward)[0],
        vjp,
        {"weight": w, "bias": b},
    )


def _conv2d(rng):
    for name, x_shape, w_shape, options in [
        ("3x3 padded", (2, 3, 7, 6), (4, 3, 3, 3), {"padding": 1}),
        ("2x5 strides 2, 3", (2, 2, 9, 11), (3, 2, 2, 5), {"stride": (2, 3), "padding": (0, 2)}),
        ("dilated 2, 3", (1, 2, 9, 10), (3, 2, 3, 2), {"dilation": (2, 3), "padding": 1}),
        ("3 groups, stride 2", (2, 6, 8, 5), (3, 2, 3, 3), {"groups": 3, "stride": 2}),
    ]:
        x, w, b = (rng.standard_normal(shape) for shape in (x_shape, w_shape, w_shape[0]))
        yield from with_params(name, conv2d, x, w, b, sizes=(x_shape,), **options)


def _conv_transpose2d(rng):
    for name, x_shape, w_shape, forward, options in [
        ("3x3 padded", (2, 4, 5, 6), (4, 3, 3, 3), {}, {"padding": 1}),
        ("2x5 strides 2, 3", (2, 3, 4, 3), (3, 2, 2, 5), {"output_padding": (1, 2)},
         {"stride": (2, 3)}),
        ("stored size", (1, 2, 4, 4), (2, 3, 3, 3), {"output_size": (8, 7)},
         {"stride": 2, "padding": 1}),
        ("dilated, 2 groups", (2, 4, 3, 5), (4, 3, 3, 2), {}, {"dilation": 2, "groups": 2}),
    ]:  # fmt: skip
        outputs = w_shape[1] * options.get("groups", 1)
        x, w, b = (rng.standard_normal(shape) for shape in (x_shape, w_shape, outputs))
        yield from with_params(name, conv_transpose2d, x, w, b, forward=forward, **options)


def _im2col(rng):
    for name, shape, kernel, options in [
        ("2x3 strides 2, 1", (2, 2, 7, 6), (2, 3), {"stride": (2, 1), "padding": (1, 2)}),
        ("dilated 2", (1, 3, 8, 9), 3, {"dilation": 2}),
    ]:
        yield Case(
            name,
            lambda x, kernel=kernel, options=options: im2col.im2col(x, kernel, **options),
            lambda dy, x, options=options: im2col.col2im(dy, x.shape, **options),
            rng.standard_normal(shape),
            linear=True,
        )


def _maxpool2d(rng):
    for name, shape, kernel, options in [
        ("2x2", (2, 3, 6, 8), 2, {}),
        ("3x3 stride 2, ceil", (2, 2, 8, 7), 3, {"stride": 2, "ceil": True}),
        ("3x2 padded, overlapping", (1, 3, 7, 5), (3, 2), {"stride": 1, "padding": 1}),
    ]:
        x = distinct(rng, shape)
        yield _op(name, maxpool2d, x, kernel, **options)
        yield _op(f"{name}, all negative", maxpool2d, x - 2, kernel, **options)


def _avgpool2d(rng):
    for name, shape, kernel, options in [
        ("2x2", (2, 3, 6, 8), 2, {}),
        ("3x3 stride 2, ceil, padded", (2, 2, 8, 7), 3, {"stride": 2, "padding": 1, "ceil": True}),
        ("3x2 padding not counted", (1, 3, 7, 5), (3, 2), {"padding": 1, "count_padding": False}),
        ("global", (2, 4, 5, 3), None, {}),
    ]:
        yield _op(name, avgpool2d, rng.standard_normal(shape), kernel, linear=True, **options)


def _relu(rng):
    yield _op("rule gradient", relu, distinct(rng, (2, 3, 5, 4)))


def _prelu(rng):
    x, a = distinct(rng, (2, 3, 5, 4)), rng.standard_normal(3)
    yield Case(
        "slopes of either sign",
        lambda x: prelu.forward(x, a)[0],
        lambda dy, x: prelu.backward_data(dy, x, a),
        x,
    )
    yield Case(
        "parameters",
        lambda p: prelu.forward(x, p["weight"])[0],
        lambda dy, p: {"weight": prelu.backward_params(dy, x)},
        {"weight": a},
    )


def _linear(rng):
    x, w, b = (rng.standard_normal(shape) for shape in ((3, 7), (5, 7), 5))
    yield from with_params("3x7 to 3x5", linear, x, w, b)


def _lrn(rng):
    for name, shape, options in [
        ("5 channels wide", (2, 9, 3, 4), {"alpha": 2.0}),
        ("an even window", (1, 6, 4, 3), {"size": 4, "alpha": 1.0, "beta": 0.5, "k": 2.0}),
        ("wider than the channels", (2, 3, 2, 5), {"size": 9, "alpha": 3.0}),
    ]:
        yield _op(name, lrn, rng.standard_normal(shape), **options)


def _batchnorm(rng):
    x = rng.standard_normal((3, 4, 2, 5))
    point = {"x": x, "gamma": rng.standard_normal(4), "beta": rng.standard_normal(4)}
    stored = {**point, "mean": rng.standard_normal(4), "var": rng.uniform(0.5, 2, 4)}
    del stored["x"]

    def train_vjp(dy, p):
        grads = batchnorm.backward(dy, batchnorm.forward_train(**p)[1])
        return dict(zip(("x", "gamma", "beta"), grads, strict=True))

    yield Case("training", lambda p: batchnorm.forward_train(**p)[0], train_vjp, point)
    yield Case(
        "stored statistics",
        lambda x: batchnorm.forward_eval(x, **stored)[0],
        lambda dy, x: batchnorm.backward_eval(dy, batchnorm.forward_eval(x, **stored)[1]),
        x,
    )


def _dropout(rng):
    def forward(x):
        return dropout.forward(x, 0.4, np.random.default_rng(3))  # the same mask every time

    yield Case(
        "p = 0.4",
        lambda x: forward(x)[0],
        lambda dy, x: dropout.backward(dy, forward(x)[1]),
        rng.standard_normal((3, 20)),
        linear=True,
    )


def _softmax(rng):
    x, labels = rng.standard_normal((4, 6)), rng.integers(6, size=4)
    yield _op("softmax", softmax, x)
    for smoothing in (0.0, 0.1):

        def forward(x, smoothing=smoothing):
            return softmax.cross_entropy(x, labels, smoothing=smoothing)

        yield Case(
            f"cross-entropy, smoothing {smoothing}",
            lambda x, forward=forward: forward(x)[0],
            lambda dy, x, forward=forward: dy * softmax.cross_entropy_backward(forward(x)[1]),
            x,
        )


def _clip(rng):
    yield _op("between -0.3 and 0.5", clip, distinct(rng, (2, 3, 5, 4)) + 1 / 240, -0.3, 0.5)


def _add(rng):
    yield Case(
        "x and 2 x",
        lambda x: add.forward([x, 2 * x])[0],
        lambda dy, x: np.tensordot([1, 2], add.backward(dy, 2), 1),
        rng.standard_normal((2, 3, 4, 5)),
        linear=True,
    )


def _concat(rng):
    yield Case(
        "x behind 2 x",
        lambda x: concat.forward([2 * x, x])[0],
        lambda dy, x: np.tensordot([2, 1], concat.backward(dy, (3, 3)), 1),
        rng.standard_normal((2, 3, 4, 5)),
        linear=True,
    )


def _replicate(rng):
    for name, shape, padding in [
        ("rows 1, columns 2", (2, 3, 4, 5), (1, 2)),
        ("5", (1, 2, 2, 3), 5),
    ]:
        yield _op(name, replicate, rng.standard_normal(shape), padding, linear=True)


CASES = {
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
    "im2col": _im2col,
    "maxpool2d": _maxpool2d,
    "avgpool2d": _avgpool2d,
    "relu": _relu,
    "prelu": _prelu,
    "linear": _linear,
    "lrn": _lrn,
    "batchnorm": _batchnorm,
    "dropout": _dropout,
    "softmax": _softmax,
    "clip": _clip,
    "add": _add,
    "concat": _concat,
    "replicate": _replicate,
}
