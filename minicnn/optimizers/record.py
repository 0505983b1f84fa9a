"""What every optimizer shares: counting, checking, keeping the best picture, ending in words.

An optimizer asks `Record.evaluate(x)` for value and gradient and calls `Record.accept(x, value)`
at the end of each iteration. Both raise `Stop` when the run is over; no optimizer returns.
"""

import math
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from minicnn.backend import all_finite, array_module
from minicnn.errors import MinicnnError
from minicnn.optimizers.vectors import distance

NOTHING_LOWER = (
    "stalled: the line search finds no lower value; the rest is rounding, "
    "or the gradient does not belong to the value"
)
FLAT_START = "the gradient is 0 at the start: nothing to improve"
LAST = 20  # iterations in which the value of an L-BFGS that has not settled falls by more than
SETTLED = 1e-5  # of itself
COUNTED = ("iterations", "evaluations", "terms", "trace")  # what a `Record` counts


@dataclass(frozen=True, eq=False)
class Result:
    """Outcome of `minimize`.

    Attributes
    ----------
    x : array, the picture kept, of the shape, dtype and device of x0
    value : float, the objective at x; nan if nothing could be evaluated
    iterations, evaluations : int
        Iterations completed and calls of fun.
    status : str, one word for programs
        "budget" (iterations or evaluations used up), "converged" (the gradient is 0, or the
        value hardly falls any more), "stalled" (no lower value found), "stopped" (by the
        callback), "interrupted" (KeyboardInterrupt), "not-finite" (NaN or overflow), "diverged".
    reason : str, the same in plain words, for people
    trace : list of dict, one per iteration from 0 (the start)
        iteration, evaluations, value, step (root mean square change of x), terms.
    terms : dict, name -> value of every term of the objective at x, where fun has such an attribute
    """

    x: Any
    value: float
    iterations: int
    evaluations: int
    status: str
    reason: str
    trace: list = field(repr=False)
    terms: dict = field(default_factory=dict)

    @property
    def interrupted(self) -> bool:
        """True if KeyboardInterrupt ended the run: save x, then exit with 130."""
        return self.status == "interrupted"


@dataclass(frozen=True, eq=False)
class State:
    """Where a run stands at the end of an iteration: all that it takes to go on.

    Attributes
    ----------
    arrays : dict, name -> array
        They belong to the run, which changes them when it goes on.
    numbers : dict, name -> numbers, lists and dicts as JSON has them; likewise
    """

    arrays: dict
    numbers: dict


class Stop(Exception):
    """The run is over."""

    def __init__(self, status: str, reason: str):
        super().__init__(reason)
        self.status, self.reason = status, reason


