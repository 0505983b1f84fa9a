"""Wrong gradients of the losses: content, gram, style, class_score.

The losses are those of the lecture notes. A function that is ours but for a constant, such as the
mean for the sum, counts as ours, and its gradient must have the same constant.
"""

import numpy as np

from minicnn.gradcheck.exercise import Exercise, Mistake, Point, on
from minicnn.objectives.content import content
from minicnn.objectives.gram import gram

CONTENT, GRAM = "objectives/content.py", "objectives/gram.py"


def _two_maps(rng):
    f, target = rng.standard_normal((1, 3, 4, 5)), rng.standard_normal((1, 3, 4, 5))
    yield Point("3 channels", {"f": f}, {"target": target})


CONTENT_MISTAKES = [
    Mistake("factor 2 missing", "f", on(lambda dy, f, target: dy * (f - target), "f", "target"),
            "The derivative of a square is twice what was squared: 2 (F - P). Only where the loss "
            f"has a ½ in front is it F - P. {CONTENT}; notes, equation 2."),
    Mistake("target forgotten", "f", on(lambda dy, f: 2 * dy * f, "f"),
            "You differentiate Σ F². What was squared is the difference F - P. "
            f"{CONTENT}; notes, equation 2."),
    Mistake("the root differentiated", "f",
            on(lambda dy, f, target: dy * (f - target) / np.linalg.norm(f - target), "f", "target"),
            "Yours is the derivative of the norm itself; equation 2 has its square. "
            f"{CONTENT}: dF = 2 c (F - P)."),
]  # fmt: skip


# the Gram matrix by itself: (N, C, H, W) -> (N, C, C)


def _map(rng):
    yield Point("3 channels", {"f": rng.standard_normal((2, 3, 4, 5))}, {})
    yield Point("4 channels of 2 x 2", {"f": rng.standard_normal((2, 4, 2, 2))}, {})


def _times(matrix, f):
    return (matrix @ f.reshape(*f.shape[:2], -1)).reshape(f.shape)


def _turned(matrix):
    return matrix.swapaxes(-1, -2)


def _not_transposed(dy, f):
    """Fᵀ taken by a reshape, on the way back."""
    C, M = f.shape[1], f[0, 0].size
    back = f.reshape(-1, M, C) @ (dy + _turned(dy))  # should be (Fᵀ)(dG + dGᵀ)
    return back.reshape(f.shape)


GRAM_SAYS = f"F stands in F Fᵀ twice, so dF = (dG + dGᵀ) F. {GRAM}, the lines of δD; equation 5."
GRAM_MISTAKES = [
    Mistake("one of the two factors", "f", on(lambda dy, f: _times(dy, f), "f"),
            f"You differentiate by the first F alone. {GRAM_SAYS}"),
    Mistake("transposed Gram", "f", on(lambda dy, f: _times(_turned(dy), f), "f"),
            f"You differentiate by the second F alone, dGᵀ F. {GRAM_SAYS}"),
    Mistake("dG taken for symmetric", "f", on(lambda dy, f: 2 * _times(dy, f), "f"),
            "2 dG F holds where dG is symmetric, as it is in the style loss, but not for any dG. "
            f"{GRAM_SAYS}"),
    Mistake("reshaped where it should be transposed", "f", on(_not_transposed, "f"),
            "A reshape from (C, M) to (M, C) mixes channels and positions; use a transpose. "
            f"{GRAM}: F (C, M), a row for each channel."),
]  # fmt: skip


# equation 6


def _style_points(rng):
    f, other = rng.standard_normal((1, 3, 4, 5)), rng.standard_normal((1, 3, 4, 5))
    yield Point("3 channels of 4 x 5", {"f": f}, {"target": gram(other)})
    f, other = rng.standard_normal((1, 4, 2, 3)), rng.standard_normal((1, 4, 2, 3))
    yield Point("4 channels of 2 x 3", {"f": f}, {"target": gram(other)})


def _style(f, target):
    return float(((gram(f) - target) ** 2).sum()) / (4 * f[0, 0].size ** 2)


def _style_back(dy, f, target):
    return dy * _times(gram(f) - target, f) / f[0, 0].size ** 2


