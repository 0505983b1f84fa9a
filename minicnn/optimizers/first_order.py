"""Gradient descent, momentum, Adam, AdaGrad: one evaluation per iteration, no line search.

With g the gradient at x, η the learning rate and t the iteration from 1:

    gradient-descent   x <- x - η·g
    momentum           v <- μ·v - η·g;    x <- x + v
    adam               m <- β1·m + (1-β1)·g;    s <- β2·s + (1-β2)·g²
                       x <- x - η · m/(1-β1^t) / (sqrt(s/(1-β2^t)) + ε)
    adagrad            G <- μ·G + g²;    v <- μ·v - g / (1/η + sqrt(G));    x <- x + v

Momentum is Mahendran & Vedaldi's form (arXiv 1412.0035), Adam is Kingma & Ba's (arXiv 1412.6980);
AdaGrad, with a memory that fades, is that of Mahendran & Vedaldi 2016 (arXiv 1512.02017).
Adam's first steps are η in every pixel, whatever the scale of the function; the other two need a
rate that fits the function. The learning rate is a number or a function of the iteration. With
bounds, x is clipped after each step.
"""

import math
from itertools import count

from minicnn.backend import array_module
from minicnn.errors import MinicnnError
from minicnn.optimizers.record import FLAT_START, Record, Stop, fill

STALL = 20  # iterations in a row without any change of the value
SETTLED = 10  # iterations whose values say what is large for this function
DIVERGED = 1e3  # times the largest of these, or the first value where no step has led below it


def gradient_descent(record: Record, x0, bounds, *, learning_rate=None):
    """Minimise by gradient descent; called by `minimize`."""
    rate = _schedule("gradient-descent", learning_rate)
    _descend(record, x0, bounds, lambda g, t: -rate(t) * g, {})


def momentum(
    record: Record, x0, bounds, *, learning_rate=None, momentum: float = 0.9, restart: bool = False
):
    """Minimise by gradient descent with momentum, from 0 to below 1; called by `minimize`.

    `learning_rate` is a number or a function of the iteration. `restart` sets the velocity to 0
    whenever the learning rate changes, as Mahendran & Vedaldi do.
    """
    rate = _schedule("momentum", learning_rate)
    _check_fraction("momentum", momentum)
    velocity = array_module(x0).zeros_like(x0)

    def step(g, t):
        eta = rate(t)
        if restart and t > 1 and eta != rate(t - 1):
            velocity[...] = 0
        velocity[...] = momentum * velocity - eta * g
        return velocity

    _descend(record, x0, bounds, step, {"velocity": velocity})


def adam(
    record: Record,
    x0,
    bounds,
    *,
    learning_rate=1.0,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
):
    """Minimise by Adam; called by `minimize`.

    `learning_rate`, a number or a function of the iteration, is in units of x: 1 is a grey level
    where pixels run from 0 to 255. The betas are from 0 to below 1.
    """
    rate = _schedule("adam", learning_rate)
    _check_fraction("beta1", beta1)
    _check_fraction("beta2", beta2)
    xp = array_module(x0)
    mean, square = xp.zeros_like(x0), xp.zeros_like(x0)

    def step(g, t):
        mean[...] = beta1 * mean + (1 - beta1) * g
        square[...] = beta2 * square + (1 - beta2) * xp.square(g)
        spread = xp.sqrt(square / (1 - beta2**t)) + epsilon
        return -rate(t) / (1 - beta1**t) * mean / spread

    _descend(record, x0, bounds, step, {"mean": mean, "square": square})


def adagrad(record: Record, x0, bounds, *, learning_rate=None, memory: float = 0.9, project=None):
    """Minimise by AdaGrad that forgets, with momentum; called by `minimize`.

    `learning_rate`, a number or a function of the iteration, bounds the step where gradients have
    been small. `memory`, from 0 to below 1, is what is kept of the sum of squares and of the step
    from one iteration to the next. project(x) -> x leads onto the set that x is to stay in, after
    each step.
    """
    rate = _schedule("adagrad", learning_rate)
    _check_fraction("memory", memory)
    xp = array_module(x0)
    squares, velocity = xp.zeros_like(x0), xp.zeros_like(x0)

    def step(g, t):
        squares[...] = memory * squares + xp.square(g)
        velocity[...] = memory * velocity - g / (1 / rate(t) + xp.sqrt(squares))
        return velocity

    _descend(record, x0, bounds, step, {"squares": squares, "velocity": velocity}, project)


def _descend(record, x, bounds, step, arrays, project=None):
    """Take steps until the record, a stall or divergence ends the run.

    `arrays` are those of which `step` makes use.
    """
    xp = array_module(x)
    with record.restoring() as state:
        if state:
            x, gradient = record.accepted, xp.asarray(state.arrays["gradient"]).reshape(x.shape)
            fill(arrays, state.arrays)
            lowest, large, unchanged = map(float, state.numbers["course"])
    if not state:
        value, gradient = record.evaluate(x)
        record.accept(x, value)
        if not gradient.any():
            raise Stop("converged", FLAT_START)
        lowest, large, unchanged = math.inf, abs(value), 0
    first, value = record.trace[0]["value"], record.trace[-1]["value"]
    for t in count(record.iterations + 1):
        x = xp.add(x, step(gradient, t), dtype=x.dtype)
        if bounds is not None:
            x = xp.clip(x, *bounds)
        if project is not None:
            x = project(x)
        before = value
        try:
            value, gradient = record.evaluate(x)
            lowest = min(lowest, value)
            record.accept(x, value)
        except Stop as stop:
            climbed = record.keep == "best" and t >= SETTLED and lowest > first
            if stop.status == "budget" and climbed:  # what is kept is the start
                raise Stop(
                    "diverged",
                    f"diverged: no step led below the {first:.3g} of the start, the best to "
                    f"{lowest:.3g}; use a lower learning rate",
                ) from None
            raise
        if t <= SETTLED:
            large = max(large, abs(value))
        elif value > DIVERGED * (large if lowest <= first else abs(first)):
            raise Stop(
                "diverged",
                f"diverged: value {value:.3g} in iteration {t}; use a lower learning rate",
            )
        unchanged = unchanged + 1 if value == before else 0
        if unchanged == STALL:
            raise Stop("stalled", f"stalled: the value has not changed for {STALL} iterations")
        record.pause({**arrays, "gradient": gradient}, course=[lowest, large, unchanged])


def _schedule(name, rate):
    if callable(rate):
        return lambda t: float(rate(t))
    if rate is None:
        raise MinicnnError(f"{name} needs learning_rate; try a value and lower it if it diverges")
    if not 0 < rate < math.inf:
        raise MinicnnError(f"learning_rate = {rate}; use a positive number")
    return lambda t: float(rate)


def _check_fraction(name, value):
    if not 0 <= value < 1:
        raise MinicnnError(f"{name} = {value}; use a number from 0 to below 1")
