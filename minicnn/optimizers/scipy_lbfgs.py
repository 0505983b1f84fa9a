"""SciPy's L-BFGS-B on pictures: the one place where float32 arrays meet SciPy's float64 vectors.

Where the picture is on a device, both cross through one buffer of pinned memory, and are converted
on the host: float32 is half of what float64 would take to cross.

SciPy minimises φ(z) = c·fun(s·z), where x = s·z. Its own choices are made for |dφ/dz| about 1:
without bounds the first trial step has ‖dz‖ = 1 whatever the gradient; with bounds, and whenever
it forgets its memory after a failed line search, the trial is z - dφ/dz. So

    s   the length wanted for the first step, ‖dx‖
    c   = 1 / (s · ‖dfun/dx‖)    so that both trials are the same step, of length s

Unless given as first_step, s = |fun(x0)| / ‖dfun/dx‖, where the tangent at x0 meets 0 (Polyak's
step for a least value of 0). Then c·fun(x0) = 1 as well. It follows the scale of fun and of x; no
grey level needs to be known. Both s and c are rounded to powers of two, so scaling loses no digit;
within bounds s alone, and ‖dfun/dx‖ is that of the pixels that can move.
"""

import math

import numpy as np

from minicnn.backend import array_module, host_buffer
from minicnn.errors import MinicnnError
from minicnn.optimizers.bounds import Box
from minicnn.optimizers.lbfgs_products import Place
from minicnn.optimizers.record import (
    FLAT_START,
    NOTHING_LOWER,
    Record,
    Stop,
    check_line_search,
    fill,
    first_length,
    power_of_two,
    stop_if_settled,
)
from minicnn.optimizers.vectors import dot


def lbfgs(
    record: Record,
    x0,
    bounds,
    *,
    maxcor: int = 10,
    first_step: float | None = None,
    maxls: int = 20,
    ftol: float = 0.0,
    gtol: float = 0.0,
):
    """Minimise by SciPy's L-BFGS-B; called by `minimize`.

    Parameters
    ----------
    maxcor : int
        Pairs remembered; SciPy holds about (2·maxcor + 5) float64 copies of the picture.
    first_step : float, optional
        Root mean square change of x in the first trial step, in units of x (a few grey levels);
        the length is rounded to a power of two.
    maxls : int
        Evaluations that one line search may use.
    ftol, gtol : float
        SciPy's own stopping tests, on the scaled function (its first value is about 1); 0 is never.
    """
    from minicnn.optimizers import setulb  # it loads SciPy

    check_line_search(maxcor, first_step, maxls)
    if not (ftol >= 0 and gtol >= 0):
        raise MinicnnError(f"ftol = {ftol}, gtol = {gtol}; use 0 or a positive number")
    crossing = _Crossing(x0)
    with record.restoring() as state:
        if state:
            unit, factor = map(float, state.numbers["scales"])
            last = {"x": record.accepted, "value": record.trace[-1]["value"]}
            gradient = np.zeros(x0.size)
    if not state:
        value, gradient = record.evaluate(x0)
        record.accept(x0, value)
        box = Box(bounds, array_module(x0))
        unit, factor = _scales(value, Place(x0, gradient, box).free, first_step)
        factor = factor if bounds else power_of_two(factor)
        gradient = crossing.vector(gradient)
        gradient *= factor * unit
        last = {"x": x0, "value": value}

    def scaled(z):
        x = crossing.picture(z, unit)
        if (x != last["x"]).any():  # SciPy begins at x0, and may ask twice at the same place
            last["x"] = x
            last["value"], raw = record.evaluate(x)
            crossing.vector(raw, factor * unit, out=gradient)
        return last["value"] * factor, gradient

    def next_iteration(z):
        record.accept(last["x"], last["value"])  # a line search ends where it evaluated last
        stop_if_settled(record)

    z = crossing.vector(x0, 1 / unit)
    bounds = bounds and [crossing.vector(side, 1 / unit) for side in bounds]
    options = {"maxcor": maxcor, "maxls": maxls, "ftol": ftol, "gtol": gtol}
    if not setulb.available():
        if state:
            check_resumable()
        raise _why(_by_minimize(scaled, z, bounds, next_iteration, options), ftol, gtol)
    search = setulb.Setulb(z, bounds, **options)
    z, search.arrays["g"] = search.arrays["z"], gradient
    with record.restoring():
        if state:
            fill(search.arrays, state.arrays)
            search.value = last["value"] * factor
    while True:
        search.advance()
        if search.asks == setulb.VALUE:
            search.value, _ = scaled(z)
        elif search.asks == setulb.ITERATION:
            next_iteration(z)
            record.pause(search.arrays, scales=[unit, factor])
        else:
            raise _why(search.asks, ftol, gtol)


def check_resumable() -> None:
    """Raise `MinicnnError` where SciPy's routine is unknown, so that no search can go on."""
    from minicnn.optimizers import setulb

    if not setulb.available():
        raise MinicnnError(
            "no checkpoint of lbfgs with this version of SciPy; use the optimizer lbfgs-device, or "
            "SciPy 1.13 to 1.17"
        )


def _by_minimize(fun, z, bounds, next_iteration, options):
    """Minimise by SciPy's public function; return the test that was met, "" if none."""
    from scipy.optimize import Bounds, minimize

    # the record stops first
    options = {**options, "maxiter": 1 << 31, "maxfun": 1 << 62}
    how = {"jac": True, "method": "L-BFGS-B", "bounds": bounds and Bounds(*bounds)}
    outcome = minimize(fun, z, callback=next_iteration, options=options, **how)
    tests = ("gradient", "reduction")
    return next((test for test in tests if test in str(outcome.message).lower()), "")


def _scales(value, gradient, first_step):
    norm = math.sqrt(dot(gradient, gradient))
    if norm == 0:
        raise Stop("converged", FLAT_START)
    unit = power_of_two(first_length(value, norm, gradient.size, first_step))
    return unit, 1 / (unit * norm)


class _Crossing:
    """Between pictures like an array and SciPy's vectors."""

    def __init__(self, like):
        self.xp, self.buffer = array_module(like), host_buffer(like)

    def picture(self, vector, scale):
        """Return a float64 vector of the host times a number, as a new picture."""
        shape, dtype = self.buffer.shape, self.buffer.dtype
        out = np.empty(shape, dtype) if self.xp is np else self.buffer
        how = {"dtype": np.float64, "casting": "same_kind"}
        np.multiply(vector.reshape(shape), scale, out=out, **how)
        if self.xp is np:
            return out
        x = self.xp.empty(shape, dtype)
        x.set(out)  # asynchronous from pinned memory; `vector`, which waits, comes before the next
        return x

    def vector(self, x, scale=1.0, out=None):
        """Return a picture times a number as a float64 vector of the host, a new one or `out`."""
        if self.xp is not np:
            x = x.get(out=self.buffer)
        out = np.empty(x.size) if out is None else out
        np.multiply(x, scale, out=out.reshape(x.shape), dtype=np.float64)
        return out


def _why(end, ftol, gtol):
    if end == "gradient":
        return Stop("converged", "the gradient is " + (f"below gtol = {gtol}" if gtol else "0"))
    if end == "reduction":
        small = f"by less than ftol = {ftol}" if ftol else "in no digit"
        return Stop("stalled", f"stalled: the value changes {small} any more")
    return Stop("stalled", NOTHING_LOWER)
