"""What a network costs: parameters, multiplications, time.

    MACs    Σ over convolutions K P Q (C / groups) R S  +  Σ over fully connected layers K D

multiplications with an addition each, for one picture; what has no weights is not counted.
"""

import time
from statistics import median

import numpy as np

from minicnn.network.build import count_parameters

BATCH, REPEATS = 8, 5
PIXELS = 8 * 64 * 64  # large pictures go one by one


def macs(net):
    """Return {layer: multiplications for one picture of the network's size}."""
    shapes, found = net.shapes(), {}
    for name in net.layers:
        weight = net.params.get(f"{name}.weight")
        if weight is not None and weight.ndim > 1:
            found[name] = int(np.prod(shapes[name]) * np.prod(weight.shape[1:]))
    return found


def seconds_a_picture(net, evaluator):
    """Return the time of a forward pass for one picture in a small batch, in seconds."""
    batch = max(1, min(BATCH, PIXELS // int(np.prod(net.input_shape[1:]))))
    x = np.zeros((batch, *net.input_shape), net.dtype)
    times = []
    for _ in range(REPEATS + 1):  # the first one transforms the filters
        started = time.perf_counter()
        evaluator.forward(x, net.layers[-1:], keep=False)
        times.append(time.perf_counter() - started)
    return median(times[1:]) / batch


def costs(net, evaluator):
    """Return {"parameters", "macs", "seconds"} of a network."""
    return {
        "parameters": sum(count_parameters(net).values()),
        "macs": sum(macs(net).values()),
        "seconds": seconds_a_picture(net, evaluator),
    }
