"""What has been done where a reader's gradient is wrong.

It is compared with the mistakes of the zoo, then with the patterns that any operation has.
"""

from typing import NamedTuple

import numpy as np

from minicnn.gradcheck.exercise import same
from minicnn.gradcheck.patterns import OF_PICTURES, OF_WEIGHTS, recognised, where_it_differs


class Diagnosis(NamedTuple):
    """What has been done."""

    of: str
    name: str
    says: str


class Trial(NamedTuple):
    """What came out at a point."""

    point: object
    dy: object
    y: object
    ours: object
    found: dict  # {name: gradient}
    right: dict
    constant: float  # the reader's y over ours


def diagnose(name, trials, exercise, own):
    """Return the `Diagnosis` of the gradient of an input, from all `Trial`s."""
    trials = [one for one in trials if name in one.found]
    for mistake in exercise.mistakes if exercise else ():
        if mistake.of == name and _made(mistake, name, trials):
            return Diagnosis(name, mistake.name, mistake.says)
    pairs = [(one.found[name], one.right[name]) for one in trials]
    for other in trials[0].right:
        if other != name and all(same(one.found[name], one.right[other]) for one in trials):
            return Diagnosis(
                name, "another input's",
                f"This is d{other}. Return the gradients in the order of the inputs: "
                f"{', '.join(f'd{one}' for one in trials[0].right)}.",
            )  # fmt: skip
    axes = OF_WEIGHTS if name == "w" else OF_PICTURES
    said = recognised(pairs, [_sizes(one) for one in trials], axes)
    if said:
        return Diagnosis(name, *said)
    if _dy_forgotten(name, trials, own):
        return Diagnosis(
            name, "dy forgotten",
            "It is the same whatever dy is: the chain rule is missing. Multiply by dy (or pass it "
            "through), dx = Σ dy ∂y/∂x.",
        )  # fmt: skip
    found, right = max(pairs, key=lambda pair: np.abs(pair[0] - pair[1]).max(initial=0))
    return Diagnosis(name, "not recognised", where_it_differs(found, right, axes))


def _made(mistake, name, trials):
    """Return whether the reader's gradient is this wrong one, wherever it can be seen."""
    seen = False
    for one in trials:
        wrong = mistake.wrong(one.dy, one.point)
        if wrong is None:
            continue
        wrong = one.constant * np.asarray(wrong)
        if not same(one.found[name], wrong):
            return False
        seen = seen or not same(one.right[name], wrong)
    return seen


def gradient(own, dy, point, name):
    """Return the reader's gradient of one input."""
    return np.asarray(own.backward(dy, point, own.forward(point)[1])[name], float)


def _dy_forgotten(name, trials, own):
    one = trials[0]
    other = np.random.default_rng(99).standard_normal(one.dy.shape)
    return same(gradient(own, other, one.point, name), one.found[name])


def _sizes(trial):
    """Return what the sizes of a point mean."""
    first = next(iter(trial.point.inputs.values()))
    sizes = {"N, the pictures": first.shape[0]}
    if first.ndim == 4:
        sizes["H W, the positions"] = first.shape[2] * first.shape[3]
        sizes["C, the channels"] = first.shape[1]
    if trial.dy.ndim == 4 and trial.dy.shape != first.shape:
        sizes["P Q, the positions of y"] = trial.dy.shape[2] * trial.dy.shape[3]
    return {**sizes, "all values of the input": first.size}


def of_y(trials):
    """Return what is wrong with y, beside ours."""
    pairs = [(one.y, one.ours) for one in trials]
    said = recognised(pairs, [_sizes(one) for one in trials])
    if said:
        return Diagnosis("y", *said)
    y, ours = max(pairs, key=lambda pair: np.abs(pair[0] - pair[1]).max(initial=0))
    return Diagnosis("y", "another forward", where_it_differs(y, ours))
