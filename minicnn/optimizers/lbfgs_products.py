"""The products of an L-BFGS on a device, read by the host once an evaluation.

With them the two loops of `lbfgs` need no vector: q and r stay sums of what is remembered,

    a_1 s_1 + ... + a_k s_k + b_1 y_1 + ... + b_k y_k + c g

and a product with s_i or y_i is one of such factors with known products of pairs of vectors. So the
host multiplies single numbers, in float64, and the device forms the direction at once (vector-free
L-BFGS: Chen, Wang & Zhou, NIPS 2014). After each evaluation, at x with gradient g, all that the
next direction can need is computed together: whether the arrays are finite is seen by it too.
"""

import math

import numpy as np

from minicnn.backend import to_host
from minicnn.kernels import launch
from minicnn.optimizers.vectors import Place, own, step_to

CURVATURE = 1e-8  # cosine of the angle between s and y, below which a pair is not remembered


class DeviceProducts:
    """What `lbfgs._Products` is, without bounds, for vectors on a device.

    `memory` has the pairs, `_sy` and `_yy` (k, k) the products s_i·y_j and y_i·y_j with i <= j,
    `_g` (2 k + 1,) those of the gradient with every s, every y, and itself.
    """

    def __init__(self, memory, place):
        self._memory = memory
        S, Y, k = *self._vectors(), len(memory.pairs)
        upper = np.triu_indices(k)
        pairs = [(V[i], Y[j]) for V in (S, Y) for i, j in zip(*upper, strict=True)]
        found = _read([*pairs, *((place.gradient, v) for v in (*S, *Y, place.gradient))])
        self._sy, self._yy = np.zeros((2, k, k))
        self._sy[upper], self._yy[upper], self._g = np.split(found, (len(upper[0]), len(pairs)))

    def descent(self, place):
        """See `lbfgs._Products.descent`."""
        norm, k = math.sqrt(self._g[-1]), len(self._memory.pairs)
        if not norm:
            return norm, place.gradient, 0.0
        a, b, c = np.zeros(k), np.zeros(k), -1.0
        gs, gy, sy, yy = self._g[:k], self._g[k : 2 * k], self._sy, self._yy
        yy = yy + np.triu(yy, 1).T
        for i in reversed(range(k)):
            a[i] = (c * gs[i] + sy[i, i + 1 :] @ b[i + 1 :]) / sy[i, i]
            b[i] = -a[i]
        if k:
            scale = sy[-1, -1] / yy[-1, -1]
            b, c = scale * b, scale * c
        for i in range(k):
            a[i] -= (c * gy[i] + yy[i] @ b + a[:i] @ sy[:i, i]) / sy[i, i]
        factors = np.array([*a, *b, c])
        S, Y = self._vectors()
        direction = launch.combined(factors, [*S, *Y, place.gradient])
        return norm, direction, float(factors @ self._g)

    def evaluated(self, record, place, t, direction):
        """See `lbfgs._Products.evaluated`; `learn` needs what is measured here."""
        x, found = step_to(place.x, t, direction), {}

        def finite(gradient):
            found["gradient"] = own(gradient, x)
            found["pair"] = self._measured(place, x, found["gradient"].reshape(-1), direction)
            return np.isfinite(found["pair"].numbers).all()

        value, _ = record.evaluate(x.reshape(place.picture.shape), finite)
        there = Place(x.reshape(place.picture.shape), value, found["gradient"])
        there.pair = found["pair"]
        return there, there.pair.slope

    def learn(self, before, after, most):
        """See `lbfgs._Products.learn`."""
        pair, memory = after.pair, self._memory
        memory.length = math.sqrt(pair.ss)
        self._g = pair.products_of_gradient(learnt=pair.curved)
        if pair.curved:
            memory.pairs.append((pair.s, pair.y, pair.sy, pair.yy))
            self._sy = _bordered(self._sy, [*pair.s_with_y, pair.sy])
            self._yy = _bordered(self._yy, [*pair.y_with_y, pair.yy])
        if len(memory.pairs) > most:
            k = len(memory.pairs)
            memory.pairs.pop(0)
            self._sy, self._yy = self._sy[1:, 1:], self._yy[1:, 1:]
            self._g = np.delete(self._g, [0, k])
        return memory.length

    def forget(self):
        """See `lbfgs._Products.forget`."""
        self._memory.pairs.clear()
        self._sy, self._yy, self._g = np.zeros((0, 0)), np.zeros((0, 0)), self._g[-1:]

    def _vectors(self):
        """Return what is remembered as lists S and Y."""
        return [pair[0] for pair in self._memory.pairs], [pair[1] for pair in self._memory.pairs]

    def _measured(self, place, x, gradient, direction):
        """Return the `_Pair` of the step from a place to x."""
        s, y = x - place.x, gradient - place.gradient
        S, Y = self._vectors()
        vectors = [(y, v) for v in (*S, *Y)] + [(gradient, v) for v in (*S, *Y)]
        single = [(gradient, v) for v in (direction, s, y, gradient)] + [(s, s), (s, y), (y, y)]
        return _Pair(s, y, _read([*single, *vectors]))


class _Pair:
    """A pair (s, y) that may be remembered, and all `numbers` that come with it."""

    def __init__(self, s, y, numbers):
        self.s, self.y, self.numbers = s, y, numbers
        self.slope, self._gs, self._gy, self._gg, self.ss, self.sy, self.yy = numbers[:7].tolist()
        self.s_with_y, self.y_with_y, *self._g = np.split(numbers[7:], 4)

    @property
    def curved(self):
        """Whether it tells enough of the curvature."""
        return self.sy > CURVATURE * math.sqrt(self.ss) * math.sqrt(self.yy)

    def products_of_gradient(self, learnt):
        """Return g·s, g·y of all pairs, this one too if it has been learnt, and g·g."""
        gs, gy = self._g
        if learnt:
            gs, gy = [*gs, self._gs], [*gy, self._gy]
        return np.array([*gs, *gy, self._gg])


def _bordered(matrix, column):
    """Return a matrix (k, k) with one column (k + 1,) more, and zeros below."""
    k = len(matrix)
    grown = np.zeros((k + 1, k + 1))
    grown[:k, :k], grown[:, k] = matrix, column
    return grown


def _read(pairs):
    """Return the products of pairs of vectors; this waits for the device."""
    return to_host(launch.dots(pairs))
