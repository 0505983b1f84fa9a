"""Files of the reader's own: run within a time, and their pairs of forward and backward found."""

import sys
import textwrap
import threading
import traceback
import types
from inspect import isfunction
from pathlib import Path

import numpy as np

from minicnn.errors import MinicnnError, one_line
from minicnn.gradcheck.judge import judge
from minicnn.gradcheck.own import OfLoss, Own, points_of, required, usable
from minicnn.gradcheck.zoo import EXERCISES
from minicnn.terminal.report import table

OTHER_NAMES = {"im2col": ("im2col", "col2im")}


def load(path):
    """Run a file of the reader's; return its names. Call it by `within`."""
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        raise MinicnnError(f"cannot read {str(path)!r}: {error.strerror or error}") from None
    module = types.ModuleType(Path(path).stem)
    module.__file__ = str(path)
    sys.path.insert(0, str(Path(path).parent.resolve()))
    try:
        exec(compile(source, str(path), "exec"), vars(module))
    finally:
        del sys.path[0]
    return vars(module)


def functions(names, path, op=None):
    """Return [(name of ours, `Own`)] of all pairs of forward and backward in a file.

    Parameters
    ----------
    names : dict
        What `load` returns.
    path : path
    op : str, optional
        Which operation a plain forward and backward are; by default the file's name says it.
    """
    if op is not None and op not in EXERCISES:
        raise MinicnnError(f"no operation {op!r} to compare with; there is {', '.join(EXERCISES)}")
    names = {key: one for key, one in names.items() if isfunction(one)}
    found = []
    for name in EXERCISES if op is None else [op]:
        pair = _pair(names, f"{name}_") or _called(names, *OTHER_NAMES.get(name, ("", "")))
        if pair:
            found.append((name, Own(*pair, _inputs(name))))
        elif name in names and names[name].__code__.co_filename == str(path):
            found.append((name, OfLoss(names[name], [], _inputs(name))))
    pair = _pair(names, "")
    if pair and not found:
        op = op or max((n for n in EXERCISES if n in Path(path).stem), key=len, default=None)
        if op is None:
            raise MinicnnError(
                f"which operation is {str(path)!r}? say it by --op NAME ({', '.join(EXERCISES)}), "
                "or give the shapes of its inputs by --shapes"
            )
        found.append((op, Own(*pair, _inputs(op))))
    if not found:
        raise _nothing(path)
    return found


def of_any(names, path):
    """Return the forward and backward of a file as `Own`, whatever they compute."""
    pair = _pair({key: one for key, one in names.items() if isfunction(one)}, "")
    if not pair:
        raise _nothing(path)
    return Own(*pair, required(pair[0]))


def _nothing(path):
    return MinicnnError(
        f"{str(path)!r} has no forward and backward; define both, as forward and backward or as "
        "conv2d_forward and conv2d_backward, or a function with the name of an objective, as tv, "
        "that returns its value and gradient"
    )


def _pair(names, prefix):
    """Return (forward, [backward]) or (forward, [backward_data, backward_params]), or None."""
    parts = [names.get(f"{prefix}backward_{part}") for part in ("data", "params")]
    whole = _called(names, f"{prefix}forward", f"{prefix}backward")
    if whole or f"{prefix}forward" not in names or not any(parts):
        return whole
    return names[f"{prefix}forward"], [one for one in parts if one]


def _called(names, forward, backward):
    return (names[forward], [names[backward]]) if {forward, backward} <= names.keys() else None


def _inputs(name):
    return next(iter(EXERCISES[name].points(np.random.default_rng(1)))).inputs


# running what others have written


def within(seconds, path, call):
    """Return call(), which runs code of the file `path`; whatever it does becomes one line.

    Raises
    ------
    MinicnnError
        With the number of the line where an exception left the file, or where it still runs.
    """
    box = {}

    def run():
        try:
            with np.errstate(all="ignore"):
                box["value"] = call()
        except BaseException as error:  # SystemExit too
            box["error"] = error

    thread = threading.Thread(target=run, daemon=True)  # it may never end
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        line = _last_line(_frames(sys._current_frames()[thread.ident]), path)
        raise MinicnnError(
            f"{path}{line}: still running after {seconds:g} s; does a loop never end? --seconds "
            "gives it longer"
        )
    error = box.get("error")
    if error is None:
        return box["value"]
    line = _last_line(traceback.walk_tb(error.__traceback__), path)
    if isinstance(error, SyntaxError) and error.filename == str(path):
        line = f", line {error.lineno}"
    if isinstance(error, MinicnnError):
        raise MinicnnError(f"{path}{line}: {error}" if line else str(error)) from None
    if not line:  # not of the file
        raise error
    what = "it ends the program" if isinstance(error, SystemExit) else type(error).__name__
    raise MinicnnError(f"{path}{line}: {one_line(f'{what}: {error}'.rstrip(': '))}") from None


def _frames(frame):
    """Yield (frame, line) from the outermost to the innermost."""
    frames = []
    while frame:
        frames.append((frame, frame.f_lineno))
        frame = frame.f_back
    return reversed(frames)


def _last_line(frames, path):
    lines = [number for frame, number in frames if frame.f_code.co_filename == str(path)]
    return f", line {lines[-1]}" if lines else ""


# from a file to what is said


def judged(path, op=None, shapes=None, seconds=20.0):
    """Return {name: `Verdict`} of the pairs of forward and backward in a file.

    Parameters
    ----------
    path : path
    op : str, optional
        The operation that a plain forward and backward are, see `functions`.
    shapes : list of tuple, optional
        Of the inputs of a forward that is none of ours.
    seconds : float
        How long the file may run.

    Raises
    ------
    MinicnnError
        If it cannot be read or run, has no such functions, or they return what is no gradient.
    """
    if Path(path).suffix != ".py":
        raise MinicnnError(f"{str(path)!r} is no file of Python; give a FILE.py")

    def verdict(own, name):
        points, numbers = usable(own, EXERCISES[name])
        return own.placed(judge(own, points, EXERCISES[name]))._replace(numbers=numbers)

    def call():
        names = load(path)
        if shapes:
            own = of_any(names, path)
            return {Path(path).stem: own.placed(judge(own, points_of(own, shapes)))}
        return {name: verdict(own, name) for name, own in functions(names, path, op)}

    return within(seconds, path, call)


def told(name, verdict):
    """Return a verdict in words: the table of checks, and what is wrong."""
    rows = []
    for of, check in dict.fromkeys((one.of, one.check) for one in verdict.checks):
        found = [one for one in verdict.checks if (one.of, one.check) == (of, check)]
        worst = max(found, key=lambda one: one.error)
        right = sum(one.ok for one in found)
        rows.append(
            {
                "of": _of(of),
                "check": check,
                "right": f"{right} of {len(found)}",
                "worst error": f"{worst.error:.1e}",
                "allowed": f"{worst.tolerance:.0e}",
                "at": worst.point if right < len(found) else "",
            }
        )
    failed = sum(not one.ok for one in verdict.checks)
    lines = [f"{name}: {len(verdict.checks)} checks, {failed} failed"]
    lines += ["", table(rows)] if rows else []
    if verdict.numbers:
        tried = f"{', '.join(verdict.numbers)}: one number for both axes; forward takes no pairs"
        lines += ["", *textwrap.wrap(f"{tried} (rows, columns).", 96)]
    for one in verdict.diagnoses:
        lines += ["", *textwrap.wrap(f"{_of(one.of)}: {one.name}. {one.says}", 96)]
    return "\n".join([*lines, ""])


def _of(name):
    return name if name in ("y", "forward", "backward") else f"d{name}"