class Record:
    """Evaluate a function within a budget and remember what came of it.

    Neither x nor a gradient is copied: optimizers make a new x for every evaluation and use up
    the gradient before the next one. `resumed` is the `State` to go on from, or None.
    """

    def __init__(
        self, fun, x0, iterations, max_evaluations=None, callback=None, keep="best", on_state=None
    ):
        self.fun, self.callback, self.keep, self.on_state = fun, callback, keep, on_state
        self.resumed = None
        self.max_iterations, self.max_evaluations = iterations, max_evaluations
        self.iterations = self.evaluations = 0
        self.kept = (math.nan, x0, {})  # value, x, terms; replaced in one step, safe to interrupt
        self.accepted = x0
        self.terms = {}
        self.trace = []

    def evaluate(self, x, finite=None):
        """Return (value, gradient) at x.

        `Stop` is raised when the budget is used up, or x, the value or the gradient is not finite.
        Of the arrays finite(gradient) says that; without it they are looked through.
        """
        if self.evaluations == self.max_evaluations:
            raise Stop("budget", f"all {self.evaluations} evaluations are used")
        if finite is None and not all_finite(x):
            raise Stop(
                "not-finite", f"overflow: x is not finite after evaluation {self.evaluations}"
            )
        self.evaluations += 1
        try:
            value, gradient = self.fun(x)
        except (OverflowError, FloatingPointError) as error:
            raise Stop("not-finite", f"overflow in {self._this()}: {error}") from None
        value = float(value)
        if gradient.shape != x.shape:
            raise MinicnnError(f"fun gave a gradient {gradient.shape} for a picture {x.shape}")
        if math.isinf(value):
            raise Stop("not-finite", f"overflow: the value is {value} in {self._this()}")
        if math.isnan(value):
            raise Stop("not-finite", f"the value is not a number (NaN) in {self._this()}")
        if not (finite or all_finite)(gradient):
            raise Stop("not-finite", f"the gradient is not finite in {self._this()}")
        self.terms = dict(getattr(self.fun, "terms", None) or {})
        if self.keep == "best" and not value >= self.kept[0]:
            self.kept = (value, x, self.terms)
        return value, gradient

    def accept(self, x, value: float, length: float | None = None) -> None:
        """End an iteration at x, evaluated last; the first call is the start, iteration 0.

        `length` is the norm of the step, where it is known.
        `Stop` is raised when the iterations are used up or the callback returns True.
        """
        entry = {
            "iteration": self.iterations + 1 if self.trace else 0,
            "evaluations": self.evaluations,
            "value": value,
            "step": self._step(x, length),
            "terms": self.terms,
        }
        if self.keep == "last":
            self.kept = (value, x, self.terms)
        self.accepted = x
        self.trace.append(entry)
        if entry["iteration"] == 0:
            return
        self.iterations += 1
        if self.callback is not None:
            info = {key: entry[key] for key in ("evaluations", "step", "terms")}
            info["first"] = self.trace[0]["value"]
            if self.callback(self.iterations, x, value, info) is True:
                raise Stop("stopped", f"stopped by the callback in iteration {self.iterations}")
        if self.iterations >= self.max_iterations:
            raise Stop("budget", f"all {self.iterations} iterations are done")

    def pause(self, arrays, **numbers) -> None:
        """Tell where the run stands, after an iteration; all of it is the optimizer's own state."""
        if self.on_state is None:
            return
        counted = {name: getattr(self, name) for name in COUNTED}
        draws = [rng.bit_generator.state for rng in getattr(self.fun, "rngs", ())]
        value, best, terms = self.kept
        more = {"best": [value, terms], "draws": draws}
        arrays = {**arrays, "x": self.accepted, "best": best}
        self.on_state(State(arrays, {**counted, **more, **numbers}))

    def resume(self, state: State) -> None:
        """Go back to where a run stood; its optimizer does the rest, from `resumed`."""
        self.resumed = state
        with self.restoring():
            found = state.numbers
            for name in COUNTED:
                setattr(self, name, type(getattr(self, name))(found[name]))
            for entry in self.trace:
                entry["value"] + entry["step"] + entry["iteration"] + entry["evaluations"]
                dict(entry["terms"])
            if len(self.trace) != self.iterations + 1:
                raise ValueError
            self.accepted, best = self.kept[1].copy(), self.kept[1].copy()
            fill({"x": self.accepted, "best": best}, state.arrays)
            value, terms = found["best"]
            self.kept = (float(value), best, dict(terms))
            for rng, draws in zip(getattr(self.fun, "rngs", ()), found["draws"], strict=True):
                rng.bit_generator.state = draws

    @contextmanager
    def restoring(self):
        """Context in which what does not fit a state is one line; gives the `State`, or None."""
        try:
            yield self.resumed
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
            raise MinicnnError("the state is damaged, or not that of such a search") from None

    def result(self, status: str, reason: str) -> Result:
        """Return the result as it stands."""
        value, x, terms = self.kept
        return Result(
            x, value, self.iterations, self.evaluations, status, reason, self.trace, terms
        )

    def _step(self, x, length):
        """Return the root mean square of the step to x."""
        if not self.trace:
            return 0.0
        length = distance(x, self.accepted) if length is None else length
        return length / math.sqrt(x.size)

    def _this(self):
        return f"evaluation {self.evaluations}, after {self.iterations} iterations"


def fill(own, stored) -> None:
    """Fill the arrays of a dict with those of another; raise ValueError if they differ in kind."""
    for name, array in own.items():
        if (array.shape, array.dtype) != (stored[name].shape, stored[name].dtype):
            raise ValueError
        array[...] = array_module(array).asarray(stored[name])


def check_line_search(maxcor, first_step, maxls) -> None:
    """Refuse options of an L-BFGS."""
    if maxcor < 1 or maxls < 1:
        raise MinicnnError(f"maxcor = {maxcor}, maxls = {maxls}; use whole numbers of at least 1")
    if first_step is not None and not 0 < first_step < math.inf:
        raise MinicnnError(f"first_step = {first_step}; use a positive number in units of x")


def first_length(value, norm, size, first_step) -> float:
    """Return how long the first step of an L-BFGS is: as asked, else as `scipy_lbfgs` tells."""
    if first_step is not None:
        return first_step * math.sqrt(size)
    return power_of_two(abs(value) / norm or 1.0)


def power_of_two(number) -> float:
    """Return the power of two that is nearest by its exponent, from -500 to 500."""
    return 2.0 ** round(math.log2(min(max(2.0**-500, number), 2.0**500)))


def stop_if_settled(record: Record) -> None:
    """Raise `Stop` where values that only fall fell by less than `SETTLED` in `LAST` iterations."""
    values = [entry["value"] for entry in record.trace[-LAST - 1 :]]
    if len(values) > LAST and values[0] - values[-1] < SETTLED * abs(values[-1]):
        reason = f"the value has fallen by less than {SETTLED:g} of itself in {LAST} iterations"
        raise Stop("converged", reason)
