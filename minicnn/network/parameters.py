"""Parameters that a network begins with: random ones, or none that take memory; their number.

Random weights are He-normal (He et al. 2015, arXiv 1502.01852, equation 10): the variance of a
weight is 2 / fan_in; biases are 0.
"""

import numpy as np

from minicnn.backend import seeded_rng

STATISTICS = ("mean", "var")  # of a batch normalisation: measured, not learned


def random_params(shapes, seed, dtype="float32"):
    """Return He-normal weights, drawn as float32 in the order of `shapes`; see above."""
    rng, params = seeded_rng(seed), {}
    for key, shape in shapes.items():
        kind = key.rpartition(".")[2]
        if kind == "weight" and len(shape) == 1:  # the slopes of a PReLU, as He et al. begin
            array = np.full(shape, 0.25, np.float32)
        elif kind == "weight":
            array = rng.standard_normal(shape, dtype=np.float32)
            array *= np.float32((2 / np.prod(shape[1:])) ** 0.5)
        else:
            array = np.full(shape, kind in ("gamma", "var"), np.float32)
        params[key] = array.astype(dtype, copy=False)
    return params


def no_params(net) -> dict:
    """Return read-only zeros of the right shapes: to look at, and to be replaced."""
    zero = np.zeros((), np.float32)
    return {key: np.broadcast_to(zero, shape) for key, shape in net.param_shapes().items()}


def count_parameters(net):
    """Return {layer: number of its learned parameters}, running statistics not counted."""
    counts = dict.fromkeys(net.layers, 0)
    for key, array in net.params.items():
        layer, _, kind = key.rpartition(".")
        if layer in counts and kind not in STATISTICS:
            counts[layer] += array.size
    return counts
