"""The layers of a classifier: fully connected, dropout, softmax."""
# ruff: noqa: D102 - the methods of all layers are those that `layer` describes

from dataclasses import dataclass

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.network.layer import Layer
from minicnn.ops import dropout, linear, softmax


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
        return y[:, :, None, None], (x.shape, flat if mode.training else None)

    def backward(self, dy, cache, params, rule):
        dx = linear.backward_data(dy[:, :, 0, 0], params["weight"])  # (N, K) -> (N, D)
        return dx.reshape(cache[0])  # (N, C, H, W)

    def backward_params(self, dy, cache):
        dw, db = linear.backward_params(dy[:, :, 0, 0], cache[1])
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
