"""Are the gradients right? Numerical checks of every explicit gradient, and their table.

    check_vjp      <dy, J v> = <Jᵀ dy, v>,   J v = (f(x + h v) - f(x - h v)) / 2 h
    check_params   the same for each parameter by itself
    check_adjoint  <A x, y> = <x, Aᵀ y> for a linear map A, to rounding

J is the derivative of f at x. The direction v and the cotangent dy are random: two evaluations
test all entries at once, and a dy of ones could not see a transposed gradient. An error e in the
backward pass shows as a relative error of about e. All of it is float64.

Only gradients pass: the ReLU rules `deconvnet` and `guided` are refused, as they should be.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minicnn.backend import array_module
from minicnn.errors import MinicnnError
from minicnn.gradcheck import objectives, ops

CASES = {**ops.CASES, **objectives.CASES}
STEP = 1e-6
TOLERANCES = {"vjp": 1e-6, "adjoint": 1e-11}
WORST = 2.0  # the relative error of a number and its negative; also stands for NaN


class Result(NamedTuple):
    """One row of the table; all fields are plain Python values."""

    op: str
    case: str
    check: str
    error: float
    tolerance: float
    ok: bool


def check_vjp(
    function: Callable[[Any], Any],
    vjp: Callable[[Any, Any], Any],
    x: Any,
    rng: np.random.Generator,
    *,
    step: float = STEP,
) -> float:
    """Return the relative error, 0 to 2, of a vector-Jacobian product against central differences.

    function(x) -> y, an array or a number, must be smooth within about `step` of x, a float64
    array; vjp(dy, x) -> dx is the derivative projected onto dy. `rng` draws dy, then the direction
    v; `step` is the h of the formula, for values of the order of 1.

    >>> rng = np.random.default_rng(0)
    >>> check_vjp(lambda x: x**2, lambda dy, x: 2 * x * dy, np.ones((2, 3)), rng) < 1e-8
    True
    >>> check_vjp(lambda x: x**2, lambda dy, x: x * dy, np.ones((2, 3)), rng) > 0.1
    True
    """
    xp = array_module(x)
    dy = xp.asarray(rng.standard_normal(xp.asarray(function(x)).shape))
    v = xp.asarray(rng.standard_normal(x.shape))
    dx = vjp(dy, x)
    if dx.shape != x.shape:
        raise MinicnnError(f"the gradient has shape {dx.shape}, its input {x.shape}")
    difference = xp.asarray(function(x + step * v) - function(x - step * v))
    return relative_error((dy * difference).sum() / (2 * step), (dx * v).sum())


def check_params(function, vjp, params, rng, *, step=STEP):
    """Return {name: relative error} of the gradients of parameters, {name: float64 array}.

    `function` takes such a dict and `vjp` returns one, else they are those of `check_vjp`.
    """

    def one(name):
        return check_vjp(
            lambda value: function({**params, name: value}),
            lambda dy, value: vjp(dy, {**params, name: value})[name],
            params[name],
            rng,
            step=step,
        )

    return {name: one(name) for name in params}


def check_adjoint(
    forward: Callable[[Any], Any],
    adjoint: Callable[[Any], Any],
    x_shape: tuple[int, ...],
    rng: np.random.Generator,
) -> float:
    """Return the relative error of <A x, y> against <x, Aᵀ y> for a linear map x -> y.

    >>> a = np.array([[1.0, 2, 3], [0, 1, 4]])
    >>> check_adjoint(lambda x: a @ x, lambda y: a.T @ y, (3,), np.random.default_rng(0)) < 1e-15
    True
    """
    x = rng.standard_normal(x_shape)
    ax = forward(x)
    y = rng.standard_normal(ax.shape)
    return relative_error((ax * y).sum(), (x * adjoint(y)).sum())


def relative_error(a, b):
    """Return the distance of a and b over the larger magnitude; `WORST` if one is not finite.

    >>> relative_error(1.0, 1.001) < 1e-3 < relative_error(1.0, -1.0)
    True
    """
    a, b = float(a), float(b)
    if not (math.isfinite(a) and math.isfinite(b)):
        return WORST
    return abs(a - b) / (max(abs(a), abs(b)) or 1.0)


def run(op=None, cases=CASES):
    """Return a `Result` for every check of one operation or objective, or of all `cases`."""
    if op is not None and op not in cases:
        raise MinicnnError(f"no gradient check for {op!r}; there is {', '.join(cases)}")
    results = []
    for name in [op] if op else cases:
        for case in cases[name](np.random.default_rng(1)):
            for check, error in _measure(case, np.random.default_rng(2)):
                most = TOLERANCES[check.split()[0]]
                results.append(Result(name, case.name, check, error, most, error <= most))
    return results


def format_table(results):
    """Return the results as text: one row each, and a last line that counts the failures."""
    rows = [("op", "case", "check", "relative error", "tolerance", "ok")]
    rows += [
        (r.op, r.case, r.check, f"{r.error:.1e}", f"{r.tolerance:.0e}", "yes" if r.ok else "NO")
        for r in results
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(map(str.ljust, row, widths)).rstrip()
        for row in (rows[0], tuple("-" * width for width in widths), *rows[1:])
    ]
    failed = sum(not r.ok for r in results)
    return "\n".join([*lines, "", f"{len(results)} checks, {failed} failed"])


def _measure(case, rng):
    """Yield (check, error) for every check that a case allows."""
    if isinstance(case.x, dict):
        for name, error in check_params(case.function, case.vjp, case.x, rng).items():
            yield f"vjp {name}", error
        return
    yield "vjp x", check_vjp(case.function, case.vjp, case.x, rng)
    if case.linear:
        adjoint = check_adjoint(case.function, lambda y: case.vjp(y, case.x), case.x.shape, rng)
        yield "adjoint x", adjoint
