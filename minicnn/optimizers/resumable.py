"""Searches of one run, one after another, that go on after any end of the program.

Now and then the `State` of the search under way goes into a file, with the results of those
before. It is written whole or not at all, and is gone when the run has ended.
"""

import math
import os
import time
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from minicnn.backend import array_module, to_host
from minicnn.errors import MinicnnError
from minicnn.optimizers import Result, State, minimize
from minicnn.optimizers.scipy_lbfgs import check_resumable
from minicnn.storage.atomic import check_output
from minicnn.storage.npz import load_large, save_large

FORMAT, SUFFIX = 2, ".checkpoint"
PAUSE = 20  # times as long as the last writing took, at least, until the next


class Resumable:
    """`optimizers.minimize` for the searches of one run, with a checkpoint.

    Parameters
    ----------
    path : path, ends in .checkpoint; None: without one
    about : dict, what JSON holds
        What the run is of; `read` gives it back.
    every : float, seconds between two writings; 0: after every iteration
    needed : bool
        Refuse a search that cannot go on, instead of doing it without a checkpoint.
    note : callable, note(text), optional
        Told where the file cannot be written, as on a full disk: the run goes on without.

    Attributes
    ----------
    done : list of Result, of the searches that have ended
    state : State of the one under way when the checkpoint was written, or None
    written : int, iterations that the file has; None if nothing has been written
    more : callable, returns {name: array} to be kept with it
    """

    def __init__(self, path, about, every, needed=False, note=print):
        if path:
            check_output(path, force=True, suffixes=(SUFFIX,))
        self.path, self.about, self.every, self.needed = path, about, every, needed
        self.note, self.more = note, dict
        self.done, self.state, self.number, self.written = [], None, 0, None
        self.due = time.monotonic() + every if path else math.inf

    def resume(self, stored) -> None:
        """Go on from what `read` has returned."""
        self.done, self.state = stored.done, stored.state
        self.written = _iterations(self.done, self.state)

    def minimize(self, name, fun, x0, **options):
        """Do the next search, or what is left of it; see `optimizers.minimize`."""
        number, self.number = self.number, self.number + 1
        if number < len(self.done):
            found = self.done[number]
            if (found.x.shape, found.x.dtype) != (x0.shape, x0.dtype):
                raise MinicnnError(f"{self.path} is not of this run; leave --resume out")
            return replace(found, x=array_module(x0).asarray(found.x))
        if name == "lbfgs" and self.needed:
            check_resumable()
        state, self.state = self.state, None
        result = minimize(name, fun, x0, state=state, on_state=self._keep, **options)
        self.done.append(result)
        if not result.interrupted:
            self._keep(None)
        return result

    def courses(self) -> dict:
        """Return {number of a search: [iterations, first value, last value]} of what is done."""
        traces = [result.trace for result in self.done]
        traces += [self.state.numbers["trace"]] if self.state else []
        ends = enumerate((trace[-1], trace[0]) for trace in traces if trace)
        return {i: [last["iteration"], first["value"], last["value"]] for i, (last, first) in ends}

    def remove(self) -> None:
        """Remove the file, as the run has ended."""
        with suppress(OSError):
            os.remove(self.path or "")

    def _keep(self, state):
        started = time.monotonic()
        if started < self.due:
            return
        arrays = {f"done{i}": to_host(result.x) for i, result in enumerate(self.done)}
        if state:
            arrays |= {f"state.{name}": to_host(array) for name, array in state.arrays.items()}
        arrays |= {f"more.{name}": array for name, array in self.more().items()}
        told = [{k: v for k, v in vars(result).items() if k != "x"} for result in self.done]
        numbers = {"format": FORMAT, "about": self.about, "done": told}
        numbers["state"] = state and state.numbers
        try:
            save_large(self.path, arrays, numbers)
        except MinicnnError as error:
            self.note(f"{error}; the run goes on without a checkpoint")
            self.due = math.inf
            return
        self.written, ended = _iterations(self.done, state), time.monotonic()
        self.due = ended + max(self.every, PAUSE * (ended - started)) if self.every else 0.0


def _iterations(done, state):
    return sum(one.iterations for one in done) + (state.numbers["iterations"] if state else 0)


class Stored(NamedTuple):
    """What a checkpoint holds, see `Resumable`."""

    about: dict
    done: list
    state: State | None
    more: dict


def read(path):
    """Return what a checkpoint holds, `Stored`.

    Raises
    ------
    MinicnnError
        If it cannot be read, is damaged or is another file.
    """
    arrays, told = load_large(path)
    parts = {"state": {}, "more": {}}
    try:
        if told["format"] != FORMAT:
            raise MinicnnError(f"{path} was written by another version; leave --resume out")
        done = [Result(x=arrays.pop(f"done{i}"), **one) for i, one in enumerate(told["done"])]
        for name, array in arrays.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = array
        state = told["state"] and State(parts["state"], told["state"])
        _iterations(done, state), [result.trace[0]["value"] for result in done]
        return Stored(told["about"], done, state, parts["more"])
    except (LookupError, TypeError, AttributeError):
        raise MinicnnError(f"{path} is no checkpoint of minicnn; leave --resume out") from None
