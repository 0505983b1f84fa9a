"""Average pooling, over windows and over the whole map."""
# ruff: noqa: D102 - the methods of all layers are those that `layer` describes

from dataclasses import dataclass

from minicnn.network.layer import Layer
from minicnn.network.pool2d import Pool2d
from minicnn.ops import avgpool2d


@dataclass(frozen=True)
class AvgPool2d(Pool2d):
    """`ops.avgpool2d`."""

    count_padding: bool = True

    def forward(self, x, params, mode):
        return avgpool2d.forward(x, self.kernel, count_padding=self.count_padding, **self.windows)

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
