"""Wrong gradients of the priors: tv, tv_beta, tv_absolute, alpha_norm, colour_norm, temporal."""

import numpy as np

from minicnn.gradcheck.exercise import Exercise, Mistake, Point, on
from minicnn.gradcheck.ops import distinct
from minicnn.objectives import priors
from minicnn.objectives.temporal import temporal
from minicnn.objectives.total_variation import differences, differences_adjoint

TV, PRIORS = "objectives/total_variation.py", "objectives/priors.py"
TEMPORAL = "objectives/temporal.py"


def _picture(rng, **options):
    return Point("2 x 3 x 4 x 5", {"x": distinct(rng, (2, 3, 4, 5))}, options)


def _pictures(rng):
    yield _picture(rng)


def _prior(function):
    """Return forward and backward of a prior, in the form of a sum."""

    def forward(x, **options):
        return function(x, normalisation="sum", **options)[0]

    def backward(dy, point):
        x = point.inputs["x"]
        return {"x": dy * function(x, normalisation="sum", **point.options)[1]}

    return forward, backward


def _scattered(dy, x, down, right):
    return dy * differences_adjoint(down, right, x)


def _both(change):
    """A wrong dx of the total variation: change(down, right) -> what is scattered by 2."""

    def wrong(dy, x):
        return _scattered(2 * dy, x, *change(*differences(x)))

    return on(wrong, "x")


def _later_alone(dy, x):
    down, right = differences(x)
    dx = np.zeros_like(x)
    dx[:, :, 1:] += 2 * down
    dx[:, :, :, 1:] += 2 * right
    return dy * dx


def _wrapped(dy, x):
    """Differences around the edge, as `np.roll` makes them."""
    dx = np.zeros_like(x)
    for axis in (2, 3):
        dx += 2 * (x - np.roll(x, 1, axis)) - 2 * (np.roll(x, -1, axis) - x)
    return dy * dx


def _wrong_axes(dy, x):
    """Along channels and rows."""
    turned = np.moveaxis(x, 1, -1)  # (N, H, W, C), read as (N, C, H, W)
    dx = differences_adjoint(*(2 * d for d in differences(turned)), turned)
    return dy * np.moveaxis(dx, -1, 1)


TV_MISTAKES = [
    Mistake("factor 2 missing", "x", on(lambda dy, x: _scattered(dy, x, *differences(x)), "x"),
            "The derivative of d² is 2 d: yours is half of it. "
            f"{TV}: dx = Dᵀ (2 k ...)."),
    Mistake("TV along the wrong axis", "x", on(_wrong_axes, "x"),
            "Your differences run along the channels: in (N, C, H, W) rows are axis 2 and columns "
            f"axis 3. {TV}, differences; notes, equation 3, indices i and j."),
    Mistake("down alone", "x", _both(lambda down, right: (down, 0 * right)),
            f"The part of the differences to the right is missing. {TV}: (down, right)."),
    Mistake("right alone", "x", _both(lambda down, right: (0 * down, right)),
            f"The part of the differences down is missing. {TV}: (down, right)."),
    Mistake("one pixel of each difference", "x", on(_later_alone, "x"),
            "A difference has two pixels: the later gets 2 d, the other -2 d. Yours has the later "
            f"alone. {TV}, differences_adjoint."),
    Mistake("around the edge", "x", on(_wrapped, "x"),
            "np.roll joins the last row to the first. In the last row and column the difference is "
            f"0. {TV}: 0 in the last row."),
]  # fmt: skip


# to the power beta


def _powers(rng):
    yield _picture(rng, beta=1.5)
    yield _picture(rng, beta=3.0)


def _beta(change):
    """A wrong dx: change(v, beta) is the factor of both differences, v = down² + right²."""

    def wrong(dy, x, beta):
        down, right = differences(x)
        v = np.full_like(x, 1e-300)
        v[:, :, :-1] += down**2
        v[:, :, :, :-1] += right**2
        slope = change(v, beta)
        return _scattered(dy, x, down * slope[:, :, :-1], right * slope[:, :, :, :-1])

    return on(wrong, "x", "beta")


def _each_alone(dy, x, beta):
    parts = [beta * np.abs(d) ** (beta - 1) * np.sign(d) for d in differences(x)]
    return _scattered(dy, x, *parts)


BETA_MISTAKES = [
    Mistake("exponent not lowered", "x", _beta(lambda v, beta: beta * v ** (beta / 2)),
            "d/dv v^(β/2) = β/2 v^(β/2 - 1): your exponent is still β/2. "
            f"{PRIORS}, tv_beta: slope; notes, equation 3."),
    Mistake("factor beta missing", "x", _beta(lambda v, beta: v ** (beta / 2 - 1)),
            f"The power brings its exponent down as a factor: β v^(β/2 - 1) d. {PRIORS}, tv_beta."),
    Mistake("factor 2 missing", "x", _beta(lambda v, beta: beta / 2 * v ** (beta / 2 - 1)),
            "β/2 of the power meets the 2 of the square, which makes β; yours has β/2. "
            f"{PRIORS}, tv_beta: slope."),
    Mistake("the slope as for beta = 2", "x", _beta(lambda v, beta: 2 + 0 * v),
            "Yours is 2 d, the gradient for β = 2: the factor v^(β/2 - 1) is missing. "
            f"{PRIORS}, tv_beta; notes, equation 3."),
    Mistake("each direction by itself", "x", on(_each_alone, "x", "beta"),
            "Equation 3 adds the two squares before the power, so v = down² + right² stands in "
            f"both derivatives; you take the power of each alone. {PRIORS}, tv_beta."),
]  # fmt: skip


