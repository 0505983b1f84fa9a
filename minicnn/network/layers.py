"""Layers: an operation of `minicnn.ops` bound to its settings.

A layer holds no arrays. `forward(x, params, mode)` returns `(y, cache)`, `backward(dy, cache,
params, rule)` returns dx, `backward_params(dy, cache)` returns the gradients of its parameters by
name. `params` is the layer's own dict, as {"weight": ..., "bias": ...}.
"""
# ruff: noqa: D102 - the methods of all layers are those described above and in `Layer`

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.ops import (
    avgpool2d,
    batchnorm,
    concat,
    conv2d,
    dropout,
    linear,
    lrn,
    maxpool2d,
    prelu,
    relu,
    replicate,
    softmax,
    unpool,
)
from minicnn.ops.shapes import out_size, pair


class Mode(NamedTuple):
    """How a forward pass is made."""

    training: bool = False  # batch statistics, dropout, inputs kept for the parameter gradients
    rng: object = None  # for dropout
    convolution: object = conv2d  # the module of the three convolution functions
    drop_zero_windows: bool = False  # of max pooling: record no switch, see `ops.unpool`


class Rule(NamedTuple):
    """How a backward pass treats the layers that the deconvnet treats in its own way."""

    relu: str = "gradient"  # see `ops.relu`
    lrn: str = "gradient"  # or "identity": the normalisation is not undone
    overlap: str = "sum"  # of unpooled windows, see `ops.unpool`
    rectify_first: bool = False  # max(dy, 0) before unpooling, where the ReLU rule rectifies dy


class Layer:
    """What every layer has; the defaults are those of an element-wise layer without parameters."""

    kernel: ClassVar = 1
    stride: ClassVar = 1
    padding: ClassVar = 0

    def out_shape(self, shape):
        """Return the (C, H, W) of the output for an input of `shape` (C, H, W)."""
        return shape

    def param_shapes(self, shape):
        """Return {name: shape} of the parameters for an input of `shape` (C, H, W)."""
        return {}

    def backward_params(self, dy, cache):
        """Return {name: gradient} of the parameters."""
        return {}


