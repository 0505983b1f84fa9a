"""An operation as an exercise: points to try it at, its gradient, and the mistakes that are made.

A mistake is a wrong gradient of our own. It is evaluated where the reader's is; if the two agree,
the reader has made this mistake, and `says` is what there is to say about it.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

MATCH = 1e-5  # of the largest entry: what is computed in float32 is recognised too


class Point(NamedTuple):
    """Where an operation is tried."""

    name: str
    inputs: dict  # {name: float64 array}: what the function is differentiated by
    options: dict  # what else it is given, by name
    smooth: bool = True  # else at ties and kinks: nothing for central differences


class Mistake(NamedTuple):
    """A wrong gradient with a name."""

    name: str
    of: str  # the input whose gradient it is
    wrong: Callable  # (dy, point) -> array, or None where the mistake cannot be made or seen
    says: str


class Exercise(NamedTuple):
    """An operation or objective of ours, as a reader may write it again."""

    forward: Callable  # (**inputs, **options) -> y
    backward: Callable  # (dy, point) -> {name of an input: gradient}
    points: Callable  # rng -> [Point]
    mistakes: list
    source: str  # where the formula stands
    linear: tuple = ()  # inputs in which y is linear, but for a constant
    defaults: dict = {}  # noqa: RUF012 - options that a function may leave out; never written to


def same(a, b, tolerance=MATCH):
    """Return whether two arrays agree in shape, and in value to a part of their largest entry."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or not np.isfinite(a).all():
        return False
    return bool(np.abs(a - b).max(initial=0) <= tolerance * np.abs(b).max(initial=1e-12))


def on(function, *names):
    """Return a `wrong` that calls function(dy, *values) with inputs and options by their names."""

    def wrong(dy, point):
        values = {**point.options, **point.inputs}
        return function(dy, *(values[name] for name in names))

    return wrong
