"""Minimise a function of a picture: one call for every optimizer.

    result = minimize("lbfgs", fun, x0, iterations=500)        fun(x) -> (value, gradient)

| name | step | file |
|---|---|---|
| lbfgs | SciPy's L-BFGS-B, on the host | scipy_lbfgs.py |
| lbfgs-device | L-BFGS-B of our own, where the picture is | lbfgs.py and what it names |
| adam | moments of the gradient, Kingma & Ba 2014 | first_order.py |
| adagrad | gradient over its own size so far, Mahendran & Vedaldi 2016 | first_order.py |
| momentum | v <- m·v - rate·g;  x <- x + v | first_order.py |
| gradient-descent | x <- x - rate·g | first_order.py |

Optimizers know nothing of networks. An evaluation is one call of `fun`; the first one, at x0,
belongs to no iteration. Runs are deterministic: same fun, same x0, same library versions, same x.
"""

import inspect
from collections.abc import Callable
from numbers import Integral

import numpy as np
from threadpoolctl import threadpool_limits

from minicnn.backend import all_finite, array_module
from minicnn.errors import MinicnnError
from minicnn.optimizers.first_order import adagrad, adam, gradient_descent, momentum
from minicnn.optimizers.lbfgs import Memory, lbfgs_device
from minicnn.optimizers.record import Record, Result, State, Stop
from minicnn.optimizers.scipy_lbfgs import lbfgs

__all__ = ["METHODS", "WITHOUT_RATE", "Memory", "Result", "State", "minimize"]

METHODS = {
    "lbfgs": lbfgs,
    "lbfgs-device": lbfgs_device,
    "adam": adam,
    "momentum": momentum,
    "gradient-descent": gradient_descent,
    "adagrad": adagrad,
}
WITHOUT_RATE = ("lbfgs", "lbfgs-device")  # they find the length of a step themselves


def minimize(
    name: str,
    fun: Callable,
    x0,
    *,
    iterations: int,
    max_evaluations: int | None = None,
    callback: Callable | None = None,
    bounds: tuple | None = None,
    keep: str = "best",
    state: State | None = None,
    on_state: Callable | None = None,
    **options,
) -> Result:
    """Minimise fun from x0 until the budget is used up or nothing lower is found.

    Parameters
    ----------
    name : {"lbfgs", "lbfgs-device", "adam", "momentum", "gradient-descent", "adagrad"}
    fun : callable, fun(x) -> (value, gradient)
        value: a number; gradient: array like x, which fun may overwrite in its next call. fun
        must not change x. BLAS uses one thread meanwhile, as sums by several differ: fun may give
        itself more. NumPy's overflow warnings are off meanwhile: what is not finite is
        told in the result. If it has an attribute `terms` (dict name -> value, as `ImageFunction`
        has), a copy goes with every iteration and with the result.
    x0 : array, float32 or float64, any shape, NumPy or CuPy
        fun gets arrays of this shape, dtype and device. x0 is not changed.
    iterations : int, at least 1
    max_evaluations : int, optional
        At most so many calls of fun; the fair budget between optimizers.
    callback : callable, callback(iteration, x, value, info), optional
        Called once per iteration (from 1) with the accepted x, which it must not change. info:
        evaluations so far, step (root mean square change of x), terms, and first, the value at
        the start. Returning True stops.
    bounds : (low, high), numbers or arrays that broadcast to x0, optional
        None, the default, is faster; clip the result instead.
    keep : {"best", "last"}
        Which picture to return: the lowest value evaluated, or the last one accepted (for a
        function that changes between calls, where values cannot be compared).
    state : State, optional
        Of a run with the same arguments: this one goes on there, and ends with the same bits.
    on_state : callable, on_state(state), optional
        Called with a `State` after each iteration but the last. Generators of random numbers that
        fun draws from belong to it, if fun has them as the list `rngs`.
    **options
        Of the optimizer: lbfgs: maxcor, first_step, maxls, ftol, gtol; lbfgs-device: maxcor,
        first_step, maxls, memory; adam: learning_rate, beta1, beta2, epsilon; momentum:
        learning_rate, momentum, restart; gradient-descent: learning_rate; adagrad: learning_rate,
        memory, project.

    Returns
    -------
    Result
        A NaN, an overflow, a stall, divergence or KeyboardInterrupt (in fun, in the callback or
        between) ends the run, not the program: see `Result.status` and `Result.reason`.

    Raises
    ------
    MinicnnError
        For an unknown name or option, an empty budget, an x0 that is not finite floating point,
        bounds that cross. Any other exception of fun or of the callback passes through.

    Examples
    --------
    >>> import numpy as np
    >>> def bowl(x):
    ...     return float(x @ x), 2 * x
    >>> result = minimize("lbfgs", bowl, np.array([3.0, 4.0]), iterations=9)
    >>> result.value < 1e-20
    True
    """
    if name not in METHODS:
        raise MinicnnError(f"no optimizer {name!r}; use {', '.join(METHODS)}")
    method = METHODS[name]
    known = list(inspect.signature(method).parameters)[3:]
    for option in options:
        if option not in known:
            raise MinicnnError(f"{name} has no option {option!r}; it takes {', '.join(known)}")
    _check_count("iterations", iterations)
    if max_evaluations is not None:
        _check_count("max_evaluations", max_evaluations)
    if keep not in ("best", "last"):
        raise MinicnnError(f"cannot keep {keep!r}; use best or last")
    if getattr(x0, "dtype", None) not in ("float32", "float64") or not x0.size:
        raise MinicnnError("x0 must be a float32 or float64 array with at least one element")
    if not all_finite(x0):
        raise MinicnnError("x0 has elements that are NaN or infinite; start from finite numbers")
    x0, bounds = _into_bounds(x0.copy(), bounds)
    record = Record(fun, x0, iterations, max_evaluations, callback, keep, on_state)
    if state is not None:
        record.resume(state)
    if name == "lbfgs":
        from minicnn.optimizers import setulb  # noqa: F401 - brings a BLAS, to be held as well
    try:
        # what overflows is told by the record
        with threadpool_limits(1, user_api="blas"), np.errstate(over="ignore", invalid="ignore"):
            method(record, x0, bounds, **options)
    except Stop as stop:
        return record.result(stop.status, stop.reason)
    except KeyboardInterrupt:
        return record.result("interrupted", f"interrupted in iteration {record.iterations + 1}")
    raise AssertionError(f"{name} ended without a reason")


def _check_count(name, value):
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise MinicnnError(f"{name} = {value!r}; use a whole number of at least 1")


def _into_bounds(x0, bounds):
    """Return x0 clipped into the bounds, and the bounds as arrays of its shape and dtype."""
    if bounds is None:
        return x0, None
    xp = array_module(x0)
    try:
        low, high = (xp.broadcast_to(xp.asarray(side, x0.dtype), x0.shape) for side in bounds)
    except (TypeError, ValueError):
        raise MinicnnError(
            f"bounds must be (low, high), numbers or arrays that fit the shape {x0.shape}"
        ) from None
    if not bool((low <= high).all()):  # also refuses NaN
        raise MinicnnError("bounds cross: some low is not below its high")
    return xp.clip(x0, low, high), (low, high)
