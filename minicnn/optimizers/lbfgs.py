"""L-BFGS in our own code: vectors stay where they are, on the host or the device.

    d = -H g        s = x' - x,   y = g' - g        ρ = 1 / (s·y)

H is the inverse Hessian as the last m pairs (s, y) show it, never formed: two loops over the pairs
multiply it with g (Nocedal & Wright, Numerical Optimization, 2nd ed., algorithm 7.4),

    newest pair to oldest    α = ρ s·q;     q <- q - α y             from q = g
                             r = γ q,       γ = s·y / y·y            of the newest pair
    oldest pair to newest    r <- r + (α - ρ y·r) s                  to  r = H g

Vectors have the dtype of x, products and sums of two vectors are float64, and only those sums reach
the host. On a device they are taken and read all at once (`lbfgs_products`). The step along d meets
the strong Wolfe conditions (`line_search`). The first one goes along -g, to where the
tangent meets 0 (see `scipy_lbfgs`, which starts as long).

With bounds, pixels at a bound that the gradient pushes outwards stand still, H works on the rest,
and every trial is clipped: Bertsekas' projection with two metrics (SIAM J. Control 20, 1982).

Against SciPy's L-BFGS-B: (2m + 6) vectors of float32 in the place of (2m + 5) of float64 or so, a
tenth of its arithmetic, and a `Memory` that another run can go on from.
"""

import math
from dataclasses import dataclass, field

from minicnn.backend import array_module
from minicnn.kernels import launch
from minicnn.optimizers.lbfgs_products import CURVATURE, DeviceProducts
from minicnn.optimizers.line_search import strong_wolfe
from minicnn.optimizers.record import (
    FLAT_START,
    NOTHING_LOWER,
    Record,
    Stop,
    check_line_search,
    fill,
    first_length,
    stop_if_settled,
)
from minicnn.optimizers.vectors import Place, add_scaled, dot, own, step_to

SY = ((0, "s"), (1, "y"))  # their places in a pair


@dataclass
class Memory:
    """What L-BFGS has learnt; a run that is given it goes on as if it had never ended.

    `pairs` has (s, y, s·y, y·y), oldest first; s, y: flat arrays. `length` is that of the last
    step.
    """

    pairs: list = field(default_factory=list)
    length: float | None = None
    _spare: tuple | None = field(default=None, repr=False)  # arrays for the next pair

    def learn(self, before, after, most: int) -> None:
        """Remember the pair of two places in the stead of the oldest of `most`."""
        xp = array_module(before.x)
        s, y = self._spare or (xp.empty_like(before.x), xp.empty_like(before.x))
        self._spare = None
        xp.subtract(after.x, before.x, out=s)
        xp.subtract(after.gradient, before.gradient, out=y)
        self.length = math.sqrt(dot(s, s))
        sy, yy = dot(s, y), dot(y, y)
        if sy > CURVATURE * self.length * math.sqrt(yy):
            self.pairs.append((s, y, sy, yy))
            if len(self.pairs) > most:
                self._spare = self.pairs.pop(0)[:2]
        else:
            self._spare = (s, y)

    def arrays(self) -> dict:
        """Return what is remembered as {name: array}."""
        return {f"{kind}{i}": pair[j] for i, pair in enumerate(self.pairs) for j, kind in SY}

    def restore(self, arrays, like, sums, length) -> None:
        """Remember such arrays, with [s·y, y·y] of each pair."""
        self.pairs, self.length = [], length if length is None else float(length)
        for i, (sy, yy) in enumerate(sums):
            own = {f"{kind}{i}": array_module(like).empty_like(like) for _, kind in SY}
            fill(own, arrays)
            self.pairs.append((*own.values(), float(sy), float(yy)))

    def multiply(self, q) -> None:
        """Q <- H q, in place."""
        alphas = []
        for s, y, sy, _ in reversed(self.pairs):
            alphas.append(dot(s, q) / sy)
            add_scaled(q, -alphas[-1], y)
        if self.pairs:
            _, _, sy, yy = self.pairs[-1]
            q *= q.dtype.type(sy / yy)
        for s, y, sy, _ in self.pairs:
            add_scaled(q, alphas.pop() - dot(y, q) / sy, s)


