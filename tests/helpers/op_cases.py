"""A case of every operation, whose results are to be the same wherever they are computed."""

import numpy as np

from minicnn.backend import array_module
from minicnn.gradcheck.ops import distinct
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
    unpool,
)


def _conv2d(draw):
    x, w, b, dy = draw(2, 4, 9, 8), draw(6, 2, 3, 2), draw(6), draw(2, 6, 5, 5)
    options = {"stride": 2, "padding": 1, "groups": 2}
    yield conv2d.forward(x, w, b, **options)[0]
    yield conv2d.backward_data(dy, w, x.shape, **options)
    yield from conv2d.backward_params(dy, x, w.shape, **options)


def _conv_transpose2d(draw):
    x, w, b, dy = draw(2, 4, 5, 5), draw(4, 3, 3, 2), draw(6), draw(2, 6, 9, 8)
    options = {"stride": 2, "padding": 1, "groups": 2}
    yield conv_transpose2d.forward(x, w, b, output_size=(9, 8), **options)[0]
    yield conv_transpose2d.backward_data(dy, w, **options)
    yield from conv_transpose2d.backward_params(dy, x, w.shape, **options)


def _im2col(draw):
    options = {"stride": (2, 1), "padding": (0, 1), "dilation": 2}
    cols = im2col.im2col(draw(2, 3, 9, 8), (3, 2), **options)
    yield cols
    yield im2col.col2im(draw(*cols.shape), (2, 3, 9, 8), **options)


def _maxpool2d(draw):
    for options in ({"stride": 2, "padding": 1, "ceil": True}, {"stride": 1}):
        y, cache = maxpool2d.forward(draw(2, 3, 8, 7, values=distinct), 3, **options)
        yield from (y, cache.switches)
        for overlap in unpool.OVERLAPS:
            yield unpool.unpool(draw(*y.shape), cache, overlap=overlap)
    tied = draw(2, 3, 8, 7, values=lambda rng, shape: rng.integers(0, 2, shape))
    yield maxpool2d.forward(tied, 3)[1].switches


def _avgpool2d(draw):
    for kernel, options in ((3, {"stride": 2, "padding": 1, "ceil": True}), (None, {})):
        y, cache = avgpool2d.forward(draw(2, 3, 8, 7), kernel, **options)
        yield y
        yield avgpool2d.backward(draw(*y.shape), cache)


def _relu(draw):
    y, cache = relu.forward(draw(2, 3, 5, 4))
    yield y
    for rule in relu.RULES:
        yield relu.backward(draw(2, 3, 5, 4), cache, rule)


def _prelu(draw):
    x, a, dy = draw(2, 3, 5, 4), draw(3), draw(2, 3, 5, 4)
    y, cache = prelu.forward(x, a)
    yield from (y, prelu.backward_data(dy, cache, a), prelu.backward_params(dy, cache))


def _linear(draw):
    x, w, b, dy = draw(3, 7), draw(5, 7), draw(5), draw(3, 5)
    yield linear.forward(x, w, b)[0]
    yield linear.backward_data(dy, w)
    yield from linear.backward_params(dy, x)


def _lrn(draw):
    y, cache = lrn.forward(draw(2, 7, 3, 4), alpha=2.0)
    yield y
    yield lrn.backward(draw(2, 7, 3, 4), cache)


def _batchnorm(draw):
    x, dy, gamma, beta = draw(3, 4, 2, 5), draw(3, 4, 2, 5), draw(4), draw(4)
    y, cache, mean, var = batchnorm.forward_train(x, gamma, beta)
    yield from (y, mean, var, *batchnorm.backward(dy, cache))
    y, cache = batchnorm.forward_eval(x, gamma, beta, mean, var)
    yield from (y, batchnorm.backward_eval(dy, cache))
    yield from batchnorm.fold(draw(4, 2, 3, 3), draw(4), gamma, beta, mean, var)


def _dropout(draw):
    y, mask = dropout.forward(draw(3, 20), 0.4, np.random.default_rng(3))
    yield from (y, dropout.backward(draw(3, 20), mask))


def _softmax(draw):
    p, cache = softmax.forward(draw(4, 6))
    yield from (p, softmax.backward(draw(4, 6), cache))
    labels = array_module(p).asarray([0, 5, 2, 2])
    loss, cache = softmax.cross_entropy(draw(4, 6), labels, smoothing=0.1)
    yield array_module(p).asarray(loss, p.dtype)
    yield softmax.cross_entropy_backward(cache)


def _concat(draw):
    y, sizes = concat.forward([draw(2, 3, 4, 5), draw(2, 1, 4, 5)])
    yield from (y, *concat.backward(y, sizes))


def _clip(draw):
    y, inside = clip.forward(draw(2, 3, 5, 4), -0.5, 0.5)
    yield from (y, clip.backward(draw(2, 3, 5, 4), inside))


def _add(draw):
    y, count = add.forward([draw(2, 3, 4, 5), draw(2, 3, 4, 5)])
    yield from (y, *add.backward(y, count))


def _replicate(draw):
    y, cache = replicate.forward(draw(2, 3, 4, 5), (1, 2))
    yield from (y, replicate.backward(draw(*y.shape), cache))


OPS = {
    case.__name__[1:]: case
    for case in (
        _conv2d, _conv_transpose2d, _im2col, _maxpool2d, _avgpool2d, _relu, _prelu, _linear, _lrn,
        _batchnorm, _dropout, _softmax, _concat, _clip, _add, _replicate,
    )
}  # fmt: skip


def results(op, dtype, put):
    rng = np.random.default_rng(0)

    def draw(*shape, values=np.random.Generator.standard_normal):
        return put(values(rng, shape).astype(dtype))

    return list(OPS[op](draw))
