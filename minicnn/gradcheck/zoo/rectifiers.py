"""Wrong gradients of relu, clip and prelu."""

import numpy as np

from minicnn.gradcheck.exercise import Exercise, Mistake, Point, on
from minicnn.gradcheck.ops import distinct
from minicnn.ops import clip, prelu, relu

RELU, PRELU = "ops/relu.py", "ops/prelu.py"


def _relu_points(rng):
    yield Point("no zeros", {"x": distinct(rng, (2, 3, 4, 5))}, {})
    some = rng.integers(-1, 2, (2, 3, 4, 5)).astype(float)
    yield Point("zeros among them", {"x": some}, {}, smooth=False)


def _relu_rule(rule):
    return on(lambda dy, x: relu.backward(dy, x > 0, rule), "x")


RELU_MISTAKES = [
    Mistake("mask by >= 0", "x", on(lambda dy, x: dy * (x >= 0), "x"),
            "You pass dy where x is exactly 0 too: x >= 0 for x > 0 (or y >= 0, which is true "
            f"everywhere). There ours is 0, by convention. {RELU}: dx = dy (x > 0)."),
    Mistake("deconvnet rule", "x", _relu_rule("deconvnet"),
            "You rectify dy itself, max(dy, 0): the deconvnet's rule, which shows what excites a "
            f"unit and is no gradient. The mask is that of x. {RELU}; notes, section 1.1."),
    Mistake("guided rule", "x", _relu_rule("guided"),
            "You mask by x and rectify dy as well: guided backpropagation, which is no gradient. "
            f"Negative dy must pass where x > 0. {RELU}."),
    Mistake("no mask", "x", lambda dy, point: dy.copy(),
            "dy passes unchanged. Where x <= 0 the output does not move, so its derivative is 0: "
            f"keep the mask x > 0 in forward. {RELU}: dx = dy (x > 0)."),
    Mistake("mask inverted", "x", on(lambda dy, x: dy * (x <= 0), "x"),
            f"You pass dy where x is not positive: the mask is the wrong way round. {RELU}."),
    Mistake("multiplied by the output", "x", on(lambda dy, x: dy * np.maximum(x, 0), "x"),
            "You multiply by y where the derivative is asked for: it is 1 where x > 0, not x. "
            f"{RELU}: dx = dy (x > 0)."),
]  # fmt: skip


# clip


def _clip_points(rng):
    bounds = {"low": -0.3, "high": 0.5}
    yield Point("off the bounds", {"x": distinct(rng, (2, 3, 4, 5)) + 1 / 240}, bounds)
    some = rng.choice([-1.0, -0.3, 0.0, 0.5, 1.0], (2, 3, 4, 5))
    yield Point("at the bounds", {"x": some}, bounds, smooth=False)


CLIP_MISTAKES = [
    Mistake("the gradient is clipped", "x", on(np.clip, "low", "high"),
            "You clip dy. It is x that was clipped: dy passes where x lies between the bounds, and "
            "is 0 elsewhere. ops/clip.py, backward."),
    Mistake("no upper bound", "x", on(lambda dy, x, low: dy * (x > low), "x", "low"),
            "Above the upper bound the output does not move either: the mask has two sides. "
            "ops/clip.py: low < x < high."),
    Mistake("bounds included", "x",
            on(lambda dy, x, low, high: dy * ((x >= low) & (x <= high)), "x", "low", "high"),
            "At the bounds themselves ours is 0, by convention: < for <=. ops/clip.py."),
]  # fmt: skip


# parametric ReLU


def _prelu_points(rng):
    yield Point("", {"x": distinct(rng, (2, 3, 4, 5)), "a": rng.standard_normal(3)}, {})


def _prelu_back(dy, point):
    x, a = point.inputs["x"], point.inputs["a"]
    return {"x": prelu.backward_data(dy, x, a), "a": prelu.backward_params(dy, x)}


PRELU_MISTAKES = [
    Mistake("the slope left out", "x", on(lambda dy, x: dy * (x > 0), "x"),
            "Where x is negative dx is a dy, not 0: that is what the slope is for. "
            f"{PRELU}, backward_data."),
    Mistake("the slope on the positive side", "x",
            on(lambda dy, x, a: np.where(x < 0, dy, dy * a[:, None, None]), "x", "a"),
            f"The slope belongs to the negative side; yours acts where x > 0. {PRELU}."),
    Mistake("the positive values too", "a",
            on(lambda dy, x: (dy * x).sum((0, 2, 3)), "x"),
            f"The slope acts on negative x alone: Σ dy min(x, 0), not Σ dy x. {PRELU}: da."),
    Mistake("one slope for all channels", "a",
            on(lambda dy, x: (dy * np.minimum(x, 0)).sum(), "x"),
            "There is a slope for each channel: sum over the axes (0, 2, 3), not over all. "
            f"{PRELU}: da[c] = Σ_nhw."),
]  # fmt: skip


EXERCISES = {
    "relu": Exercise(
        lambda x: relu.forward(x)[0],
        lambda dy, point: {"x": relu.backward(dy, point.inputs["x"] > 0)},
        _relu_points, RELU_MISTAKES, RELU,
    ),
    "clip": Exercise(
        lambda x, low, high: clip.forward(x, low, high)[0],
        lambda dy, point: {
            "x": clip.backward(dy, clip.forward(point.inputs["x"], **point.options)[1])
        },
        _clip_points, CLIP_MISTAKES, "ops/clip.py",
    ),
    "prelu": Exercise(
        lambda x, a: prelu.forward(x, a)[0], _prelu_back, _prelu_points, PRELU_MISTAKES, PRELU
    ),
}  # fmt: skip
