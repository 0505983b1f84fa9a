"""Bounds of the pixels, and how far the steepest descent goes within them.

The generalised Cauchy point of L-BFGS-B (Byrd, Lu, Nocedal & Zhu, SIAM J. Sci. Comput. 16, 1995,
algorithm CP). The path x(t) = clip(x - t g) is followed to the first minimum of the model

    m(x + z) = g·z + z·B z / 2        B = θ (I - W M Wᵀ)        (`lbfgs_model`)

Pixel i meets its bound, and stands still, from its own t on:

    t_i = (x_i - low_i) / g_i   where g_i > 0        (x_i - high_i) / g_i   where g_i < 0

Between two of these the path is straight. With w_i, row i of W,

    a = Σ g_i²,  p = -Σ g_i w_i    over pixels that move, t < t_i
    q = Σ t_i g_i w_i              over the others

it is at Wᵀz = t p - q, and the slope of m along it

    -a + θ t (a - p·M p) + θ p·M q        is 0 at        t = (a / θ - p·M q) / (a - p·M p)

The paper goes from one t_i to the next; here many are passed at once, by running sums.
"""

import math

import numpy as np

from minicnn.backend import array_module, to_host

AT_ONCE = 1 << 15  # pixels
EPS = np.finfo(float).eps


class Box:
    """The bounds of the pixels, if there are any."""

    def __init__(self, bounds, xp):
        self._xp, self.bounded = xp, bounds is not None
        self.low, self.high = (b.reshape(-1) for b in bounds) if self.bounded else (None, None)

    def clip(self, x):
        """Return x moved into the bounds."""
        return self._xp.clip(x, self.low, self.high) if self.bounded else x

    def ends(self, x, g, pixels):
        """Return the bounds of some pixels towards which -g leads; where g is 0 their x."""
        g = g[pixels]
        rest = self._xp.where(g < 0, self.high[pixels], x[pixels])
        return self._xp.where(g > 0, self.low[pixels], rest)

    def meeting(self, x, g):
        """Return the t at which each pixel of x - t g meets its bound.

        It is inf where this never happens, NaN at a bound where g is 0.
        """
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            low, high = x - self.low, x - self.high
            low /= g  # of these one is negative
            high /= g
        return self._xp.maximum(low, high, out=low)

    def longest(self, x, direction):
        """Return how often x, within the bounds, can go a direction before it meets one."""
        if not self.bounded:
            return math.inf
        t = self.meeting(x, -direction)
        return float(self._xp.where(direction == 0, math.inf, t).min())


def cauchy_point(meeting, g, model, p, square):
    """Follow the steepest descent within bounds to the first minimum of a model.

    Parameters
    ----------
    meeting, g : arrays (n,)
        The t_i of the pixels, and the gradient.
    model
        With `theta`, `times_m(w)`, M times the columns of w (2k, many), and `columns(pixels)`,
        row i of W for each of these pixels as a column (2k, pixels); float64.
    p : array (2k,), float64
        At t = 0.
    square : float
        a at t = 0, above 0.

    Returns
    -------
    t : float
    met : array of int
        The pixels that have met their bounds on the way.
    p, q : arrays (2k,), float64
        At t.
    """
    xp, infinite = array_module(g), float(np.finfo(g.dtype).max)
    least = max(EPS * square, np.finfo(float).tiny)
    a, q, passed, met = square, np.zeros_like(p), 0.0, []

    def lowest(a, p, q):
        of_p, of_q = (np.sum(p * model.times_m(other), axis=0) for other in (p, q))
        return (a / model.theta - of_q) / np.maximum(a - of_p, least)

    while True:
        reach = min(2 * max(passed, float(lowest(a, p, q))), infinite)  # passed if it is NaN
        near = xp.flatnonzero((meeting > passed) & (meeting <= reach))
        near = near[xp.argsort(meeting[near])]
        for start in range(0, max(near.size, 1), AT_ONCE):
            part, rest = near[start : start + AT_ONCE], near[start + AT_ONCE :][:1]
            t, of_g = (to_host(array[part]).astype(np.float64) for array in (meeting, g))
            gw = of_g * to_host(model.columns(part))
            a = _running([a], -(of_g**2))
            p, q = _running(p[:, None], gw), _running(q[:, None], t * gw)
            at, until = np.append(passed, t), float(meeting[rest][0]) if rest.size else reach
            best = np.fmax(lowest(a, p, q), at)
            stops = np.flatnonzero(best < np.append(t, until))
            i = int(stops[0]) if stops.size else t.size
            a, p, q, passed = a[i], p[:, i], q[:, i], float(at[i])
            met.append(part[:i])
            if stops.size or not near.size:
                return float(best[i]), xp.concatenate(met), p, q


def _running(start, steps):
    """Return what sums become by one step after another, along the last axis, from the start on."""
    return np.cumsum(np.concatenate((start, steps), axis=-1), axis=-1)
