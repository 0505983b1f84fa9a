"""How a picture is searched for: from the settings of a verb to `optimizers.minimize`."""

import warnings
from typing import NamedTuple

from minicnn.engine.cpu.threads import one_blas_thread
from minicnn.optimizers import WITHOUT_RATE, minimize


def search(settings, fun, start, level, *, pairs=None, iterations=None, **options):
    """Minimise fun from `start` with the optimizer of the settings.

    Parameters
    ----------
    settings : opening.SearchSettings, with nothing left open
    fun, start
        See `minimize`.
    level : array
        One grey level of 0..255 in units of x, see `pictures.arrays.grey_level`.
    pairs : int, optional
        That the L-BFGS methods remember.
    iterations : int, optional
        Instead of those of the settings.
    **options
        See `minimize`: callback, bounds, keep.

    Returns
    -------
    optimizers.Result
    """
    name = settings.optimizer
    if name not in WITHOUT_RATE:
        options["learning_rate"] = rate_of(settings, fun, start, level)
    elif pairs:
        options["maxcor"] = pairs
    # between evaluations BLAS threads would only spin: an optimizer's sums are short
    with warnings.catch_warnings(), one_blas_thread():
        warnings.simplefilter("ignore", RuntimeWarning)  # an overflow ends the run in plain words
        return minimize(
            name,
            fun,
            start,
            iterations=iterations or settings.iterations,
            max_evaluations=settings.evaluations,
            **options,
        )


def rate_of(settings, fun, start, level):
    """Turn the learning rate, in grey levels, into one that multiplies the optimizer's step.

    Adam's first step is the rate in every pixel. The first step of the others is the rate times
    the gradient: the rate is then the root mean square of that step in grey levels.
    """
    if settings.optimizer == "adam":
        return settings.learning_rate * float(level.mean())
    _, gradient = fun(start)
    size = float(((gradient / level) ** 2).mean()) ** 0.5
    return settings.learning_rate / size if size else settings.learning_rate


class Search(NamedTuple):
    """Iterations and learning rate (grey levels of 0..255) of an optimizer."""

    iterations: int  # at full size
    coarse_iterations: int  # at each of the smaller sizes before
    learning_rate: float | None = None


SEARCH = {
    "lbfgs": Search(150, 150),
    "lbfgs-device": Search(150, 150),
    "adam": Search(250, 250, 4.0),
    "momentum": Search(250, 250, 2.0),
    "gradient-descent": Search(250, 250, 4.0),
}
