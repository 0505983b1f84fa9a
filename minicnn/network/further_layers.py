"""The layers that only some networks have: normalisations, PReLU, repeated edges, branches."""
# ruff: noqa: D102 - the methods of all layers are those that `layer` describes

from dataclasses import dataclass

from minicnn.network.layer import Layer
from minicnn.ops import batchnorm, concat, lrn, prelu, replicate


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

    def out_shape(self, *shapes):
        return concat.out_shape([(1, *shape) for shape in shapes])[1:]

    def forward(self, xs, params, mode):
        return concat.forward(xs)

    def backward(self, dy, cache, params, rule):
        return concat.backward(dy, cache)
