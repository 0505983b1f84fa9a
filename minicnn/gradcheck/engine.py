"""Where `minicnn gradcheck` tries the gradients of the fast path: its convolutions and its plans.

The convolutions are tried as `ops.conv2d` is. A plan is the function of a picture that its taps
make, one behind the other in a vector; the picture is small, so that windows hang over every edge.
"""

import numpy as np

from minicnn.engine.cpu.conv2d import FastConvolution
from minicnn.engine.cpu.evaluator import FastEvaluator
from minicnn.gradcheck.ops import Case, with_params
from minicnn.network import build


def _convolution(rng):
    for name, x_shape, w_shape, options in (
        ("Winograd F(4), padding 1", (1, 8, 8, 12), (9, 8, 3, 3), {"padding": 1}),
        ("Winograd F(6), batch 2", (2, 8, 7, 13), (8, 8, 3, 3), {}),
        ("columns, stride, padding", (2, 3, 11, 9), (4, 3, 5, 3), {"stride": 2, "padding": (2, 1)}),
        ("columns, groups, dilation", (1, 4, 9, 8), (6, 2, 3, 2), {"groups": 2, "dilation": 2}),
    ):
        x, w = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
        b = rng.standard_normal(len(w))
        yield from with_params(name, FastConvolution(), x, w, b, sizes=(x_shape,), **options)


def _plan(rng):
    for name, network, taps, size in (
        ("minivgg", "minivgg", ["relu1_1", "pool1", "relu2_2"], (11, 14)),
        ("first layer computed again", "minivgg", ["relu1_2", "relu2_1"], (11, 14)),
        ("branches, overlapping pools", "squeezenet", ["pool1", "fire3/concat"], (31, 29)),
        ("normalisation, groups", "alexnet", ["norm1", "conv2"], (35, 39)),
    ):
        for pool in ("max", "average"):
            whole = build.skeleton(network)
            net = build.skeleton(network, pool=pool, last=max(taps, key=whole.layers.index))
            net.params = build.random_params(net.param_shapes(), 0, "float64")
            x = rng.standard_normal((1, 3, *size))
            evaluator = FastEvaluator(net, threads=1)
            yield Case(f"{name}, {pool}", *_replayed(evaluator.replay(), taps), x)


def _replayed(replay, taps):
    """Return the function of a plan and its vector-Jacobian product."""

    def function(x):
        return np.concatenate([a.ravel() for a in replay.forward(x, taps).values()])

    def vjp(dy, x):
        acts, dys, start = replay.forward(x, taps), {}, 0
        for name, a in acts.items():
            dys[name] = dy[start : start + a.size].reshape(a.shape)
            start += a.size
        return replay.backward(dys)

    return function, vjp


CASES = {"engine.conv2d": _convolution, "engine.plan": _plan}
