"""How far to go along a direction: the strong Wolfe conditions.

With φ(t) = fun(x + t·d), a step t is accepted when the value has fallen enough and the slope too:

    φ(t) <= φ(0) + c1·t·φ'(0)        |φ'(t)| <= c2·|φ'(0)|

The second makes s·y positive, so that L-BFGS always learns a curvature. First the step grows until
an interval holds such a t, then the interval shrinks around one: Nocedal & Wright, Numerical
Optimization, 2nd ed., algorithms 3.5 and 3.6. The next trial is the minimum of the cubic through
the values and slopes of both ends (equation 3.59), kept away from the ends; where two trials have
not shrunk the interval to 2/3, it is halved, as Moré & Thuente do (ACM TOMS 20, 1994).
"""

import math

C1, C2 = 1e-4, 0.9
GROW = (1.1, 4.0)  # the next step, when growing: between so many times the last advance
EDGE = 0.1  # share of the interval that a trial keeps away from its ends
SHRINK = 0.66


def strong_wolfe(phi, value, slope, first, evaluations=20):
    """Return (step, settled): a step that meets both conditions, or the best that meets the first.

    phi(t) returns (φ(t), φ'(t)); `value` and `slope` are φ(0) and φ'(0) < 0; `first` is the first
    trial, positive, and `evaluations` how often phi is called at most. The step is None if no trial
    has a lower value. `settled`: both conditions are met, and the step is the last trial.
    """
    search = _Search(phi, value, slope, evaluations)
    low, t = (0.0, value, slope), first
    while search.left:
        high = search.at(t)
        if not search.fallen(high) or (low[0] > 0 and high[1] >= low[1]):
            return search.zoom(low, high)
        if search.flat(high):
            return t, True
        if high[2] >= 0:
            return search.zoom(high, low)
        advance = t - low[0]
        grown = cubic_minimum(low, high)
        least, most = t + GROW[0] * advance, t + GROW[1] * advance
        low, t = high, most if not t < grown < most else max(grown, least)
    return search.best()


class _Search:
    """The trials of a line search; a trial is (t, φ(t), φ'(t))."""

    def __init__(self, phi, value, slope, evaluations):
        self.phi, self.value, self.slope, self.left = phi, value, slope, evaluations
        self.lowest = None

    def at(self, t):
        self.left -= 1
        trial = (t, *self.phi(t))
        if self.fallen(trial) and (self.lowest is None or trial[1] < self.lowest[1]):
            self.lowest = trial
        return trial

    def fallen(self, trial):
        return trial[1] <= self.value + C1 * trial[0] * self.slope

    def flat(self, trial):
        return abs(trial[2]) <= -C2 * self.slope

    def best(self):
        return (self.lowest[0] if self.lowest else None), False

    def zoom(self, low, high):
        """Shrink the interval; `low` has the lowest value so far and slopes towards `high`."""
        widths = [math.inf, math.inf]
        while self.left:
            width = abs(high[0] - low[0])
            t = _inside(low, high, halve=width > SHRINK * widths[0])
            if t in (low[0], high[0]):
                break  # nothing lies between
            widths = [widths[1], width]
            trial = self.at(t)
            if not self.fallen(trial) or trial[1] >= low[1]:
                high = trial
                continue
            if self.flat(trial):
                return t, True
            if trial[2] * (high[0] - low[0]) >= 0:
                high = low
            low = trial
        return self.best()


def _inside(low, high, halve):
    """Return the next trial in the interval."""
    a, b = low[0], high[0]
    middle = (a + b) / 2
    t = middle if halve else cubic_minimum(low, high)
    edge = EDGE * abs(b - a)
    least, most = min(a, b) + edge, max(a, b) - edge
    return min(max(t, least), most) if math.isfinite(t) else middle


def cubic_minimum(p, q):
    """Return where the cubic with the values and slopes of two trials is least; inf if nowhere."""
    (a, fa, ga), (b, fb, gb) = p, q
    d1 = ga + gb - 3 * (fa - fb) / (a - b)
    root = d1 * d1 - ga * gb
    if not root >= 0:
        return math.inf
    d2 = math.copysign(math.sqrt(root), b - a)
    below = gb - ga + 2 * d2
    return b - (b - a) * (gb + d2 - d1) / below if below else math.inf
