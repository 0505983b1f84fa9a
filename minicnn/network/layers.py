"""The layers of a VGG below its classifier: convolution, ReLU and pooling; the others by name.

    >>> conv1_1 = Conv2d(64, kernel=3, padding=1)
    >>> conv1_1.param_shapes((3, 224, 224))
    {'weight': (64, 3, 3, 3), 'bias': (64,)}
    >>> conv1_1.out_shape((3, 224, 224)), MaxPool2d().out_shape((64, 224, 224))
    ((64, 224, 224), (64, 112, 112))

conv3_1 is the first convolution of the third block, relu3_1 the ReLU behind it, pool3 the end of
the block. `layer` says what the methods take and return. All other layers are in `further_layers`,
with the same methods, and can be imported from here.
"""
# ruff: noqa: D102 - `layer` describes the methods

from dataclasses import dataclass

from minicnn.network.further_layers import (
    LRN,
    Add,
    AvgPool2d,
    BatchNorm2d,
    Clip,
    Concat,
    Dropout,
    GlobalAvgPool2d,
    Linear,
    Pool2d,
    PReLU,
    ReplicatePad2d,
    Softmax,
)
from minicnn.network.layer import ConvCache, Layer, Mode, Rule
from minicnn.ops import maxpool2d, relu, unpool
from minicnn.ops.shapes import convolved, pair

__all__ = ["LRN", "Add", "AvgPool2d", "BatchNorm2d", "Clip", "Concat", "Conv2d", "Dropout"]
__all__ += ["GlobalAvgPool2d", "Layer", "Linear", "MaxPool2d", "Mode", "PReLU", "Pool2d", "ReLU"]
__all__ += ["ReplicatePad2d", "Rule", "Softmax"]


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
        size = convolved((1, *shape), weight, **self._geometry)
        return (self.channels, *size)

    def forward(self, x, params, mode):
        w = params["weight"]
        y, x_cache = mode.convolution.forward(x, w, params.get("bias"), **self._geometry)
        kept = x_cache if mode.training else None
        return y, ConvCache(x.shape, w.shape, kept, mode.convolution)

    def backward(self, dy, cache, params, rule):
        w = params["weight"]
        return cache.convolution.backward_data(dy, w, cache.x_shape, **self._geometry)

    def backward_params(self, dy, cache):
        dw, db = cache.convolution.backward_params(dy, cache.x, cache.w_shape, **self._geometry)
        return {"weight": dw, "bias": db} if self.bias else {"weight": dw}

    @property
    def _geometry(self):
        return {"stride": self.stride, "padding": self.padding, "groups": self.groups}


@dataclass(frozen=True)
class ReLU(Layer):
    """`ops.relu`; its backward rule is chosen for the whole pass."""

    def forward(self, x, params, mode):
        return relu.forward(x)

    def backward(self, dy, cache, params, rule):
        return relu.backward(dy, cache, rule.relu)


@dataclass(frozen=True)
class MaxPool2d(Pool2d):
    """`ops.maxpool2d`, 2 x 2 windows by default; the cache has the switches."""

    def forward(self, x, params, mode):
        y, cache = maxpool2d.forward(x, self.kernel, **self.windows)
        return y, unpool.drop_zero_windows(y, cache) if mode.drop_zero_windows else cache

    def backward(self, dy, cache, params, rule):
        if rule.rectify_first and rule.relu != "gradient":
            dy = relu.backward(dy, None, "deconvnet")  # max(dy, 0) reads no cache
        return unpool.unpool(dy, cache, overlap=rule.overlap)  # by "sum" it is maxpool2d.backward
