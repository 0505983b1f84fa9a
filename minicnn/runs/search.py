"""How a picture is searched for: from the settings of a verb to `optimizers.minimize`."""

import warnings
from typing import NamedTuple

import numpy as np

from minicnn.backend import array_module
from minicnn.engine.cpu.threads import one_blas_thread
from minicnn.optimizers import MEMORIES, WITHOUT_RATE, minimize


def search(settings, fun, start, level, *, memory=None, pairs=None, iterations=None, **options):
    """Minimise fun from `start` with the optimizer of the settings.

    Parameters
    ----------
    settings : opening.SearchSettings, with nothing left open
    fun, start
        See `minimize`.
    level : array
        One grey level of 0..255 in units of x, see `pictures.arrays.grey_level`.
    memory : one of `optimizers.MEMORIES`, optional
        To go on from, and filled.
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
    if memory is not None:
        options["memory"] = memory
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


def carried(memory, before, after):
    """Return an optimizer's memory of pictures of the shape `before` for those of `after`.

    Parameters
    ----------
    memory : one of `optimizers.MEMORIES`
    before, after : (N, C, H, W)
    """

    def resize(array):
        larger = bilinear(array.reshape(before), after[2:])
        return larger.reshape(-1) if array.ndim == 1 else larger

    return memory.resampled(resize, np.prod(after[2:]) / np.prod(before[2:]))


def bilinear(x, size):
    """Return x (N, C, H, W) interpolated to `size` = (rows, columns), in its library and dtype."""
    xp = array_module(x)
    for axis, length in zip((2, 3), size, strict=True):
        have = x.shape[axis]
        place = np.clip((np.arange(length) + 0.5) * have / length - 0.5, 0, have - 1)
        first = np.minimum(place.astype(int), max(0, have - 2))
        share = xp.asarray((place - first).astype(x.dtype))
        share = share.reshape((-1, 1) if axis == 2 else (-1,))
        first = xp.asarray(first)
        low, high = xp.take(x, first, axis), xp.take(x, xp.minimum(first + 1, have - 1), axis)
        x = low + share * (high - low)
    return x


def memory_of(settings):
    """Return an empty memory of the optimizer, or None if it has none to carry."""
    kind = MEMORIES.get(settings.optimizer)
    return kind() if kind and settings.carry else None


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
