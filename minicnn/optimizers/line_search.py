"""How far to go along a direction: the strong Wolfe conditions.

With φ(t) = fun(x + t·d), a step t is accepted when the value has fallen enough and the slope too:

    φ(t) <= φ(0) + c1·t·φ'(0)        |φ'(t)| <= c2·|φ'(0)|

The second makes s·y positive, so that L-BFGS always learns a curvature. The search is that of Moré
& Thuente (ACM TOMS 20, 1994), with the constants of SciPy's L-BFGS-B, and makes the same trials.
One thing differs: in an interval narrower than a tenth of its far end SciPy's search takes the best
trial, this one goes on.

Beside the last trial p there are x, the best one, and y, the other end of an interval that holds
such a t, once there is one. The next trial is read from the cubic through x and p (c), the parabola
through both values and the slope at x (q), and where the line through both slopes meets 0 (s):

    φ(p) > φ(x)                   c, or halfway between c and q if q is nearer to x     interval x p
    slopes at x and p of two signs      the one of c and s that is farther from p       interval p x
    a slope less steep at p       while t grows the farther one of c and s; in an interval the
                                  nearer one, at most 0.66 of the way from p to y
    else                          as far as t may grow; in an interval the cubic through p and y

An interval that two trials have not shrunk to 0.66 is halved. Until a trial has met the first
condition and slopes upwards, values and slopes are those of φ(t) - c1·t·φ'(0) where φ has fallen,
but not enough (the paper's section 2).
"""

import math
from typing import NamedTuple

C1, C2 = 1e-3, 0.9
GROW = (1.1, 4.0)  # the next trial, when growing, is between so many times the last advance
SHRINK = 0.66


class TrialStep(NamedTuple):
    """A step that was tried, the value and the slope there."""

    t: float
    value: float
    slope: float

    def above(self, slope):
        """Return how far it lies above the line through 0 of such a slope, with the slope to it."""
        return TrialStep(self.t, self.value - slope * self.t, self.slope - slope)


def strong_wolfe(phi, value, slope, first, evaluations=20, longest=lambda: math.inf):
    """Return (step, settled): a step that meets both conditions, or the best that meets the first.

    phi(t) returns (φ(t), φ'(t)); `value` and `slope` are φ(0) and φ'(0) < 0; `first` is the first
    trial, positive, `evaluations` how often phi is called at most, and `longest()`, which is asked
    for when a trial is to be longer than `first`, the longest. The step is None if no trial meets
    the first condition. `settled`: both conditions are met, and the step is the last trial.
    """
    x = y = TrialStep(0.0, value, slope)
    t, least, most, bracketed = first, 0.0, (1 + GROW[1]) * first, False
    lowest, widths, early = None, (math.inf, math.inf), True
    for _ in range(evaluations):
        p = TrialStep(t, *phi(t))
        fallen = p.value <= value + C1 * t * slope
        if fallen and (lowest is None or p.value < lowest.value):
            lowest = p
        if fallen and abs(p.slope) <= -C2 * slope:
            return t, True
        early = early and not (fallen and p.slope >= 0)
        line = C1 * slope if early and not fallen and p.value <= x.value else 0.0
        shifted = [trial.above(line) for trial in (x, y, p)]
        t = _next(*shifted, bracketed, least, most)
        if shifted[2].value > shifted[0].value:
            y, bracketed = p, True
        elif shifted[2].slope * shifted[0].slope < 0:
            x, y, bracketed = p, x, True
        else:
            x = p
        if not bracketed:
            least, most = (t + times * (t - x.t) for times in GROW)
            if p.t >= (far := longest()):
                break
            t = min(t, far)
            continue
        width, (least, most) = abs(y.t - x.t), sorted((x.t, y.t))
        if width >= SHRINK * widths[0] or not math.isfinite(t):
            t = (x.t + y.t) / 2
        widths = widths[1], width
        if not least < t < most:
            break  # nothing lies between
    return (lowest.t if lowest else None), False


def _next(x, y, p, bracketed, least, most):
    """Return the next trial; while none is bracketed it lies between `least` and `most`."""
    cubic = cubic_minimum(x, p)
    if p.value > x.value:
        bend = (x.value - p.value) / (p.t - x.t) + x.slope
        if not bend:  # slopes so small that it is lost
            return cubic
        parabola = x.t + x.slope / bend / 2 * (p.t - x.t)
        near = abs(cubic - x.t) < abs(parabola - x.t)
        return cubic if near else (cubic + parabola) / 2
    farthest = most if p.t > x.t else least
    if abs(p.slope) >= abs(x.slope) and p.slope * x.slope >= 0:
        return cubic_minimum(p, y) if bracketed else farthest
    secant = p.t + p.slope / (p.slope - x.slope) * (x.t - p.t)
    if p.slope * x.slope < 0:
        return max(cubic, secant, key=lambda t: abs(t - p.t))
    if not (cubic - p.t) * (p.t - x.t) > 0:  # the cubic falls on and on
        cubic = farthest
    if not bracketed:
        return min(max(cubic, secant, least), most)
    edge = p.t + SHRINK * (y.t - p.t)
    t = min(cubic, secant, key=lambda t: abs(t - p.t))
    return min(t, edge) if p.t > x.t else max(t, edge)


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
