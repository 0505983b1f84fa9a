"""The layers beside those of `layers`: other poolings, a classifier's, normalisations, branches."""
# ruff: noqa: D102 - the methods of all layers are those that `layer` describes

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.layout import channels_last, laid_out
from minicnn.network.layer import Layer
from minicnn.ops import (
    add,
    avgpool2d,
    batchnorm,
    clip,
    concat,
    dropout,
    linear,
    lrn,
    prelu,
    replicate,
    softmax,
)
from minicnn.ops.shapes import pair, pooled


@dataclass(frozen=True)
class Pool2d(Layer):
    """What max and average pooling share, to be inherited: settings, and the shape of y."""

    kernel: int = 2
    stride: int = 2
    padding: int = 0
    ceil: bool = False

    def out_shape(self, shape):
        window = (pair(self.kernel), pair(self.stride), pair(self.padding))
        return (shape[0], *pooled(shape[1:], *window, ceil=self.ceil))

    @property
    def windows(self):
        return {"stride": self.stride, "padding": self.padding, "ceil": self.ceil}


@dataclass(frozen=True)
class AvgPool2d(Pool2d):
    """`ops.avgpool2d`."""

    count_padding: bool = True

    def forward(self, x, params, mode):
        return avgpool2d.forward(x, self.kernel, count_padding=self.count_padding, **self.windows)

    def counts(self, size, dtype):
        """Return the divisors (P, Q) of maps of `size` (H, W)."""
        return self.forward(np.zeros((1, 1, *size), dtype), {}, None)[1].count

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
        flat = x.reshape(len(x), -1)  # (N, C, H, W) -> (N, D)
        y, flat = linear.forward(flat, params["weight"], params["bias"])
        kept = flat if mode.training else None
        return y[:, :, None, None], (x.shape, channels_last(x), kept)

    def backward(self, dy, cache, params, rule):
        shape, last, _ = cache
        dx = linear.backward_data(dy[:, :, 0, 0], params["weight"])  # (N, K) -> (N, D)
        return laid_out(dx.reshape(shape), last)  # (N, C, H, W)

    def backward_params(self, dy, cache):
        dw, db = linear.backward_params(dy[:, :, 0, 0], cache[-1])
        return {"weight": dw, "bias": db}


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
        p, cache = softmax.forward(x.reshape(len(x), -1))  # (N, C, 1, 1) -> (N, C)
        return p.reshape(x.shape), cache  # (N, C, 1, 1)

    def backward(self, dy, cache, params, rule):
        dx = softmax.backward(dy.reshape(len(dy), -1), cache)  # (N, C, 1, 1) -> (N, C)
        return dx.reshape(dy.shape)  # (N, C, 1, 1)


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
class Clip(Layer):
    """`ops.clip`; its backward rule is chosen for the whole pass, as that of the ReLU."""

    low: float = 0.0
    high: float = 6.0

    def forward(self, x, params, mode):
        return clip.forward(x, self.low, self.high)

    def backward(self, dy, cache, params, rule):
        return clip.backward(dy, cache, rule.relu)


@dataclass(frozen=True)
class ReplicatePad2d(Layer):
    """`ops.replicate`; the convolution behind it then pads nothing itself."""

    padding: int = 1

    def out_shape(self, shape):
        return replicate.out_shape((1, *shape), self.padding)[1:]

    def forward(self, x, params, mode):
        return replicate.forward(x, self.padding)

    def backward(self, dy, cache, params, rule):
        return replicate.backward(dy, cache)


@dataclass(frozen=True)
class Concat(Layer):
    """`ops.concat` of several inputs along the channels."""

    many: ClassVar = True

    def out_shape(self, *shapes):
        return concat.out_shape([(1, *shape) for shape in shapes])[1:]

    def forward(self, xs, params, mode):
        return concat.forward(xs)

    def backward(self, dy, cache, params, rule):
        return concat.backward(dy, cache)


@dataclass(frozen=True)
class Add(Layer):
    """`ops.add` of several inputs; the deconvnet, too, passes on what comes down to each."""

    many: ClassVar = True

    def out_shape(self, *shapes):
        return add.out_shape(shapes)

    def forward(self, xs, params, mode):
        return add.forward(xs)

    def backward(self, dy, cache, params, rule):
        return add.backward(dy, cache)