@dataclass(frozen=True)
class Conv2d(Layer):
    """`ops.conv2d`, with `channels` outputs."""

    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 0
    groups: int = 1
    bias: bool = True

    def param_shapes(self, shape):
        weight = (self.channels, shape[0] // self.groups, *pair(self.kernel))
        return {"weight": weight, "bias": (self.channels,)} if self.bias else {"weight": weight}

    def out_shape(self, shape):
        weight = self.param_shapes(shape)["weight"]
        size = conv2d.out_shape((1, *shape), weight, **self._geometry)
        return (self.channels, *size)

    def forward(self, x, params, mode):
        w = params["weight"]
        y, x_cache = mode.convolution.forward(x, w, params.get("bias"), **self._geometry)
        return y, (x.shape, w.shape, x_cache if mode.training else None, mode.convolution)

    def backward(self, dy, cache, params, rule):
        return cache[3].backward_data(dy, params["weight"], cache[0], **self._geometry)

    def backward_params(self, dy, cache):
        _, w_shape, x, convolution = cache
        dw, db = convolution.backward_params(dy, x, w_shape, **self._geometry)
        return {"weight": dw, "bias": db} if self.bias else {"weight": dw}

    @property
    def _geometry(self):
        return {"stride": self.stride, "padding": self.padding, "groups": self.groups}


@dataclass(frozen=True)
class Linear(Layer):
    """`ops.linear` on the input flattened in the order C, H, W."""

    channels: int

    def param_shapes(self, shape):
        return {"weight": (self.channels, int(np.prod(shape))), "bias": (self.channels,)}

    def out_shape(self, shape):
        return (self.channels, 1, 1)

    def forward(self, x, params, mode):
        if x[0].size != params["weight"].shape[1]:
            raise MinicnnError(
                f"a map {tuple(x.shape[1:])} does not fit its weights {params['weight'].shape}; "
                "use pictures of the size that the network was made for"
            )
        y, flat = linear.forward(x.reshape(len(x), -1), params["weight"], params["bias"])
        return y[:, :, None, None], (x.shape, flat if mode.training else None)

    def backward(self, dy, cache, params, rule):
        return linear.backward_data(dy[:, :, 0, 0], params["weight"]).reshape(cache[0])

    def backward_params(self, dy, cache):
        dw, db = linear.backward_params(dy[:, :, 0, 0], cache[1])
        return {"weight": dw, "bias": db}


@dataclass(frozen=True)
class ReLU(Layer):
    """`ops.relu`; its backward rule is chosen for the whole pass."""

    def forward(self, x, params, mode):
        return relu.forward(x)

    def backward(self, dy, cache, params, rule):
        return relu.backward(dy, cache, rule.relu)


@dataclass(frozen=True)
class PReLU(Layer):
    """`ops.prelu`; the deconvnet's rules do not touch it, since it is no ReLU."""

    def param_shapes(self, shape):
        return {"weight": (shape[0],)}

    def forward(self, x, params, mode):
        return prelu.forward(x, params["weight"])

    def backward(self, dy, cache, params, rule):
        return prelu.backward_data(dy, cache, params["weight"])

    def backward_params(self, dy, cache):
        return {"weight": prelu.backward_params(dy, cache)}


@dataclass(frozen=True)
class MaxPool2d(Layer):
    """`ops.maxpool2d`."""

    kernel: int = 2
    stride: int = 2
    padding: int = 0
    ceil: bool = False

    def out_shape(self, shape):
        return pooled_shape(self, shape)

    def forward(self, x, params, mode):
        y, cache = maxpool2d.forward(
            x, self.kernel, stride=self.stride, padding=self.padding, ceil=self.ceil
        )
        return y, unpool.drop_zero_windows(y, cache) if mode.drop_zero_windows else cache

    def backward(self, dy, cache, params, rule):
        if rule.rectify_first and rule.relu != "gradient":
            dy = relu.backward(dy, None, "deconvnet")
        return unpool.unpool(dy, cache, overlap=rule.overlap)


@dataclass(frozen=True)
class AvgPool2d(Layer):
    """`ops.avgpool2d`."""

    kernel: int = 2
    stride: int = 2
    padding: int = 0
    ceil: bool = False
    count_padding: bool = True

    def out_shape(self, shape):
        return pooled_shape(self, shape)

    def forward(self, x, params, mode):
        return avgpool2d.forward(
            x,
            self.kernel,
            stride=self.stride,
            padding=self.padding,
            ceil=self.ceil,
            count_padding=self.count_padding,
        )

    def backward(self, dy, cache, params, rule):
        return avgpool2d.backward(dy, cache)


@dataclass(frozen=True)
class GlobalAvgPool2d(Layer):
    """The mean of each channel: `ops.avgpool2d` with one window over the whole map."""

    def out_shape(self, shape):
        return (shape[0], 1, 1)

    def forward(self, x, params, mode):
        return avgpool2d.forward(x)

    def backward(self, dy, cache, params, rule):
        return avgpool2d.backward(dy, cache)


@dataclass(frozen=True)
class ReplicatePad2d(Layer):
    """`ops.replicate`; the convolution behind it then pads nothing itself."""

    padding: int = 1

    def out_shape(self, shape):
        return (
            shape[0],
            *(side + 2 * p for side, p in zip(shape[1:], pair(self.padding), strict=True)),
        )

    def forward(self, x, params, mode):
        return replicate.forward(x, self.padding)

    def backward(self, dy, cache, params, rule):
        return replicate.backward(dy, cache)


@dataclass(frozen=True)
class LRN(Layer):
    """`ops.lrn`, with Caffe's constants (alpha is divided by the size)."""

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    def forward(self, x, params, mode):
        return lrn.forward(x, size=self.size, alpha=self.alpha, beta=self.beta, k=self.k)

    def backward(self, dy, cache, params, rule):
        return dy if rule.lrn == "identity" else lrn.backward(dy, cache)


@dataclass(frozen=True)
class BatchNorm2d(Layer):
    """`ops.batchnorm`: batch statistics in training, else the stored running ones."""

    eps: float = 1e-5

    def param_shapes(self, shape):
        return {name: (shape[0],) for name in ("gamma", "beta", "mean", "var")}

    def forward(self, x, params, mode):
        gamma, beta, mean, var = (params[k] for k in ("gamma", "beta", "mean", "var"))
        if not mode.training:
            y, scale = batchnorm.forward_eval(x, gamma, beta, mean, var, eps=self.eps)
            return y, (None, scale, None, None)
        y, (z, scale), mean, var = batchnorm.forward_train(x, gamma, beta, eps=self.eps)
        return y, (z, scale, mean, var)

    def backward(self, dy, cache, params, rule):
        z, scale, *_ = cache
        if z is None:
            return batchnorm.backward_eval(dy, scale)
        return batchnorm.backward(dy, (z, scale))[0]

    def backward_all(self, dy, cache):
        """Return dx and the gradients of gamma and beta, which share their sums."""
        z, scale, *_ = cache
        dx, dgamma, dbeta = batchnorm.backward(dy, (z, scale))
        return dx, {"gamma": dgamma, "beta": dbeta}


@dataclass(frozen=True)
class Dropout(Layer):
    """`ops.dropout` in training, the identity otherwise."""

    p: float = 0.5

    def forward(self, x, params, mode):
        if not mode.training:
            return x, None
        if mode.rng is None:
            raise MinicnnError("dropout in training draws random numbers; pass rng=seeded_rng(0)")
        return dropout.forward(x, self.p, mode.rng)

    def backward(self, dy, cache, params, rule):
        return dy if cache is None else dropout.backward(dy, cache)


@dataclass(frozen=True)
class Softmax(Layer):
    """`ops.softmax` over the channels of a 1x1 map."""

    def forward(self, x, params, mode):
        p, cache = softmax.forward(x.reshape(len(x), -1))
        return p.reshape(x.shape), cache

    def backward(self, dy, cache, params, rule):
        return softmax.backward(dy.reshape(len(dy), -1), cache).reshape(dy.shape)


@dataclass(frozen=True)
class Concat(Layer):
    """`ops.concat` of several inputs along the channels."""

    def out_shape(self, *shapes):
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])

    def forward(self, xs, params, mode):
        return concat.forward(xs)

    def backward(self, dy, cache, params, rule):
        return concat.backward(dy, cache)


def pooled_shape(layer, shape):
    """Return the (C, H, W) behind a pooling layer."""
    kernel, stride, padding = pair(layer.kernel), pair(layer.stride), pair(layer.padding)
    size = (
        out_size(shape[1 + i], kernel[i], stride[i], padding[i], ceil=layer.ceil) for i in (0, 1)
    )
    return (shape[0], *size)
