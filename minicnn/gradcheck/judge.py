"""Whether a reader's forward and backward are right.

    central differences    <dy, J v> = <Jᵀ dy, v> of the reader's own forward and backward
    adjoint                <A x, dy> = <x, Aᵀ dy>, where y is linear in x
    as ours                y and the gradients beside those of our operation

If the reader's y is ours but for a constant, the gradients must have the constant. `diagnosis` says
what has been done where something is wrong.
"""

from typing import NamedTuple

import numpy as np

from minicnn.gradcheck.checks import STEP, check_vjp, relative_error
from minicnn.gradcheck.diagnosis import Diagnosis, Trial, diagnose, gradient, of_y

DIFFERENCES, ADJOINT, OURS = "central differences", "adjoint", "as ours"
ALIKE = 1e-4  # of y: then the gradients are compared with ours, whatever its digits
TOLERANCE = {DIFFERENCES: 1e-6, ADJOINT: 1e-11, OURS: 1e-9}


class Found(NamedTuple):
    """One check at one point."""

    point: str
    check: str
    of: str  # y, or the input whose gradient was checked
    error: float
    tolerance: float
    ok: bool


class Verdict(NamedTuple):
    """All checks, and what there is to say about those that failed."""

    checks: list
    diagnoses: list
    numbers: list = []  # noqa: RUF012 - options that were no pairs, see `own.usable`

    @property
    def ok(self):
        """Whether all is right."""
        return all(one.ok for one in self.checks) and not self.diagnoses


def judge(own, points, exercise=None):
    """Check functions of the reader's.

    Parameters
    ----------
    own : has forward(point) -> (y, cache) and backward(dy, point, cache) -> {name: gradient}
    points : list of Point
        With the inputs and options that `own` takes.
    exercise : Exercise, optional
        The operation of ours that it should be.

    Returns
    -------
    Verdict
    """
    checks, diagnoses, trials = [], [], []
    for number, point in enumerate(points):
        trial, more, said = _try(own, point, exercise, np.random.default_rng(number))
        checks += more
        diagnoses += [one for one in said if one not in diagnoses]
        trials.append(trial)
        if said:  # what has overwritten its inputs cannot be judged any further
            return Verdict(checks, diagnoses)
    for name in trials[0].found:
        if any(one.of == name and not one.ok for one in checks):
            diagnoses.append(diagnose(name, trials, exercise, own))
    if any(one.of == "y" and not one.ok for one in checks):
        diagnoses.insert(0, of_y(trials))
    return Verdict(checks, diagnoses)


def _try(own, point, exercise, rng):
    """Return the `Trial` of a point, its checks, and what was overwritten on the way."""
    kept = {name: value.copy() for name, value in point.inputs.items()}
    y, cache = own.forward(point)
    changed = [name for name in kept if not np.array_equal(kept[name], point.inputs[name])]
    for name in changed:
        point.inputs[name][...] = kept[name]
    if changed:
        said = (
            f"forward writes into its input {', '.join(changed)}: who calls it loses the picture. "
            "Work on a copy, or make a new array."
        )
        return None, [], [Diagnosis("forward", "input overwritten", said)]
    checks, ours, constant, alike = [], None, 1.0, False
    if exercise:
        ours = np.asarray(exercise.forward(**point.inputs, **point.options))
        constant, error = _constant(y, ours)
        checks.append(_check(point, OURS, "y", error))
        alike = error < ALIKE
    dy = np.asarray(rng.standard_normal(np.shape(y)))
    found = {name: np.asarray(g) for name, g in own.backward(dy.copy(), point, cache).items()}
    said = _overwritten(own, dy, point, cache, found, kept)
    if alike:
        right = {n: constant * g for n, g in exercise.backward(dy, point).items() if n in found}
    elif point.smooth:
        right = {name: _differences(own, dy, point, name) for name in found}
    else:  # at a kink there is nothing to compare with
        right = found
    for name, g in found.items():
        checks += _checks_of(name, g, right[name], own, dy, point, exercise, alike)
    return Trial(point, dy, np.asarray(y), ours, found, right, constant), checks, said


