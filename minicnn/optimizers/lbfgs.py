"""L-BFGS-B in our own code: vectors stay where they are, on the host or the device.

    s = x' - x,   y = g' - g    of a step from x to x';   the last m pairs are remembered

The quadratic model that they tell of the function has its minimum at x + d (`lbfgs_model`): without
bounds d = -H g, where H is the inverse Hessian that the updates of BFGS build of the pairs. It is
made of the products of these vectors, which are taken together (`lbfgs_products`). Within bounds
pixels that meet theirs on the way of steepest descent stand still there (`bounds`). The step along
d meets the strong Wolfe conditions (`line_search`). The first one goes along -g, to where the
tangent meets 0 (see `scipy_lbfgs`, which starts as long).

The steps are those of SciPy's L-BFGS-B, up to rounding, as long as every line search ends with both
conditions met; with `first_step` up to the rounding of that length.

There are (2m + 7) vectors of float32, within bounds 4 to 7 more, in the place of (2m + 5) of
float64 or so, a tenth of the arithmetic, and a `Memory` that another run can go on from.
"""

from minicnn.backend import array_module
from minicnn.optimizers.bounds import Box
from minicnn.optimizers.lbfgs_model import descent
from minicnn.optimizers.lbfgs_products import Memory, PairProducts, Place
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

SHORTEST = 2.0**-1000  # times the gradient, a first step that is not lost to rounding


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
    memory.make_room(x0.reshape(-1), maxcor)
    box = Box(bounds, array_module(x0))
    with record.restoring() as state:
        if state:
            memory.restore(state.arrays, **state.numbers["memory"])
            gradient = array_module(x0).empty_like(x0)
            fill({"gradient": gradient}, state.arrays)
            place = Place(record.accepted, gradient, box, record.trace[-1]["value"])
    if not state:
        value, gradient = record.evaluate(x0)
        place = Place(x0, gradient, box, value)
        record.accept(x0, value)
    products = PairProducts(memory, box, place)
    while True:
        if not products.norm:
            raise Stop("converged", "the gradient is 0" if record.iterations else FLAT_START)
        first = memory.scale is None
        if first:
            length = first_length(place.value, products.norm, place.x.size, first_step)
            memory.scale = max(length / products.norm, SHORTEST)
        way = descent(products, place)
        reached = None
        if way.slope < 0:
            reached = _search(products, record, place, way, maxls, first)
        if reached is None and not memory.order:
            raise Stop("stalled", NOTHING_LOWER)
        if reached is None:
            memory.order.clear()  # and try along the gradient
            continue
        products.learn()
        settled = reached.value == place.value
        place = reached
        record.accept(place.picture, place.value, products.length)
        stop_if_settled(record)
        if settled:
            raise Stop("stalled", "stalled: the value changes in no digit any more")
        arrays = {**memory.arrays(), "gradient": place.gradient.reshape(x0.shape)}
        record.pause(arrays, memory={"order": list(memory.order), "scale": memory.scale})


def _search(products, record, place, way, maxls, first):
    """Return the place that the line search reaches, or None."""
    box, last = products.box, {}

    def longest():
        return 1.0 if first and box.bounded else box.longest(place.x, way.direction)  # as SciPy

    def phi(t):
        last.clear()  # two places at a time are enough
        last[t] = products.evaluated(record, place, t, way)
        return last[t].value, last[t].slope

    step, _ = strong_wolfe(phi, place.value, way.slope, 1.0, maxls, longest)
    if step is not None and step not in last:
        phi(step)
    return last.get(step)
