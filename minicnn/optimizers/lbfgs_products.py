"""What an L-BFGS remembers, and the products of these vectors, from which its direction comes.

With the products the two loops of `lbfgs` need no vector: q and r stay sums of what is remembered,

    a_1 s_1 + ... + a_k s_k + b_1 y_1 + ... + b_k y_k + c g

and a product with s_i or y_i is one of such factors with known products of pairs of vectors. So the
loops multiply single numbers. For -H g, from a = b = 0 and c = -1:

    newest pair to oldest    α_i = (c g·s_i + Σ_j b_j y_j·s_i) / s_i·y_i,      b_i = -α_i
                             b <- γ b,  c <- γ c
    oldest pair to newest    a_i = α_i - (c g·y_i + Σ_j b_j y_j·y_i + Σ_j a_j s_j·y_i) / s_i·y_i

The direction is formed at once (vector-free L-BFGS: Chen, Wang & Zhou, NIPS 2014). Vectors have
the dtype of x, products and sums of two are float64. After each evaluation, at x with gradient g,
all that the next direction can need is computed together, in one pass over what is remembered, and
read from a device once: whether the arrays are finite is seen by it too.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn.backend import array_module
from minicnn.optimizers.record import fill
from minicnn.optimizers.vectors import combined, dot, own, products, step_to

CURVATURE = 1e-8  # cosine of the angle between s and y, below which a pair is not remembered


@dataclass
class Memory:
    """What L-BFGS has learnt; a run that is given it goes on as if it had never ended.

    `pairs` (2, m + 1, n) has s and y in m slots and in a spare one, `order` the slots of the pairs
    that are remembered, oldest first. `length` is that of the last step.
    """

    pairs: Any = field(default=None, repr=False)
    order: list = field(default_factory=list)
    length: float | None = None

    def make_room(self, x, most: int) -> None:
        """Have slots for `most` pairs of vectors like x; the newest stay."""
        before, kept = self.pairs, self.order[-most:]
        if before is None or before.shape[1] != most + 1:
            self.pairs = array_module(x).zeros((2, most + 1, x.size), x.dtype)
            for slot, old in enumerate(kept):
                self.pairs[:, slot] = before[:, old]
            self.order = list(range(len(kept)))
        self.pairs[:, self.spare] = 0  # it may hold what overflowed

    @property
    def spare(self) -> int:
        """The first slot without a pair."""
        return next(i for i in range(self.pairs.shape[1]) if i not in self.order)

    @property
    def rows(self):
        """Every s, then every y: (2 m + 2, n)."""
        return self.pairs.reshape(-1, self.pairs.shape[2])

    def remember_spare(self) -> None:
        """Remember the pair in the spare slot, in the stead of the oldest if there are m."""
        self.order.append(self.spare)
        if len(self.order) == self.pairs.shape[1]:
            self.order.pop(0)

    def arrays(self) -> dict:
        """Return what is remembered as {name: array}."""
        return {f"{k}{i}": self.pairs[j, i] for j, k in enumerate("sy") for i in self.order}

    def restore(self, arrays, order, length) -> None:
        """Remember such arrays."""
        if len({*order}) < len(order) or not {*order} < {*range(self.pairs.shape[1])}:
            raise ValueError
        self.order, self.length = list(order), length if length is None else float(length)
        fill(self.arrays(), arrays)


class Box:
    """The bounds of the pixels, if there are any."""

    def __init__(self, bounds, xp):
        self._xp = xp
        self.low, self.high = (None, None) if bounds is None else (b.reshape(-1) for b in bounds)

    def clip(self, x):
        """Return x moved into the bounds."""
        return x if self.low is None else self._xp.clip(x, self.low, self.high)

    def held(self, direction, wanted, x):
        """Return the direction with 0 where another one leads x, at a bound, out of it."""
        if self.low is None:
            return direction
        out = ((x <= self.low) & (wanted < 0)) | ((x >= self.high) & (wanted > 0))
        return direction * ~out  # faster than xp.where


class Place:
    """A picture with its gradient; `free` is that of the pixels that the bounds let go down."""

    def __init__(self, picture, gradient, box, value=None):
        self.picture, self.x = picture, picture.reshape(-1)
        self.gradient = own(gradient, picture).reshape(-1)
        self.free = box.held(self.gradient, -self.gradient, self.x)
        self.value, self.slope = value, None


class PairProducts:
    """The products of what is remembered with one another, and with the gradient at a place.

    By slots: `_sy` and `_yy` (m + 1, m + 1) have s_i·y_j, where j is not older than i, and y_i·y_j,
    `_g` (2, m + 1) those of the free gradient with every s and y. `norm` is the free gradient's.
    """

    def __init__(self, memory, box, place):
        self._memory, self._box = memory, box
        self._sy, self._yy = np.zeros((2, memory.pairs.shape[1], memory.pairs.shape[1]))
        for slot in memory.order:
            self._keep(slot, self._of([memory.pairs[1, slot]])[0][0])
        (self._g,), (square,) = self._of([place.free], [(place.free, place.free)])
        self.norm = math.sqrt(square)

    def descent(self, place):
        """Return (direction, slope along it): -H g, and what it loses to the bounds is 0."""
        (a, b), c = np.zeros((2, len(self._sy))), -1.0
        (gs, gy), sy, yy, order = self._g, self._sy, self._yy, self._memory.order
        alphas = np.zeros_like(a)
        for i in reversed(order):  # b is 0 for what is older
            alphas[i] = (c * gs[i] + sy[i] @ b) / sy[i, i]
            b[i] = -alphas[i]
        if order:
            scale = sy[order[-1], order[-1]] / yy[order[-1], order[-1]]
            b, c = scale * b, scale * c
        for i in order:  # a is 0 for what is newer
            a[i] = alphas[i] - (c * gy[i] + yy[i] @ b + a @ sy[:, i]) / sy[i, i]
        direction = combined([*a, *b, c], self._memory.rows, place.free)
        if self._box.low is None:
            return direction, float(a @ gs + b @ gy + c * self.norm**2)
        direction = self._box.held(direction, -place.gradient, place.x)
        return direction, dot(place.gradient, self._box.held(direction, direction, place.x))

    def evaluated(self, record, place, t, direction):
        """Return the place so far along the direction, with the slope there."""
        x = self._box.clip(step_to(place.x, t, direction))
        picture, places = x.reshape(place.picture.shape), []

        def finite(gradient):
            places.append(Place(picture, gradient, self._box))
            return self._measure(place, places[0], direction)

        value, _ = record.evaluate(picture, finite)
        places[0].value = value
        return places[0]

    def learn(self):
        """Remember the step to the place that was evaluated last."""
        slot = self._memory.spare
        (with_y, self._g), (_, *squares) = self._found
        self.norm, self._memory.length = map(math.sqrt, squares)
        sy, yy = with_y[:, slot]
        if sy > CURVATURE * self._memory.length * math.sqrt(yy):
            self._keep(slot, with_y)
            self._memory.remember_spare()

    def _measure(self, before, after, direction):
        """Take all products of the step between two places; return whether they are finite."""
        s, y = self._memory.pairs[:, self._memory.spare]
        xp = array_module(s)
        xp.subtract(after.x, before.x, out=s)
        xp.subtract(after.gradient, before.gradient, out=y)
        moving = self._box.held(direction, direction, after.x)
        pairs = [(after.gradient, moving), (after.free, after.free), (s, s)]
        self._found = self._of([y, after.free], pairs)
        after.slope = float(self._found[1][0])
        return all(np.isfinite(found).all() for found in self._found)

    def _keep(self, slot, with_y):
        """Keep the products of y in a slot with every s and y, (2, m + 1)."""
        self._sy[:, slot] = with_y[0]
        self._yy[:, slot] = self._yy[slot] = with_y[1]

    def _of(self, vectors, pairs=()):
        """Return the products of vectors with all rows (vectors, 2, m + 1), and those of pairs."""
        found, single = products(self._memory.rows, vectors, pairs)
        return found.reshape(len(vectors), 2, -1), single
