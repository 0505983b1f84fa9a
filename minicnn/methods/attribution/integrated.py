"""Shares of a score: gradient times input, and integrated gradients.

    gradient x input       a = (x - x0) dS/dx at x
    integrated gradients   a = (x - x0) 1/m Σ over k = 1..m of dS/dx at x0 + (k - 1/2)/m (x - x0)

x0 is the baseline, the picture that counts as nothing. Each share has its pixel's sign and unit of
S. The second is the integral of the gradient along the straight path by the midpoint rule, and as
m grows its shares sum to what the whole path gains, *completeness*:

    Σ a  ->  S(x) - S(x0)

Sundararajan, Taly & Yan 2017, arXiv 1703.01365, equations 1 to 3. The first is the same with the
single gradient at the end of the path; its sum is that of the score's linear part.
"""

from typing import NamedTuple

import numpy as np

from minicnn.backend import array_module, to_host
from minicnn.methods.attribution.target import value_and_gradient

BATCH = 8  # pictures that go up and down together
STEPS, MOST_STEPS = 32, 1024
TOLERANCE = 0.01  # of the difference of the scores


def gradient_times_input(evaluator, x, x0, target):
    """Return the shares (N, 3, H, W) of pictures x (N, 3, H, W) over a baseline x0 like it."""
    return (x - x0) * value_and_gradient(evaluator, x, target)[1]


class Integrated(NamedTuple):
    """What `integrated_gradients` returns, on the host."""

    shares: np.ndarray  # float64 (N, 3, H, W)
    sums: np.ndarray  # (N,), of the shares
    differences: np.ndarray  # (N,), S(x) - S(x0)
    steps: int

    @property
    def error(self):
        """The largest |sum - difference| as a share of the difference."""
        wrong = np.abs(self.sums - self.differences)
        return float((wrong / np.maximum(np.abs(self.differences), 1e-12)).max())


def integrated_gradients(evaluator, x, x0, target, steps=STEPS, progress=None):
    """Return the `Integrated` of pictures x (N, 3, H, W) over a baseline x0, array like x.

    `steps` is m; `progress` is called with the number of steps done.
    """
    xp = array_module(x)
    x0 = xp.broadcast_to(x0, x.shape)
    total = np.zeros(x.shape)
    several = max(1, BATCH // len(x))
    for first in range(0, steps, several):
        k = xp.arange(first + 1, min(first + several, steps) + 1)
        alpha = ((k - 0.5) / steps).astype(x.dtype).reshape(-1, 1, 1, 1, 1)
        path = (x0 + alpha * (x - x0)).reshape(-1, *x.shape[1:])
        dx = value_and_gradient(evaluator, path, target.repeated(len(k)))[1]
        total += to_host(dx.reshape(len(k), *x.shape).sum(axis=0, dtype="float64"))
        if progress:
            progress(first + len(k))
    shares = to_host(x - x0) * total / steps
    both = [_values(evaluator, pictures, target) for pictures in (x, xp.ascontiguousarray(x0))]
    return Integrated(shares, shares.sum(axis=(1, 2, 3)), both[0] - both[1], steps)


def complete(integrate, steps=STEPS, most=MOST_STEPS, tolerance=TOLERANCE):
    """Double the steps until the shares sum to the difference of the scores.

    Parameters
    ----------
    integrate : callable, steps -> Integrated
    steps, most : int, the first number of steps and the last
    tolerance : float, the error that is small enough

    Returns
    -------
    Integrated, its error perhaps larger where `most` did not suffice
    """
    found = integrate(steps)
    while found.error > tolerance and 2 * steps <= most:
        steps *= 2
        found = integrate(steps)
    return found


def steps_for(found, tolerance=TOLERANCE):
    """Return how many steps would sum well enough, if the error goes on falling as 1 / steps.

    So it does where the gradient jumps along the path, as at ReLUs; elsewhere it falls faster.
    """
    return int(np.ceil(found.steps * found.error / tolerance))


def _values(evaluator, x, target):
    y = evaluator.forward(x, [target.layer], keep=False)[target.layer]
    return to_host((y * target.seed(y)).sum(axis=(1, 2, 3), dtype="float64"))