STYLE_MISTAKES = [
    Mistake("factor 2 of the Gram matrix missing", "f",
            on(lambda *values: _style_back(*values) / 2, "f", "target"),
            "Half the gradient: the square gives one factor 2, and F, which stands in F Fᵀ twice, "
            f"another. {GRAM}, the lines of δvalue; notes, equations 5 and 6."),
    Mistake("divided by the positions once", "f",
            on(lambda dy, f, target: _style_back(dy, f, target) * f[0, 0].size, "f", "target"),
            "Equation 6 divides by (n_W n_H)², the square of the number of positions; your "
            f"gradient has it once. {GRAM}: dF."),
    Mistake("not divided by the positions", "f",
            on(lambda dy, f, target: _style_back(dy, f, target) * f[0, 0].size ** 2, "f", "target"),
            "The value has 1 / (4 (n_W n_H)²), your gradient has no such factor. "
            f"{GRAM}: dF; notes, equation 6."),
    Mistake("target forgotten", "f",
            on(lambda dy, f, target: _style_back(dy, f, 0), "f", "target"),
            "You multiply F by its own Gram matrix; it is the difference to the style's that "
            f"counts, (G - A) F. {GRAM}: dF; notes, equation 6."),
    Mistake("not multiplied by F", "f",
            on(lambda dy, f, target: dy * 2 * (gram(f) - target) / (4 * f[0, 0].size ** 2),
               "f", "target"),
            "Yours is the derivative by the Gram matrix, (C, C). Go on through G = F Fᵀ: multiply "
            f"by F. {GRAM}: dF = ... D F."),
]  # fmt: skip


# the score of a class


def _score_points(rng):
    for name, shape in [("scores", (2, 5)), ("a map", (2, 5, 3, 4))]:
        yield Point(name, {"f": rng.standard_normal(shape)}, {"index": 3})


def _score(f, index):
    return float(f[:, index].sum()) / f[0, 0].size


def _one_hot(dy, point):
    f = point.inputs["f"]
    df = np.zeros_like(f)
    df[:, point.options["index"]] = dy / f[0, 0].size
    return df


def _probability(dy, point):
    f = point.inputs["f"]
    if f.ndim > 2:
        return None
    p = np.exp(f) / np.exp(f).sum(1, keepdims=True)
    return p * (_one_hot(dy, point) - (_one_hot(dy, point) * p).sum(1, keepdims=True))


SCORE_MISTAKES = [
    Mistake("all classes", "f",
            lambda dy, point: np.full_like(point.inputs["f"], dy / _size(point)),
            "The score of one class is asked for: its derivative is 0 at all the others. "
            "objectives/class_score.py."),
    Mistake("the probability's gradient", "f", _probability,
            "You differentiate p = softmax(f). Simonyan et al. take the score before the softmax: "
            "raising p can also mean lowering all others. objectives/class_score.py."),
    Mistake("positions not divided", "f",
            lambda dy, point: _one_hot(dy, point) * _size(point),
            "A map scores by its mean over the positions: each has 1/M of it. "
            "objectives/class_score.py."),
]  # fmt: skip


def _size(point):
    return point.inputs["f"][0, 0].size


EXERCISES = {
    "content": Exercise(
        lambda f, target: content(f, target, 1.0)[0],
        lambda dy, point: {"f": dy * content(point.inputs["f"], point.options["target"], 1.0)[1]},
        _two_maps, CONTENT_MISTAKES, CONTENT,
    ),
    "gram": Exercise(
        gram, lambda dy, point: {"f": _times(dy + _turned(dy), point.inputs["f"])}, _map,
        GRAM_MISTAKES, GRAM,
    ),
    "style": Exercise(
        _style, lambda dy, point: {"f": on(_style_back, "f", "target")(dy, point)}, _style_points,
        STYLE_MISTAKES, GRAM,
    ),
    "class_score": Exercise(
        _score, lambda dy, point: {"f": _one_hot(dy, point)}, _score_points, SCORE_MISTAKES,
        "objectives/class_score.py",
    ),
}  # fmt: skip
