"""What an L-BFGS remembers, and the products of these vectors, from which its direction comes.

With the products its model needs no vector (`lbfgs_model`; vector-free L-BFGS: Chen, Wang & Zhou,
NIPS 2014). Vectors have the dtype of x, products and sums of two are float64. After each
evaluation, at x with gradient g, all that the next direction can need is computed together, in one
pass over what is remembered, and read from a device once: whether the arrays are finite is seen by
it too. Within bounds the rest is read when it is known (`bounds`).
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn.backend import array_module
from minicnn.optimizers.record import fill
from minicnn.optimizers.vectors import own, products, step_to

CURVATURE = 1e-8  # cosine of the angle between s and y, below which a pair is not remembered


@dataclass
class Memory:
    """What L-BFGS has learnt; a run that is given it goes on as if it had never ended.

    `pairs` (2, m + 1, n) has s and y in m slots and in a spare one, `order` the slots of the pairs
    that are remembered, oldest first. `products` (2, m + 1, 2, m + 1) are those of every s and y
    with every s and y; a run without bounds has those of s with y that is not older and of y with
    y. Without any pair the next step is `scale` times the gradient, as the first one was.
    """

    pairs: Any = field(default=None, repr=False)
    products: Any = field(default=None, repr=False)
    order: list = field(default_factory=list)
    scale: float | None = None

    def make_room(self, x, most: int) -> None:
        """Have slots for `most` pairs of vectors like x; the newest stay."""
        before, kept = self.pairs, self.order[-most:]
        if before is None or before.shape[1] != most + 1:
            known, self.products = self.products, np.full(2 * (2, most + 1), np.nan)
            self.pairs = array_module(x).zeros((2, most + 1, x.size), x.dtype)
            for slot, old in enumerate(kept):
                self.pairs[:, slot] = before[:, old]
                self.products[:, slot, :, : len(kept)] = known[:, old][:, :, kept]
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
        pairs = {f"{k}{i}": self.pairs[j, i] for j, k in enumerate("sy") for i in self.order}
        return {**pairs, "products": self.products}

    def restore(self, arrays, order, scale) -> None:
        """Remember such arrays."""
        if len({*order}) < len(order) or not {*order} < {*range(self.pairs.shape[1])}:
            raise ValueError
        self.order, self.scale = list(order), float(scale)
        fill(self.arrays(), arrays)


class Place:
    """A picture with its gradient; `x`, `gradient` and `free` are vectors (n,).

    Within bounds `meeting` (n,) is where its pixels meet theirs on the way along -g, `held` which
    ones do at once, and `free` the gradient with 0 for these; without bounds it is the gradient.
    """

    def __init__(self, picture, gradient, box, value=None):
        self.picture, self.x = picture, picture.reshape(-1)
        self.gradient = self.free = own(gradient, picture).reshape(-1)
        self.meeting = self.held = None
        if box.bounded:
            self.meeting = box.meeting(self.x, self.gradient)
            self.held = array_module(self.x).flatnonzero(~(self.meeting > 0))
            self.free = self.gradient.copy()
            self.free[self.held] = 0
        self.value, self.slope = value, None


class PairProducts:
    """The products of what is remembered with one another, and with the gradient at a place.

    `g` (2, m + 1) has those of the gradient with every s and y. `norm` is the free gradient's,
    `length` that of the last step.
    """

    def __init__(self, memory, box, place):
        self.memory, self.box = memory, box
        (self.g,), (square,) = self._of([place.gradient], [(place.free, place.free)])
        self.norm = math.sqrt(square)

    def evaluated(self, record, place, t, way):
        """Return the place so far along the way, with the slope there."""
        x = way.end if t == 1 else self.box.clip(step_to(place.x, t, way.direction))
        picture, places = x.reshape(place.picture.shape), []

        def finite(gradient):
            places.append(Place(picture, gradient, self.box))
            return self._measure(place, places[0], way.direction)

        value, _ = record.evaluate(picture, finite)
        places[0].value = value
        return places[0]

    def learn(self):
        """Remember the step to the place that was evaluated last.

        The products of y with older vectors are differences of those of the gradients.
        """
        (with_g, *with_s), (_, *squares, sy, yy) = self._found
        self.norm, self.length = map(math.sqrt, squares)
        theta = yy / sy if sy > CURVATURE * self.length * math.sqrt(yy) else 0
        if 0 < theta < math.inf:  # not lost to underflow or overflow
            slot, with_y, known = self.memory.spare, with_g - self.g, self.memory.products
            with_y[:, slot] = sy, yy
            known[0, slot] = known[:, :, 0, slot] = np.nan  # of the pair that was here
            for vector, found in ((1, with_y), *((0, found) for found in with_s)):
                known[vector, slot] = known[:, :, vector, slot] = found
            self.memory.remember_spare()
        self.g = with_g

    def _measure(self, before, after, direction):
        """Take all products of the step between two places; return whether they are finite."""
        s, y = self.memory.pairs[:, self.memory.spare]
        xp, g = array_module(s), after.gradient
        xp.subtract(after.x, before.x, out=s)
        xp.subtract(g, before.gradient, out=y)
        vectors = [g, s] if self.box.bounded else [g]
        pairs = [(g, direction), (after.free, after.free), (s, s), (s, y), (y, y)]
        self._found = self._of(vectors, pairs)
        after.slope = float(self._found[1][0])
        return all(np.isfinite(found).all() for found in self._found)

    def _of(self, vectors, pairs):
        """Return the products of vectors with all rows (vectors, 2, m + 1), and those of pairs."""
        found, single = products(self.memory.rows, vectors, pairs)
        return found.reshape(len(vectors), 2, -1), single
