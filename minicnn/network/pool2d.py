"""What max and average pooling share: their settings, and the shape of what they make."""
# ruff: noqa: D102 - the methods of all layers are those that `layer` describes

from dataclasses import dataclass

from minicnn.network.layer import Layer
from minicnn.ops.shapes import pair, pooled


@dataclass(frozen=True)
class Pool2d(Layer):
    """A pooling, to be inherited."""

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