def lbfgs_device(
    record: Record,
    x0,
    bounds,
    *,
    maxcor: int = 10,
    first_step: float | None = None,
    maxls: int = 20,
    memory: Memory | None = None,
):
    """Minimise by L-BFGS where x0 is; called by `minimize`.

    Parameters
    ----------
    maxcor : int
        Pairs remembered.
    first_step : float, optional
        Root mean square change of x in the first trial step, in units of x (a few grey levels).
    maxls : int
        Evaluations that one line search may use.
    memory : Memory, optional
        Of a run before, whose last x is x0. It is changed, and holds at the end what this run has
        learnt: going on with it takes the steps, to the bit, of a run that was never interrupted.
    """
    check_line_search(maxcor, first_step, maxls)
    memory = Memory() if memory is None else memory
    box = _Box(bounds, array_module(x0))
    with record.restoring() as state:
        if state:
            place = Place(
                record.accepted, record.trace[-1]["value"], array_module(x0).empty_like(x0)
            )
            fill({"gradient": place.gradient}, state.arrays)
            sums, length = state.numbers["sums"], state.numbers["length"]
            memory.restore(state.arrays, place.x, sums, length)
    if not state:
        place = _evaluated(record, x0)
        record.accept(x0, place.value)
    at_once = bounds is None and launch.suit(x0)
    ways = DeviceProducts(memory, place) if at_once else _Products(memory, box)
    while True:
        norm, direction, slope = ways.descent(place)
        if not norm:
            raise Stop("converged", "the gradient is 0" if record.iterations else FLAT_START)
        trial = 1.0
        if not memory.pairs:
            size = place.x.size
            length = memory.length or first_length(place.value, norm, size, first_step)
            trial = length / norm
        reached = None
        if slope < 0:
            reached = _search(ways, record, place, direction, slope, trial, maxls)
        if reached is None and not memory.pairs:
            raise Stop("stalled", NOTHING_LOWER)
        if reached is None:
            ways.forget()  # and try along the gradient
            continue
        length = ways.learn(place, reached, maxcor)
        settled = reached.value == place.value
        place = reached
        record.accept(place.picture, place.value, length)
        stop_if_settled(record)
        if settled:
            raise Stop("stalled", "stalled: the value changes in no digit any more")
        sums = [pair[2:] for pair in memory.pairs]
        arrays = {**memory.arrays(), "gradient": place.gradient}
        record.pause(arrays, sums=sums, length=memory.length)


class _Products:
    """What `lbfgs_device` asks of vectors, product by product: on the host, and with bounds."""

    def __init__(self, memory, box):
        self._memory, self._box = memory, box

    def descent(self, place):
        """Return (norm of the gradient, direction, slope along it); norm 0 without a gradient."""
        direction = -place.gradient
        self._box.hold(direction, place.x, place.gradient)
        if not direction.any():
            return 0.0, direction, 0.0
        norm = math.sqrt(dot(direction, direction))
        if self._memory.pairs:
            self._memory.multiply(direction)
            self._box.hold(direction, place.x, place.gradient)
        return norm, direction, self._box.slope(place.gradient, direction, place.x)

    def evaluated(self, record, place, t, direction):
        """Return the place so far along the direction, and the slope there."""
        x = self._box.clip(step_to(place.x, t, direction))
        there = _evaluated(record, x.reshape(place.picture.shape))
        return there, self._box.slope(there.gradient, direction, x)

    def learn(self, before, after, most):
        """Remember the pair of two places, and return the length of the step if it is known."""
        self._memory.learn(before, after, most)

    def forget(self):
        """Remember no pair any more."""
        self._memory.pairs.clear()


def _evaluated(record, picture):
    """Return the place of a picture."""
    value, gradient = record.evaluate(picture)
    return Place(picture, value, own(gradient, picture))


class _Box:
    """The bounds of the pixels, if there are any."""

    def __init__(self, bounds, xp):
        self.xp = xp
        self.low, self.high = (None, None) if bounds is None else (b.reshape(-1) for b in bounds)

    def clip(self, x):
        """Return x moved into the bounds."""
        return x if self.low is None else self.xp.clip(x, self.low, self.high)

    def hold(self, direction, x, gradient):
        """Set the direction to 0 in the pixels that the gradient pushes out."""
        if self.low is not None:
            direction[self._outwards(x, -gradient)] = 0

    def slope(self, gradient, direction, x):
        """Return the derivative along the direction, in which clipped pixels take no part."""
        if self.low is None:
            return dot(gradient, direction)
        return dot(gradient, self.xp.where(self._outwards(x, direction), 0, direction))

    def _outwards(self, x, direction):
        return ((x <= self.low) & (direction < 0)) | ((x >= self.high) & (direction > 0))


def _search(ways, record, place, direction, slope, trial, maxls):
    """Return the place that the line search reaches, or None."""
    last = {}

    def phi(t):
        last.clear()  # two places at a time are enough
        last[t], along = ways.evaluated(record, place, t, direction)
        return last[t].value, along

    step, _ = strong_wolfe(phi, place.value, slope, trial, maxls)
    if step is not None and step not in last:
        phi(step)
    return last.get(step)
