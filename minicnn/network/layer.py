"""What a layer is: an operation of `minicnn.ops` bound to its settings. It holds no arrays.

    y, cache = layer.forward(x, params, mode)       the operation's own pair of y and cache
    dx = layer.backward(dy, cache, params, rule)    dx for dy, see `ops.relu`
    grads = layer.backward_params(dy, cache)        {"weight": dw, "bias": db}, after training=True

`params` are the layer's own parameters, {"weight": array, "bias": array}. `mode` and `rule` say
how the whole pass is made; most layers ask neither. With `Mode()` and `Rule()`, their defaults,
forward is what a picture gets and backward is the gradient.
"""

from typing import ClassVar, NamedTuple

from minicnn.ops import conv2d


class Mode(NamedTuple):
    """How a forward pass is made."""

    training: bool = False  # batch statistics, dropout, inputs kept for the parameter gradients
    rng: object = None  # for dropout
    convolution: object = conv2d  # or what has the same three functions
    drop_zero_windows: bool = False  # of max pooling: record no switch, see `ops.unpool`


class Rule(NamedTuple):
    """How a backward pass treats the layers that the deconvnet treats in its own way."""

    relu: str = "gradient"  # see `ops.relu`
    lrn: str = "gradient"  # of local response normalisation; or "identity": not undone
    overlap: str = "sum"  # of unpooled windows, see `ops.unpool`
    rectify_first: bool = False  # max(dy, 0) before unpooling, where the ReLU rule rectifies dy


class ConvCache(NamedTuple):
    """What a convolution leaves for its way back.

    `x` is None unless in training; `convolution` is the `Mode`'s, which goes back too.
    """

    x_shape: tuple
    w_shape: tuple
    x: object
    convolution: object


class Layer:
    """What layers share; each adds `forward` and `backward`. By default there are no parameters."""

    kernel: ClassVar = 1
    stride: ClassVar = 1
    padding: ClassVar = 0
    many: ClassVar = False  # takes a list of inputs, and gives back a list of dx

    def out_shape(self, shape):
        """Return the (C, H, W) of the output for an input of `shape` (C, H, W)."""
        return shape

    def param_shapes(self, shape):
        """Return {name: shape} of the parameters for an input of `shape` (C, H, W)."""
        return {}

    def backward_params(self, dy, cache):
        """Return {name: gradient} of the parameters."""
        return {}
