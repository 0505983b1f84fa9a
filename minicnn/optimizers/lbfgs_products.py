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
    that are remembered, oldest first. Without any the next step is `scale` times the gradient, as
    the first one was.
    """

    pairs: Any = field(default=None, repr=False)
    order: list = field(default_factory=list)
    scale: float | None = None

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

    def restore(self, arrays, order, scale) -> None:
        """Remember such arrays."""
        if len({*order}) < len(order) or not {*order} < {*range(self.pairs.shape[1])}:
            raise ValueError
        self.order, self.scale = list(order), float(scale)
        fill(self.arrays(), arrays)


class Place:
    """A picture with its gradient.

    Within bounds `meeting` is where its pixels meet theirs on the way along -g, and `free` the
    gradient with 0 where this is at once; without bounds it is the gradient.
    """

    def __init__(self, picture, gradient, box, value=None):
        self.picture, self.x = picture, picture.reshape(-1)
        self.gradient = self.free = own(gradient, picture).reshape(-1)
        if box.bounded:
            self.meeting = box.meeting(self.x, self.gradient)
            self.free = self.gradient * (self.meeting > 0)  # faster than xp.where
        self.value, self.slope = value, None

    def held(self, t):
        """Return which pixels stand still at their bounds from this t on, or sooner."""
        return array_module(self.meeting).flatnonzero(~(self.meeting > t))


class PairProducts:
    """The products of what is remembered with one another, and with the gradient at a place.

    By slots: `pairs` (2, m + 1, 2, m + 1) has those of every s and y with every s and y; without
    bounds of s only those with y that is not older. `g` (2, m + 1) has those of the free gradient
    with every s and y. `norm` is the free gradient's, `length` that of the last step.
    """

    def __init__(self, memory, box, place):
        self.memory, self.box = memory, box
        self.pairs = np.zeros(2 * memory.pairs.shape[:2])
        for slot in memory.order:
            self._keep(slot, self._of(self._learnt(slot))[0])
        (self.g,), (square,) = self._of([place.free], [(place.free, place.free)])
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
        """Remember the step to the place that was evaluated last."""
        slot = self.memory.spare
        (*learnt, self.g), (_, *squares) = self._found
        self.norm, self.length = map(math.sqrt, squares)
        sy, yy = learnt[0][:, slot]
        if sy > CURVATURE * self.length * math.sqrt(yy):
            self._keep(slot, learnt)
            self.memory.remember_spare()

    def _measure(self, before, after, direction):
        """Take all products of the step between two places; return whether they are finite."""
        slot = self.memory.spare
        s, y = self.memory.pairs[:, slot]
        xp = array_module(s)
        xp.subtract(after.x, before.x, out=s)
        xp.subtract(after.gradient, before.gradient, out=y)
        pairs = [(after.gradient, direction), (after.free, after.free), (s, s)]
        self._found = self._of([*self._learnt(slot), after.free], pairs)
        after.slope = float(self._found[1][0])
        return all(np.isfinite(found).all() for found in self._found)

    def _learnt(self, slot):
        """Return the vectors of a slot of which all products are taken: y, with bounds s too."""
        s, y = self.memory.pairs[:, slot]
        return [y, s] if self.box.bounded else [y]

    def _keep(self, slot, learnt):
        """Keep the products of the vectors of a slot with every s and y."""
        for vector, found in zip((1, 0), learnt, strict=False):
            self.pairs[vector, slot] = self.pairs[:, :, vector, slot] = found

    def _of(self, vectors, pairs=()):
        """Return the products of vectors with all rows (vectors, 2, m + 1), and those of pairs."""
        found, single = products(self.memory.rows, vectors, pairs)
        return found.reshape(len(vectors), 2, -1), single
