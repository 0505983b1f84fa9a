"""What a lab's script talks to: it checks the blanks, and keeps the script running without them.

A function with a blank has `@lab.blank(...)` or `@lab.operation(...)` above it. It is tried at
once. If it is right, the script goes on with it, else with ours, and says what was wrong.
"""

import ast
import textwrap
import traceback
from inspect import signature
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import minicnn
from minicnn.errors import MinicnnError, one_line
from minicnn.gradcheck.judge import judge
from minicnn.gradcheck.own import Own, gradients, usable
from minicnn.gradcheck.patterns import recognised, where_it_differs
from minicnn.gradcheck.zoo import EXERCISES
from minicnn.labs.copies import source_of
from minicnn.pictures import load_image, save_image
from minicnn.pictures.arrays import fit
from minicnn.pictures.sheets import signed_to_uint8
from minicnn.terminal.report import say

DEMO = Path(minicnn.__file__).parent / "demo"
CLOSE = 1e-6


class Lab:
    """A lab that is being worked on.

    Parameters
    ----------
    number : int
        That of the lab, from 1.
    """

    def __init__(self, number):
        self.number, self.source = number, source_of(number)
        # one thread, as all verbs have: where others work too, several wait for each other
        self.blas = threadpool_limits(1, "blas")
        self.outcomes = {}  # {name of a blank: "right", "open" or "wrong"}
        self.picture_file = None

    def blank(self, *cases):
        """Return a decorator: the function is compared with ours, on each tuple of arguments."""
        return lambda function: self._settle(function, lambda: self._compared(function, cases))

    def operation(self, op, of=None, forward=None):
        """Return a decorator: the function is a backward pass of one of our operations.

        Parameters
        ----------
        op : str
            A name of `minicnn gradcheck --op`.
        of : str, optional
            The input whose gradient it returns; by default all, in their order.
        forward : callable, optional
            The forward pass whose cache it gets; by default ours, without a cache.
        """
        return lambda function: self._settle(
            function, lambda: self._judged(function, op, of, forward)
        )

    def verdict(self, function, op):
        """Say whether a function would do as the backward pass of one of our operations."""
        said = self._judged(function, op, None, None)
        self.say(f"{function.__name__}, tried as the gradient of {op}: {said or 'right'}")

    def picture(self, name, size):
        """Return the demo's picture "content" or "style", uint8 (H, W, 3), its long side `size`."""
        return fit(load_image(DEMO / f"{name}.jpg").pixels, size)

    def tiles(self, size):
        """Return both pictures of the demo, cut into squares: uint8 (N, size, size, 3)."""
        found = []
        for name in ("content", "style"):
            picture = load_image(DEMO / f"{name}.jpg").pixels
            rows, columns = (side // size for side in picture.shape[:2])
            cut = picture[: rows * size, : columns * size]
            cut = cut.reshape(rows, size, columns, size, 3).swapaxes(1, 2)
            found.append(cut.reshape(-1, size, size, 3))
        return np.concatenate(found)

    def save(self, image, name=None):
        """Write the lab's picture, uint8 (H, W, 3), into the current folder."""
        path = Path(name or f"lab{self.number:02}.png")
        save_image(path, np.asarray(image), force=True)
        self.picture_file = path
        self.say(f"wrote {path}")

    def end(self):
        """Say which blanks are open; return the picture that was saved, for a notebook to show."""
        wrong = [name for name, how in self.outcomes.items() if how != "right"]
        count = len(self.outcomes)
        said = f"{count - len(wrong)} of {count} blanks are right"
        self.say(f"{said}; {', '.join(wrong)} to be done" if wrong else f"{said}: well done")
        return self.picture_file and load_image(self.picture_file)

    def say(self, text):
        """Print what there is to say, at once."""
        from sys import stdout

        say(textwrap.fill(f"lab {self.number}: {text}", 96, subsequent_indent="  "), stdout)

    def _settle(self, function, check):
        """Return the function if its check says nothing, else ours."""
        name = function.__name__
        try:
            with np.errstate(all="ignore"):
                said = check()
            said, how = (f"not yet. {said}", "wrong") if said else (None, "right")
        except NotImplementedError as error:
            said, how = f"open, at {_where(error, function)}", "open"
        except MinicnnError as error:
            said, how = f"not yet. {error}", "wrong"
        except Exception as error:  # whatever a reader's function may do
            said, how = f"not yet. {_where(error, function)}: {one_line(repr(error))}", "wrong"
        self.outcomes[name] = how
        stop = "" if said and said.endswith(("?", ".")) else "."
        self.say(f"{name}: {said}{stop} Ours stands in for it" if said else f"{name}: right")
        return function if how == "right" else self._ours(function)

    def _ours(self, function):
        """Return the function of this name in the lab's source, within the reader's script."""
        tree = ast.parse(self.source.read_text(encoding="utf-8"))
        node = next(n for n in ast.walk(tree) if getattr(n, "name", None) == function.__name__)
        node.decorator_list, found = [], {}
        code = compile(ast.Module([node], []), str(self.source), "exec")
        exec(code, function.__globals__, found)
        return found[function.__name__]

    def _compared(self, function, cases):
        ours = self._ours(function)
        for case in cases:
            kept = [np.array(one, copy=True) if _is_array(one) else one for one in case]
            found, right = function(*case), ours(*kept)
            said = _difference(found, right)
            if said:
                return f"{function.__name__}({_told(case)}): {said}"
            if not all(
                np.array_equal(a, b) for a, b in zip(case, kept, strict=True) if _is_array(a)
            ):
                return f"{function.__name__} writes into its arguments; make a new array"
        return None

    def _judged(self, function, op, of, forward):
        exercise = EXERCISES[op]
        own = _Backward(function, exercise, of, forward)
        verdict = judge(own, usable(own, exercise)[0], exercise)
        if verdict.ok:
            return None
        return " ".join(f"d{one.of}: {one.name}. {one.says}" for one in verdict.diagnoses)


class _Backward(Own):
    """A backward function by itself, behind our forward or another."""

    def __init__(self, function, exercise, of, forward):
        self.exercise = exercise
        inputs = list(next(iter(exercise.points(np.random.default_rng(1)))).inputs)
        super().__init__(forward, [function], inputs)
        self.of = [of] if of else inputs

    def takes(self, options):
        names = [*signature(self.backwards[0]).parameters]
        if self.forward_ is not None:
            names += super().takes(options)
        must = [name for name in options if name not in self.exercise.defaults]
        return [*self.inputs, *must, *(name for name in options if name in names)]

    def forward(self, point):
        if self.forward_ is not None:
            return super().forward(point)
        return self.exercise.forward(**point.inputs, **point.options), None

    def backward(self, dy, point, cache):
        return gradients(self.backwards[0], dy, point, cache, self.of)


def _is_array(value):
    return isinstance(value, np.ndarray)


def _told(case):
    """Return arguments in words: arrays by their shapes, named tuples by what they are."""

    def told(one):
        if _is_array(one):
            return f"array {one.shape}"
        if hasattr(one, "_fields"):
            return getattr(one, "name", type(one).__name__)
        return one_line(repr(one), 60)

    return ", ".join(map(told, case))


def _difference(found, right):
    """Return in words how a result differs from ours, or None."""
    if isinstance(right, (tuple, list)):
        if not isinstance(found, (tuple, list)) or len(found) != len(right):
            return f"it should return {len(right)} values, not {_told([found])}"
        parts = [_difference(f, r) for f, r in zip(found, right, strict=True)]
        return next((f"value {i + 1}: {said}" for i, said in enumerate(parts) if said), None)
    if isinstance(right, dict):
        keys = found.keys() if isinstance(found, dict) else None
        if keys != right.keys():
            return f"it should return {{{', '.join(right)}}}"
        return next(filter(None, (_difference(found[key], right[key]) for key in right)), None)
    if found is None or found is Ellipsis:
        return "it returns nothing"
    f, r = np.asarray(found), np.asarray(right)
    if r.dtype.kind not in "fiub" or f.dtype.kind not in "fiub":
        return None if found == right else f"it is {found!r}, expected {right!r}"
    if f.shape == r.shape and np.allclose(
        f, r, rtol=CLOSE, atol=CLOSE * (np.abs(r).max(initial=0))
    ):
        return None
    if r.ndim == 0 and f.ndim == 0:
        return f"it is {f.item():.6g}, expected {r.item():.6g}"
    f, r = f.astype(float), r.astype(float)
    said = recognised([(f, r)], [{}])
    return f"{said[0]}. {said[1]}" if said else where_it_differs(f, r)


def _where(error, function):
    """Return the last line of the reader's script that an exception came through."""
    file = function.__code__.co_filename
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    return f"line {lines[-1]}" if lines else "an error"


def enlarged(values, height):
    """Return a small array as a picture of about `height` rows, each value a square.

    Parameters
    ----------
    values : uint8 (H, W, 3) or (H, W), or floating point (H, W): 0 becomes grey 128
    height : int
    """
    if values.dtype != np.uint8:
        values = signed_to_uint8(values)[0]
    times = max(1, height // values.shape[0])
    return values.repeat(times, axis=0).repeat(times, axis=1)
