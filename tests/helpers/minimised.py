"""Functions that the tests of optimizers minimise: a bowl, a valley, a small style transfer."""

import numpy as np

from minicnn.objectives.content import ContentLoss
from minicnn.objectives.gram import GramStyleLoss, style_targets
from minicnn.objectives.priors import tv
from minicnn.objectives.weighted_sum import ImageFunction, WeightedSum
from minicnn.ops import conv2d, relu


def bowl(condition, dtype, shape=(1, 3, 5, 4)):
    """Quadratic with eigenvalues from 1 to `condition`, least value 0 at 1, 2, 3, ..."""
    n = int(np.prod(shape))
    d = np.geomspace(1, condition, n).reshape(shape).astype(dtype)
    least = np.arange(1, n + 1).reshape(shape).astype(dtype)

    def fun(x):
        e = x - least
        return 0.5 * float(np.sum(d * e * e, dtype=np.float64)), d * e

    return fun, least


def rosenbrock(x):
    a, b = x[:-1], x[1:]
    gradient = np.zeros_like(x)
    gradient[:-1] = -400 * a * (b - a**2) - 2 * (1 - a)
    gradient[1:] += 200 * (b - a**2)
    return float(np.sum(100 * (b - a**2) ** 2 + (1 - a) ** 2)), gradient


def small_style(seed=0, size=12, dtype="float32", scale=1.0):
    """Style transfer on two random convolutions; pixels about 0, spread 60·scale."""
    rng = np.random.default_rng(seed)
    w1, w2 = rng.standard_normal((8, 3, 3, 3)) / 5 / scale, rng.standard_normal((8, 8, 3, 3)) / 8
    w1, w2 = w1.astype(dtype), w2.astype(dtype)
    shape, state = (1, 3, size, size), {}

    def forward(x, taps):
        h, state["one"] = relu.forward(conv2d.forward(x, w1, padding=1)[0])
        y, state["two"] = relu.forward(conv2d.forward(h, w2, padding=1)[0])
        return {"relu1": h, "relu2": y}

    def backward(d):
        dh = conv2d.backward_data(
            relu.backward(d["relu2"], state["two"]), w2, (1, 8, size, size), padding=1
        )
        return conv2d.backward_data(
            relu.backward(dh + d["relu1"], state["one"]), w1, shape, padding=1
        )

    content, style, start = (rng.standard_normal((3, *shape)) * 60 * scale).astype(dtype)
    total = WeightedSum(
        {
            "content": (5.0, ContentLoss({"relu2": forward(content, None)["relu2"]})),
            "style": (100.0, GramStyleLoss(style_targets(forward(style, None)), None, "gatys")),
        },
        {"tv": (1e-3, tv)},
    )
    return ImageFunction(total, forward, backward), start
