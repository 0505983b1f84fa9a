"""The verb `derive`: a gradient step by step, with the line of code of each and an example.

The sections stand in `ops/DERIVATIONS.md` and `objectives/DERIVATIONS.md`. Formulas are those above
the code, lines are found by the code that they hold, examples are computed: nothing is told twice.
"""

import ast
import inspect
import re
import textwrap
from functools import partial, reduce
from importlib import import_module, resources
from typing import NamedTuple

from minicnn.errors import MinicnnError
from minicnn.runs.options import add_settings
from minicnn.runs.settings import JsonOption
from minicnn.terminal.report import Report

example = """
minicnn derive
minicnn derive conv2d
"""
PAGES = ("ops", "objectives")
SECTION = re.compile(r"^## (\w+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
STEP = re.compile(r"^\d+\. (.*?)\n   `([\w.]+)`: `(.+?)`$", re.MULTILINE | re.DOTALL)
EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Step(NamedTuple):
    """A step, and the function of minicnn and the piece of code in it that do it."""

    words: str
    function: str
    code: str


class Derivation(NamedTuple):
    """A section of the pages."""

    name: str
    steps: list
    example: str


def add(verb) -> None:
    """Declare the options."""
    words = "an operation, objective or prior; without it all are listed"
    verb.add_argument("name", nargs="?", metavar="NAME", help=words)
    add_settings(verb, JsonOption)


def run(args) -> int:
    """Print one derivation, or the names of all."""
    found, report = derivations(), Report(args.json)
    if args.name is None:
        report.result("\n".join(found), names=list(found))
        return 0
    if args.name not in found:
        raise MinicnnError(f"nothing called {args.name!r} is derived; use {', '.join(found)}")
    one = found[args.name]
    steps = [(step.words, *place(step)) for step in one.steps]
    shown = list(session(one.example))
    report.result(
        told(one, steps, shown),
        name=one.name,
        formula=formula(one),
        steps=[
            {"words": words, "file": file, "line": line, "code": code}
            for words, file, line, code in steps
        ],
        example=[{"code": code, "value": value} for code, value in shown],
    )
    return 0


def derivations() -> dict:
    """Return {name: `Derivation`} in the order of the pages."""
    found = {}
    for folder in PAGES:
        page = resources.files("minicnn").joinpath(folder, "DERIVATIONS.md").read_text("utf-8")
        for name, body in SECTION.findall(page):
            steps = [Step(" ".join(words.split()), *where) for words, *where in STEP.findall(body)]
            found[name] = Derivation(name, steps, EXAMPLE.search(body)[1])
    return found


def formula(derivation) -> str:
    """Return the docstring with the formula: of the file, the class, or the function of a prior."""
    owner, name = _found(derivation.steps[0].function)
    function = getattr(owner, name)
    if owner.__name__ == "minicnn.objectives.priors":
        return inspect.getdoc(function)
    of_file = inspect.getdoc(inspect.getmodule(function))
    return of_file if "\n" in of_file else inspect.getdoc(owner)


def place(step) -> tuple:
    """Return (file, line, its code) of a step.

    Raises
    ------
    MinicnnError
        If the function has no such line, or several.
    """
    owner, name = _found(step.function)
    function = getattr(owner, name)
    lines, first = inspect.getsourcelines(function)
    body = ast.parse(textwrap.dedent("".join(lines))).body[0].body
    start = body[1].lineno if isinstance(body[0], ast.Expr) and len(body) > 1 else 1
    held = [i for i, line in enumerate(lines) if i + 1 >= start and step.code in line]
    if len(held) != 1:
        raise MinicnnError(f"{len(held)} lines of {step.function} hold {step.code!r}; not one")
    file = "minicnn/" + function.__module__.partition(".")[2].replace(".", "/") + ".py"
    return file, first + held[0], lines[held[0]].strip()


def _found(dotted):
    """Return (module or class, name) of "ops.conv2d.forward", in minicnn."""
    folder, module, *names = dotted.split(".")
    owner = import_module(f"minicnn.{folder}.{module}")
    return reduce(getattr, names[:-1], owner), names[-1]


def session(code):
    """Yield (statement, its value as text or None), as Python would show them at its prompt."""
    names = {}
    for node in ast.parse(code).body:
        source = ast.get_source_segment(code, node)
        if isinstance(node, ast.Expr):
            value = eval(compile(ast.Expression(node.value), "example", "eval"), names)
            yield source, _written(value)
        else:
            exec(compile(ast.Module([node], []), "example", "exec"), names)
            yield source, None


def _written(value):
    """Write arrays as their numbers, and what holds arrays one under the other."""
    import numpy as np

    if isinstance(value, dict):
        return "\n".join(f"{key}: {_written(item)}" for key, item in value.items())
    if isinstance(value, (tuple, list)):
        return "\n".join(map(_written, value))
    written = partial(np.array2string, precision=4, suppress_small=True)
    return written(value) if isinstance(value, np.ndarray) else f"{value:.6g}"


def told(derivation, steps, shown) -> str:
    """Return a derivation as text."""
    name, checked = derivation.name, {"cross_entropy": "softmax", "gram": "style"}
    parts = [name, "=" * len(name), "", formula(derivation), "", "Step by step"]
    for number, (words, file, line, code) in enumerate(steps, 1):
        indents = {"initial_indent": f"{number}. ", "subsequent_indent": "   "}
        parts += ["", *textwrap.wrap(words, 96, **indents), f"   {file}:{line}   {code}"]
    parts += ["", "By hand", ""]
    for source, value in shown:
        parts.append(f">>> {source}".replace("\n", "\n... "))
        parts += [value] if value is not None else []
    return "\n".join([*parts, "", f"To check it: minicnn gradcheck --op {checked.get(name, name)}"])