def _constant(y, ours):
    """Return the reader's y over ours, and the relative error of y with it."""
    y, ours = np.asarray(y, float), np.asarray(ours, float)
    if y.shape != ours.shape:
        return 1.0, 2.0
    number = y.ndim == 0 and float(ours) != 0  # a loss may be a mean or a sum
    constant = float(y / ours) if number and np.isfinite(y) and y != 0 else 1.0
    largest = np.abs(ours).max(initial=0) or 1.0
    error = float(np.abs(y - constant * ours).max(initial=0) / largest)
    return constant, error if np.isfinite(error) else 2.0


def _overwritten(own, dy, point, cache, found, kept):
    """Return what a second and a third backward pass show."""
    said = []
    again = own.backward(dy.copy(), point, cache)
    if not all(np.array_equal(found[name], again[name], equal_nan=True) for name in found):
        said.append(
            Diagnosis(
                "backward", "cache overwritten",
                "backward gives something else when it is called again with the same dy and cache: "
                "it writes into its cache (or adds to an array that it keeps, or draws at random). "
                "Read the cache, and make a new array for the result.",
            )
        )  # fmt: skip
    if not all(np.array_equal(kept[name], point.inputs[name]) for name in kept):
        said.append(
            Diagnosis("backward", "input overwritten", "backward writes into an input of forward.")
        )
    handed = dy.copy()
    own.backward(handed, point, cache)
    if not np.array_equal(handed, dy):
        said.append(
            Diagnosis(
                "backward", "dy overwritten",
                "backward writes into dy, which is not its own: where a layer has two readers, the "
                "other needs it too. Use dx = dy * ..., not dy *= ...",
            )
        )  # fmt: skip
    other = point._replace(inputs={n: v[..., ::-1].copy() for n, v in point.inputs.items()})
    _, cache = own.forward(point)
    own.forward(other)
    late = own.backward(dy.copy(), point, cache)
    if not said and not all(np.array_equal(found[n], late[n], equal_nan=True) for n in found):
        said.append(
            Diagnosis(
                "backward", "cache shared between calls",
                "After a second forward pass the cache of the first has changed: it is kept in one "
                "place (a global, a default argument). Return a new cache from each call.",
            )
        )  # fmt: skip
    return said


def _checks_of(name, g, right, own, dy, point, exercise, alike):
    """Return the checks of one gradient at one point."""
    if g.shape != right.shape or not np.isfinite(g).all():
        return [_check(point, OURS if alike else DIFFERENCES, name, 2.0)]
    checks = []
    if point.smooth:
        error = check_vjp(
            lambda value: own.forward(_with(point, name, value))[0],
            lambda dy, value: gradient(own, dy, _with(point, name, value), name),
            point.inputs[name],
            np.random.default_rng(5),
        )
        checks.append(_check(point, DIFFERENCES, name, error))
    if exercise and name in exercise.linear and alike:
        v = np.random.default_rng(6).standard_normal(g.shape)
        zero = own.forward(_with(point, name, 0 * v))[0]
        ax = own.forward(_with(point, name, v))[0] - zero
        error = relative_error((ax * dy).sum(), (v * g).sum())
        checks.append(_check(point, ADJOINT, name, error))
    if alike:
        error = np.abs(g - right).max(initial=0) / (np.abs(right).max(initial=0) or 1.0)
        checks.append(_check(point, OURS, name, float(error)))
    return checks


def _check(point, check, of, error):
    return Found(point.name, check, of, error, TOLERANCE[check], error <= TOLERANCE[check])


def _with(point, name, value):
    return point._replace(inputs={**point.inputs, name: value})


def _differences(own, dy, point, name):
    """Return the gradient by central differences, entry by entry."""
    x = point.inputs[name]
    right = np.empty(x.shape)
    for place in np.ndindex(*x.shape):
        step = np.zeros(x.shape)
        step[place] = STEP
        up, down = (own.forward(_with(point, name, x + s))[0] for s in (step, -step))
        right[place] = (dy * (np.asarray(up) - np.asarray(down))).sum() / (2 * STEP)
    return right
