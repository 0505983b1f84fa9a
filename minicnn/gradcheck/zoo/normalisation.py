"""Wrong gradients of lrn, batchnorm and dropout."""

import numpy as np

from minicnn.gradcheck.exercise import Exercise, Mistake, Point, on
from minicnn.ops import batchnorm, dropout, lrn

LRN, BATCH = "ops/lrn.py", "ops/batchnorm.py"
CONSTANTS = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 1.0}


def _lrn_points(rng):
    for name, shape, options in [
        ("5 channels wide", (2, 7, 2, 3), {"alpha": 2.0}),
        ("an even window", (1, 6, 3, 2), {"size": 4, "alpha": 1.0, "beta": 0.5, "k": 2.0}),
    ]:
        yield Point(name, {"x": rng.standard_normal(shape)}, {**CONSTANTS, **options})


def _parts(dy, point):
    """Return the two terms of dx, and the cache."""
    cache = lrn.forward(point.inputs["x"], **point.options)[1]
    direct = dy * cache.a**-cache.beta
    return direct, lrn.backward(dy, cache) - direct, cache


def _lrn(change):
    """A wrong dx from its two terms: change(direct, through)."""
    return lambda dy, point: change(*_parts(dy, point)[:2])


def _size_forgotten(dy, point):
    direct, through, cache = _parts(dy, point)
    return direct + through * cache.size


def _own_channel(dy, point):
    direct, _, (x, a, size, alpha, beta) = _parts(dy, point)
    return direct - 2 * alpha * beta / size * x * direct * x / a


