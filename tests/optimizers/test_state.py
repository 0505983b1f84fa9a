"""A run that goes on from a stored state ends with the bits of one that was never stopped."""

import json

import numpy as np
import pytest
from minimised import bowl, rosenbrock, small_style

from minicnn.errors import MinicnnError
from minicnn.optimizers import METHODS, State, minimize, setulb

OPTIONS = {
    "lbfgs": {},
    "lbfgs-device": {"maxcor": 4},
    "adam": {"learning_rate": 4.0},
    "momentum": {"learning_rate": lambda t: 0.02 if t < 7 else 0.01, "restart": True},
    "gradient-descent": {"learning_rate": 0.05},
    "adagrad": {"learning_rate": 2.0},
}


def stored(state):
    """The state as a file would keep it."""
    arrays = {name: array.copy() for name, array in state.arrays.items()}
    return State(arrays, json.loads(json.dumps(state.numbers)))


def straight(name, fun, x0, **how):
    """The result of a run that is not stopped, and its states after each iteration."""
    states = []
    how = {"iterations": 16, **OPTIONS[name], **how}
    result = minimize(name, fun, x0, on_state=lambda s: states.append(stored(s)), **how)
    return result, states, how


def assert_same(result, expected):
    assert result.x.tobytes() == expected.x.tobytes()
    for name in ("value", "iterations", "evaluations", "status", "reason", "trace", "terms"):
        assert getattr(result, name) == getattr(expected, name), name


class Drawn:
    """A function that shifts the picture by random numbers."""

    def __init__(self, fun):
        self.fun, self.rngs = fun, [np.random.default_rng(5)]

    def __call__(self, x):
        return self.fun(x + x.dtype.type(self.rngs[0].normal()))


@pytest.mark.parametrize("bounds", [None, (-100.0, 90.0)])
@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("name", METHODS)
def test_it_goes_on_to_the_same_bits_from_every_iteration(name, keep, bounds):
    fun, start = small_style()
    expected, states, how = straight(name, fun, start, keep=keep, bounds=bounds)
    assert len(states) >= expected.iterations - 1
    for state in states:
        fun, start = small_style()
        assert_same(minimize(name, fun, start, state=state, **how), expected)


@pytest.mark.parametrize("name", ["lbfgs", "lbfgs-device"])
def test_it_ends_as_the_other_would(name):
    """By the value that hardly falls, which is looked at after an iteration."""
    fun, least = bowl(10, "float32")
    for problem, start in ((fun, 0 * least), (rosenbrock, np.full(6, -1.2))):
        expected, states, how = straight(name, problem, start, iterations=500)
        assert expected.status in ("converged", "stalled")
        for state in states[-3:]:
            assert_same(minimize(name, problem, start, state=state, **how), expected)


@pytest.mark.parametrize("name", METHODS)
def test_generators_of_the_function_belong_to_the_state(name):
    fun, start = small_style()
    expected, states, how = straight(name, Drawn(fun), start, iterations=8, keep="last")
    assert_same(minimize(name, Drawn(fun), start, state=states[3], **how), expected)


@pytest.mark.parametrize("name", METHODS)
def test_a_state_that_does_not_fit_is_one_line(name):
    fun, start = small_style()
    _, states, how = straight(name, fun, start, iterations=4)
    state = states[1]
    unfit = [State(state.arrays, {**state.numbers, key: "x"}) for key in state.numbers]
    for key, array in state.arrays.items():
        others = {k: v for k, v in state.arrays.items() if k != key}
        unfit += [State(others, state.numbers)]
        unfit += [State({**others, key: array.reshape(-1)[:-1]}, state.numbers)]
    for one in unfit:
        with pytest.raises(MinicnnError, match="damaged, or not that of such a search"):
            minimize(name, fun, start, state=one, **how)


def test_where_scipys_routine_is_unknown_nothing_is_told_and_nothing_goes_on(monkeypatch):
    fun, start = small_style()
    _, states, how = straight("lbfgs", fun, start)
    monkeypatch.setattr(setulb, "available", lambda: False)
    assert not straight("lbfgs", fun, start)[1]
    with pytest.raises(MinicnnError, match="use the optimizer lbfgs-device"):
        minimize("lbfgs", fun, start, state=states[0], **how)