# norms


def _alphas(rng):
    yield _picture(rng, alpha=3.0)
    yield _picture(rng, alpha=6.0)


ALPHA_MISTAKES = [
    Mistake("sign forgotten", "x", on(lambda dy, x, alpha: dy * alpha * np.abs(x) ** (alpha - 1),
                                      "x", "alpha"),
            f"d|x| = sign(x) dx: yours is positive everywhere. {PRIORS}, alpha_norm."),
    Mistake("factor alpha missing", "x",
            on(lambda dy, x, alpha: dy * np.abs(x) ** (alpha - 1) * np.sign(x), "x", "alpha"),
            f"The power brings its exponent down as a factor. {PRIORS}, alpha_norm."),
    Mistake("exponent not lowered", "x",
            on(lambda dy, x, alpha: dy * alpha * np.abs(x) ** alpha * np.sign(x), "x", "alpha"),
            f"The exponent of the derivative is alpha - 1. {PRIORS}, alpha_norm."),
]  # fmt: skip


COLOUR_MISTAKES = [
    Mistake("each channel by itself", "x",
            on(lambda dy, x, alpha: dy * alpha * np.abs(x) ** (alpha - 1) * np.sign(x),
               "x", "alpha"),
            "The squares of a pixel's channels are added before the power: Σ_c x² stands in the "
            f"derivative of each. {PRIORS}, colour_norm."),
    Mistake("exponent not lowered", "x",
            on(lambda dy, x, alpha: dy * alpha * (x**2).sum(1, keepdims=True) ** (alpha / 2) * x,
               "x", "alpha"),
            f"(Σ x²)^(α/2) has the derivative α (Σ x²)^(α/2 - 1) x. {PRIORS}, colour_norm."),
]  # fmt: skip
ABSOLUTE_MISTAKES = [
    Mistake("the square's gradient", "x", _both(lambda down, right: (down, right)),
            "The derivative of |d| is the sign of d, not 2 d. "
            f"{PRIORS}, tv_absolute."),
    Mistake("sign forgotten", "x",
            on(lambda dy, x: _scattered(dy, x, *(np.ones_like(d) for d in differences(x))), "x"),
            f"The derivative of |d| is 1 or -1, by the sign of d. {PRIORS}, tv_absolute."),
]  # fmt: skip


# a frame near the one before


def _frames(rng):
    for shape in ((1, 3, 4, 5), (2, 2, 5, 3)):
        x, target = rng.standard_normal((2, *shape))
        certain = rng.uniform(0.1, 0.9, shape[2:])
        yield Point(f"{shape[0]} of {shape[2]} x {shape[3]}", {"x": x},
                    {"target": target, "certain": certain})  # fmt: skip


def _temporal(change):
    """A wrong dx: change(d, c) for d = x - w, divided by D / 2."""

    def wrong(dy, x, target, certain):
        return dy * 2 / x[0].size * change(x - target, certain)

    return on(wrong, "x", "target", "certain")


TEMPORAL_MISTAKES = [
    Mistake("factor 2 missing", "x", _temporal(lambda d, c: c * d / 2),
            f"The derivative of d² is 2 d: yours is half of it. {TEMPORAL}: dx = 2/D c (x - w)."),
    Mistake("certainty forgotten", "x", _temporal(lambda d, c: d),
            "Where something has come into sight, c is 0 and nothing may pull there; you pull "
            f"everywhere alike. {TEMPORAL}: c (x - w)."),
    Mistake("certainty squared", "x", _temporal(lambda d, c: c**2 * d),
            f"c stands before the square, (c d)² has c² there. {TEMPORAL}: Σ c (x - w)²."),
    Mistake("not divided by D", "x",
            on(lambda dy, x, target, certain: dy * 2 * certain * (x - target),
               "x", "target", "certain"),
            "The value is divided by the number D of the picture's numbers, so the gradient is "
            f"too. {TEMPORAL}: 2/D."),
]  # fmt: skip


EXERCISES = {
    "tv": Exercise(*_prior(priors.tv), _pictures, TV_MISTAKES, TV),
    "tv_beta": Exercise(
        *_prior(priors.tv_beta), _powers, BETA_MISTAKES, PRIORS, defaults={"beta": 2.0}
    ),
    "tv_absolute": Exercise(*_prior(priors.tv_absolute), _pictures, ABSOLUTE_MISTAKES, PRIORS),
    "alpha_norm": Exercise(
        *_prior(priors.alpha_norm), _alphas, ALPHA_MISTAKES, PRIORS, defaults={"alpha": 6.0}
    ),
    "colour_norm": Exercise(
        *_prior(priors.colour_norm), _alphas, COLOUR_MISTAKES, PRIORS, defaults={"alpha": 6.0}
    ),
    "temporal": Exercise(
        lambda x, target, certain: temporal(x, target, certain)[0],
        lambda dy, point: {"x": dy * temporal(point.inputs["x"], **point.options)[1]},
        _frames, TEMPORAL_MISTAKES, TEMPORAL,
    ),
}  # fmt: skip