def _mirrored(dy, point):
    direct, _, (x, a, size, alpha, beta) = _parts(dy, point)
    through = np.zeros_like(x)
    for j in range(x.shape[1]):  # the channels that j sees, not those that see j
        seen = slice(max(0, j - size // 2), j + (size - 1) // 2 + 1)
        through[:, j] = (direct * x / a)[:, seen].sum(1)
    return direct - 2 * alpha * beta / size * x * through


LRN_MISTAKES = [
    Mistake("the normaliser treated as a constant", "x", _lrn(lambda direct, through: direct),
            "Only the first term is there: a[c] depends on x as well, by its squares. "
            f"{LRN}, backward: the term with Σ."),
    Mistake("factor 2 missing", "x", _lrn(lambda direct, through: direct + through / 2),
            "The derivative of x² is 2 x: the second term has half its size. "
            f"{LRN}: 2 alpha beta."),
    Mistake("sign of the second term", "x", _lrn(lambda direct, through: direct - through),
            "The exponent is -beta, so the second term is subtracted. "
            f"{LRN}, backward: - 2 alpha beta."),
    Mistake("alpha not divided by the size", "x",
            _size_forgotten,
            "Forward has alpha / size, and so has the second term: yours is size times too large. "
            f"{LRN}: 2 alpha beta / size."),
    Mistake("its own channel alone", "x", _own_channel,
            "x[c] stands in the a of all channels whose window holds c, not in that of c alone. "
            f"{LRN}, backward: Σ over j."),
    Mistake("the window not mirrored", "x", _mirrored,
            "You sum over the channels that c sees. It is those that see c: an even window must "
            f"be turned round. {LRN}, backward: over the j whose window holds c."),
]  # fmt: skip


# batch normalisation


def _batch_points(rng):
    x = 2 + 3 * rng.standard_normal((3, 4, 2, 5))
    inputs = {"x": x, "gamma": rng.standard_normal(4), "beta": rng.standard_normal(4)}
    yield Point("3 pictures", inputs, {"eps": 1e-5})
    yield Point("3 pictures, eps 0.5", inputs, {"eps": 0.5})


def _batch_back(dy, point):
    cache = batchnorm.forward_train(**point.inputs, **point.options)[1]
    return dict(zip(("x", "gamma", "beta"), batchnorm.backward(dy, cache), strict=True))


def _mean(a):
    return a.mean(batchnorm.AXES, keepdims=True)


def _batch(change):
    """A wrong dx: change(dy, z, scale, M), scale = gamma h as (C, 1, 1)."""

    def wrong(dy, point):
        z, scale = batchnorm.forward_train(**point.inputs, **point.options)[1]
        return change(dy, z, scale[:, None, None], dy.size // dy.shape[1])

    return wrong


def _fewer(dy, z, scale, M):
    return scale * (dy - (dy.sum(batchnorm.AXES, keepdims=True)
                          + z * (dy * z).sum(batchnorm.AXES, keepdims=True)) / (M - 1))  # fmt: skip


def _without_gamma(dy, point):
    return _batch_back(dy, point)["x"] / point.inputs["gamma"][:, None, None]


BATCH_MISTAKES = [
    Mistake("mean and variance treated as constants", "x",
            _batch(lambda dy, z, scale, M: scale * dy),
            "You differentiate as with stored statistics. In training, m and v depend on every x, "
            f"which takes from dy its mean and its part along z. {BATCH}, backward."),
    Mistake("variance treated as a constant", "x",
            _batch(lambda dy, z, scale, M: scale * (dy - _mean(dy))),
            f"The term by the variance is missing: - z mean(dy z). {BATCH}, backward."),
    Mistake("mean treated as a constant", "x",
            _batch(lambda dy, z, scale, M: scale * (dy - z * _mean(dy * z))),
            f"The term by the mean is missing: - mean(dy). {BATCH}, backward."),
    Mistake("divided by M - 1", "x", _batch(_fewer),
            "The batch is normalised by the variance over M; M - 1 is for the running statistics "
            f"alone. {BATCH}, backward: dbeta / M, dgamma / M."),
    Mistake("gamma forgotten", "x", _without_gamma,
            "y = gamma z + beta: dy meets gamma before anything else. "
            f"{BATCH}: dx = gamma h (...)."),
    Mistake("x in place of z", "gamma",
            on(lambda dy, x: (dy * x).sum(batchnorm.AXES), "x"),
            "gamma multiplies the normalised z: dgamma = Σ dy z. Yours has x itself; keep z in "
            f"forward. {BATCH}: dgamma."),
    Mistake("summed over the pictures alone", "beta", lambda dy, _: dy.sum(0),
            "There is one beta for each channel: sum over the axes (0, 2, 3). "
            f"{BATCH}: dbeta = Σ dy."),
    Mistake("averaged", "beta", lambda dy, _: dy.mean(batchnorm.AXES),
            "You take a mean; beta moves every value of its channel: it is a sum. "
            f"{BATCH}: dbeta."),
]  # fmt: skip


# dropout


def _dropout_points(rng):
    yield Point("p = 0.4", {"x": rng.standard_normal((3, 20))}, {"p": 0.4, "rng": 3})


def _dropped(x, p, rng):
    return dropout.forward(x, p, np.random.default_rng(rng))


def _mask(point):
    return _dropped(point.inputs["x"], **point.options)[1]


DROPOUT_MISTAKES = [
    Mistake("scale forgotten", "x", lambda dy, point: dy * (_mask(point) > 0),
            "What is kept was divided by 1 - p in forward, and so is its derivative: multiply by "
            "the mask itself, not by mask > 0. ops/dropout.py."),
    Mistake("no mask", "x", lambda dy, point: dy.copy(),
            "dy passes unchanged. What was dropped has no influence: multiply by the mask that "
            "forward has drawn. ops/dropout.py: dx = dy mask."),
    Mistake("scaled twice", "x", lambda dy, point: dy * _mask(point) / (1 - point.options["p"]),
            "The mask holds 1 / (1 - p) already, you divide once more. ops/dropout.py."),
]  # fmt: skip


EXERCISES = {
    "lrn": Exercise(
        lambda x, **options: lrn.forward(x, **options)[0],
        lambda dy, point: {"x": sum(_parts(dy, point)[:2])}, _lrn_points, LRN_MISTAKES, LRN, (),
        CONSTANTS,
    ),
    "batchnorm": Exercise(
        lambda x, gamma, beta, eps: batchnorm.forward_train(x, gamma, beta, eps=eps)[0],
        _batch_back, _batch_points, BATCH_MISTAKES, BATCH, (), {"eps": 1e-5},
    ),
    "dropout": Exercise(
        lambda x, p, rng: _dropped(x, p, rng)[0],
        lambda dy, point: {"x": dy * _mask(point)}, _dropout_points, DROPOUT_MISTAKES,
        "ops/dropout.py", ("x",),
    ),
}  # fmt: skip
