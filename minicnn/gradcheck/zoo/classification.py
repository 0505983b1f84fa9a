"""Wrong gradients of linear, softmax and cross_entropy."""

import numpy as np

from minicnn.gradcheck.exercise import Exercise, Mistake, Point, on
from minicnn.ops import linear, softmax

LINEAR, SOFTMAX = "ops/linear.py", "ops/softmax.py"


def _linear_points(rng):
    for N, D, K in ((3, 5, 4), (3, 4, 4)):
        x, w, b = (rng.standard_normal(shape) for shape in ((N, D), (K, D), K))
        yield Point(f"{N} x {D} to {N} x {K}", {"x": x, "w": w, "b": b}, {})


def _linear_back(dy, point):
    dw, db = linear.backward_params(dy, point.inputs["x"])
    return {"x": linear.backward_data(dy, point.inputs["w"]), "w": dw, "b": db}


LINEAR_MISTAKES = [
    Mistake("w transposed", "x",
            on(lambda dy, w: dy @ w.T if w.shape[0] == w.shape[1] else None, "w"),
            "With w (K, D), forward takes x wᵀ and backward dy w. You multiply by wᵀ: write the "
            f"shapes below the product, (N, K) (K, D). {LINEAR}: dx = dy w."),
    Mistake("dw transposed", "w", on(lambda dy, x: x.T @ dy, "x"),
            "dw has the shape of w, (K, D): that is dyᵀ x, (K, N) (N, D). Yours is xᵀ dy, (D, K). "
            f"{LINEAR}: dw = dyᵀ x."),
    Mistake("mean over the pictures", "w", on(lambda dy, x: dy.T @ x / len(x), "x"),
            "The parts of the pictures are added. If a loss is a mean, dy has its 1/N already: "
            f"divide once, not twice. {LINEAR}: dw = dyᵀ x."),
    Mistake("bias summed over the wrong axes", "b", lambda dy, _: dy.sum(1),
            "db[k] = Σ_n dy[n,k]: a sum over the pictures, axis 0. You sum over the features. "
            f"{LINEAR}."),
    Mistake("bias averaged", "b", lambda dy, _: dy.mean(0),
            f"You take a mean over the pictures; it is a sum, db[k] = Σ_n dy[n,k]. {LINEAR}."),
]  # fmt: skip


def _scores(rng):
    yield Point("4 pictures, 6 classes", {"x": rng.standard_normal((4, 6))}, {})


def _p(x):
    return softmax.forward(x)[0]


SOFTMAX_MISTAKES = [
    Mistake("off-diagonal of the Jacobian missing", "x",
            on(lambda dy, x: dy * _p(x) * (1 - _p(x)), "x"),
            "You take ∂p[k]/∂x[k] = p (1 - p) alone. Each p[j] depends on each x[k] through the "
            f"sum below: - p[j] p[k] for j ≠ k. {SOFTMAX}: p (dy - Σ dy p)."),
    Mistake("the sum treated as a constant", "x", on(lambda dy, x: dy * _p(x), "x"),
            "You differentiate exp and leave the sum it is divided by alone. The sum depends on "
            f"every x, which takes Σ_j dy[j] p[j] off dy. {SOFTMAX}: p (dy - Σ dy p)."),
    Mistake("summed over all pictures", "x",
            on(lambda dy, x: _p(x) * (dy - (dy * _p(x)).sum()), "x"),
            "The sum over j is one for each picture: keepdims=True over axis 1, not over all. "
            f"{SOFTMAX}: Σ_j dy[n,j] p[n,j]."),
    Mistake("summed over the wrong axis", "x",
            on(lambda dy, x: _p(x) * (dy - (dy * _p(x)).sum(0)), "x"),
            f"You sum over the pictures; the sum runs over the classes, axis 1. {SOFTMAX}."),
]  # fmt: skip


def _labelled(rng):
    for name, smoothing in (("plain", 0.0), ("smoothed by 0.1", 0.1)):
        labels = np.array([3, 0, 5, 2])
        options = {"labels": labels, "smoothing": smoothing}
        yield Point(name, {"x": rng.standard_normal((4, 6))}, options)


def _targets(point):
    x, labels = point.inputs["x"], point.options["labels"]
    smoothing = point.options["smoothing"]
    return (1 - smoothing) * np.eye(x.shape[1])[labels] + smoothing / x.shape[1]


def _loss_back(dy, point):
    return dy * (_p(point.inputs["x"]) - _targets(point)) / len(point.inputs["x"])


def _twice(dy, point):
    p = _p(point.inputs["x"])
    return dy * softmax.backward(_loss_back(1.0, point), p)


LOSS_MISTAKES = [
    Mistake("1/N missing", "x", lambda dy, point: _loss_back(dy, point) * len(point.inputs["x"]),
            "The loss is a mean over the pictures, so its derivative has the 1/N too: "
            f"(p - t) / N. {SOFTMAX}, cross_entropy_backward."),
    Mistake("divided by the classes too", "x",
            lambda dy, point: _loss_back(dy, point) / point.inputs["x"].shape[1],
            "You divide by all entries (.mean() of N K numbers, or .size). The loss is a mean over "
            f"the N pictures alone. {SOFTMAX}: dx = (p - t) / N."),
    Mistake("target not subtracted", "x",
            on(lambda dy, x: dy * _p(x) / len(x), "x"),
            "Yours is p / N: the target is missing. Subtract 1 at the label of each picture. "
            f"{SOFTMAX}: dx = (p - t) / N."),
    Mistake("softmax differentiated twice", "x", _twice,
            "p - t is the derivative by the scores already, with softmax behind it; you pass it "
            f"through the softmax's backward once more. {SOFTMAX}: dx = (p - t) / N."),
    Mistake("smoothing forgotten", "x",
            on(lambda dy, x, labels: dy * (_p(x) - np.eye(x.shape[1])[labels]) / len(x),
               "x", "labels"),
            "Forward spreads a part of the target over all classes, backward takes it all at the "
            f"label. {SOFTMAX}: t[n,k]."),
]  # fmt: skip


EXERCISES = {
    "linear": Exercise(
        lambda x, w, b=None: linear.forward(x, w, b)[0], _linear_back, _linear_points,
        LINEAR_MISTAKES, LINEAR, ("x", "w"),
    ),
    "softmax": Exercise(
        _p, lambda dy, point: {"x": softmax.backward(dy, _p(point.inputs["x"]))}, _scores,
        SOFTMAX_MISTAKES, SOFTMAX,
    ),
    "cross_entropy": Exercise(
        lambda x, labels, smoothing=0.0: softmax.cross_entropy(x, labels, smoothing=smoothing)[0],
        lambda dy, point: {"x": _loss_back(dy, point)}, _labelled, LOSS_MISTAKES, SOFTMAX, (),
        {"smoothing": 0.0},
    ),
}  # fmt: skip
