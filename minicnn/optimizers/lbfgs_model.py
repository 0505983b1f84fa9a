"""The quadratic model of L-BFGS, and the direction to its minimum, with and without bounds.

    m(x + z) = g·z + z·B z / 2        B = θ (I - W M Wᵀ)        θ = y·y / s·y    of the newest pair

is what the last k pairs (s, y) tell by the updates of BFGS, in the compact form of Byrd, Nocedal &
Schnabel (Mathematical Programming 63, 1994, section 3). S and Y are matrices of k columns, the
oldest pair first; Y is over θ, so that all have the units of x². D is the diagonal of SᵀY, L what
lies below it, R the rest with the diagonal:

    W = (S, Y)        M⁻¹ = | SᵀS   L |        N = M⁻¹ - WᵀW = - | 0      R     |
                            | Lᵀ   -D |                          | Rᵀ  D + YᵀY  |

Without bounds the minimum is at z = -B⁻¹ g, by the formula of Woodbury

    z = -g / θ - W v        N v = Wᵀ g / θ

which is what the two loops of L-BFGS compute (Nocedal & Wright, Numerical Optimization, algorithm
7.4). W is only multiplied with g and with z in it; the rest are numbers.

Within bounds it is L-BFGS-B's (`bounds`, and the paper's section 5.1, the direct primal method).
The generalised Cauchy point, at Wᵀz = c = t p - q, tells which pixels stay at their bounds, the set
A. The others go on to the minimum of m, with W_A the rows of W that are in A:

    x - g / θ + W (M c - v)        (N + W_AᵀW_A) v = (t - 1 / θ) p - (WᵀW - W_AᵀW_A) M c

What of that leaves the bounds is clipped; where it would then go upwards, the way from the Cauchy
point ends at the first bound instead (Morales & Nocedal, ACM TOMS 38, 2011).
"""

from typing import Any, NamedTuple

import numpy as np

from minicnn.backend import array_module, to_host
from minicnn.optimizers.bounds import cauchy_point
from minicnn.optimizers.vectors import combined, dot, step_to

STRIP = 1 << 19  # numbers of W at a time: 4 MB


class Way(NamedTuple):
    """A direction (n,), the slope along it, and its end (n,): within the bounds to the bit."""

    direction: Any
    slope: float
    end: Any

    @classmethod
    def to(cls, end, place):
        """Return the way from a place to such pixels."""
        direction = end - place.x
        return cls(direction, dot(place.gradient, direction), end)


def descent(products, place):
    """Return the way from a place to the minimum of the model.

    Parameters
    ----------
    products : PairProducts
        With the place's gradient.
    place : Place

    Returns
    -------
    Way
        With a slope that is not below 0, or NaN, where rounding has spoilt the model.
    """
    memory, box = products.memory, products.box
    factors, t, still = np.zeros(len(memory.rows) + 1), 0.0, place.held
    if not memory.order:
        factors[-1] = -memory.scale
    else:
        model = QuadraticModel(memory)
        wg = model.of_rows(products.g)
        if box.bounded:
            t, still, v = model.minimum_within(place, wg, products.norm * products.norm)
        else:
            v = model.minimum(wg)
        factors[model.slots], factors[-1] = v, -1 / model.theta
    step = combined(factors, memory.rows, place.gradient)
    if box.bounded:
        return _within(box, place, t, still, step)
    slope = factors[:-1] @ products.g.reshape(-1) + factors[-1] * products.norm * products.norm
    return Way(step, float(slope), step_to(place.x, 1.0, step))


def _within(box, place, t, still, step):
    """Return the way of a step, but for pixels that stand still at their bounds from t on."""
    x, g = place.x, place.gradient
    bound, whole = box.ends(x, g, still), step
    whole += x
    end = box.clip(whole)
    end[still] = bound
    way = Way.to(end, place)
    if way.slope <= 0:
        return way
    cauchy = step_to(x, -t, g)
    cauchy[still] = whole[still] = bound
    rest = whole - cauchy
    end = step_to(cauchy, min(1.0, box.longest(cauchy, rest)), rest)
    return Way.to(box.clip(end), place)


class QuadraticModel:
    """B as a memory shows it: `theta`, and what is multiplied with W and M.

    `slots` are the rows of the memory that W is made of.
    """

    def __init__(self, memory):
        order, room = memory.order, memory.pairs.shape[1]
        self._rows, self.slots = memory.rows, np.array([*order, *(room + i for i in order)])
        gram = memory.products.reshape(2 * room, 2 * room)[np.ix_(self.slots, self.slots)]
        k = len(order)
        self.theta = float(gram[-1, -1] / gram[k - 1, -1])
        self._scale = np.repeat([1.0, 1 / self.theta], k)
        self._gram = gram = gram * self._scale * self._scale[:, None]  # WᵀW
        ss, sy, yy = gram[:k, :k], gram[:k, k:], gram[k:, k:]
        left, right, diagonal = np.tril(sy, -1), np.triu(sy), np.diag(np.diag(sy))
        self._of_m = np.block([[ss, left], [left.T, -diagonal]])  # M⁻¹
        self._inner = -np.block([[0 * right, right], [right.T, diagonal + yy]])  # N

    def of_rows(self, products):
        """Return the products of a vector with the columns of W, from those with all rows."""
        return products.reshape(-1)[self.slots] * self._scale

    def columns(self, pixels):
        """Return the rows of W of some pixels, each as a column (2k, pixels), where they are."""
        xp = array_module(pixels)
        slots, scale = (xp.asarray(a)[:, None] for a in (self.slots, self._scale))
        return self._rows[slots, pixels] * scale

    def times_m(self, w):
        """Return M w; known within bounds alone."""
        return _solution(self._of_m, w)

    def minimum(self, wg):
        """Return the factors of the rows in -B⁻¹ g."""
        return -self._scale * _solution(self._inner, wg / self.theta)

    def minimum_within(self, place, wg, square):
        """Return t of the Cauchy point, A, and the factors of the rows in the step to the minimum.

        `square` is that of the free gradient.
        """
        g = place.gradient
        of_still, wg_held = self._over(place.held, g)
        t, met, p, q = cauchy_point(place.meeting, g, self, wg_held - wg, square)
        of_still += self._over(met, g)[0]
        mc = self.times_m(t * p - q)
        right = (t - 1 / self.theta) * p - (self._gram - of_still) @ mc
        v = _solution(self._inner + of_still, right)
        still = array_module(g).concatenate([place.held, met])
        return t, still, self._scale * (mc - v)

    def _over(self, pixels, g):
        """Return W_AᵀW_A and W_Aᵀ g over some pixels."""
        size, k = STRIP // len(self.slots), len(self.slots)
        found = np.zeros((k, k + 1))
        for part in (pixels[i : i + size] for i in range(0, pixels.size, size)):
            w = self.columns(part)
            found += to_host(w @ array_module(w).concatenate([w.T, g[part][:, None]], axis=1))
        return found[:, :k], found[:, k]


def _solution(matrix, right):
    """Return the solution of linear equations, NaN where rounding has made them singular."""
    try:
        return np.linalg.solve(matrix, right)
    except np.linalg.LinAlgError:
        return np.full_like(right, np.nan)
