"""What max and average pooling share: their settings, and the shape of what they make."""
# ruff: noqa: D102 - the methods of all layers are those that `layer` describes

from dataclasses import dataclass

from minicnn.network.layer import Layer
from minicnn.ops.shapes import out_size, pair


@dataclass(frozen=True)
class Pool2d(Layer):
    """A pooling, to be inherited."""

    kernel: int = 2
    stride: int = 2
    padding: int = 0
    ceil: bool = False

    def out_shape(self, shape):
        kernel, stride, padding = pair(self.kernel), pair(self.stride), pair(self.padding)
        size = (
            out_size(shape[1 + i], kernel[i], stride[i], padding[i], ceil=self.ceil) for i in (0, 1)
        )
        return (shape[0], *size)

    @property
    def windows(self):
        return {"stride": self.stride, "padding": self.padding, "ceil": self.ceil}
