import naive
import numpy as np
import pytest
from op_testing import MEMORY, agree, by_torch, is_channels_last, stored

from minicnn.errors import MinicnnError
from minicnn.gradcheck import checks
from minicnn.gradcheck.ops import distinct
from minicnn.ops import relu

memories = pytest.mark.parametrize("memory", MEMORY)
SHAPE = (2, 3, 5, 4)


def with_zeros(rng):
    x = rng.standard_normal(SHAPE)
    x[rng.random(SHAPE) < 0.2] = 0
    return x


@memories
def test_forward_is_the_loop(rng, memory):
    x = stored(with_zeros(rng), memory)
    y, positive = relu.forward(x)
    agree(y, naive.relu(x), memory[0])
    assert positive.dtype == bool
    np.testing.assert_array_equal(positive, x > 0)


@pytest.mark.smoke
@memories
@pytest.mark.parametrize("rule", relu.RULES)
def test_every_rule_is_the_loop(rng, memory, rule):
    x, dy = (stored(with_zeros(rng), memory) for _ in "xy")
    dx = relu.backward(dy, relu.forward(x)[1], rule)
    agree(dx, naive.relu_backward(dy, x, rule), memory[0])


def test_the_three_rules_are_these():
    x = np.array([1.0, 1.0, -1.0, -1.0])
    dy = np.array([2.0, -2.0, 2.0, -2.0])
    dx = {rule: relu.backward(dy, relu.forward(x)[1], rule).tolist() for rule in relu.RULES}
    assert dx == {
        "gradient": [2, -2, 0, 0],
        "deconvnet": [2, 0, 2, 0],
        "guided": [2, 0, 0, 0],
    }


def check(rule, rng):
    return checks.check_vjp(
        lambda x: relu.forward(x)[0],
        lambda dy, x: relu.backward(dy, relu.forward(x)[1], rule),
        distinct(rng, SHAPE),
        rng,
    )


def test_the_gradient_rule_is_the_default_and_a_gradient(rng):
    assert check("gradient", rng) < 1e-6
    x, dy = rng.standard_normal(SHAPE), rng.standard_normal(SHAPE)
    _, cache = relu.forward(x)
    np.testing.assert_array_equal(relu.backward(dy, cache), relu.backward(dy, cache, "gradient"))


@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
@pytest.mark.parametrize("seed", range(5))
def test_the_other_rules_are_refused_as_gradients(rule, seed):
    assert check(rule, np.random.default_rng(seed)) > 1e-2


def test_torch(rng):
    x, dy = rng.standard_normal(SHAPE), rng.standard_normal(SHAPE)
    y, dx = by_torch(lambda torch, x: torch.relu(x), dy, x)
    agree(relu.forward(x)[0], y)
    agree(relu.backward(dy, relu.forward(x)[1]), dx)


def test_at_zero_the_gradient_is_zero_as_in_torch():
    _, dx = by_torch(lambda torch, x: torch.relu(x), np.ones(1), np.zeros(1))
    assert relu.backward(np.ones(1), relu.forward(np.zeros(1))[1]) == dx == 0


def test_infinities_pass():
    y, _ = relu.forward(np.array([-np.inf, np.inf]))
    assert y.tolist() == [0, np.inf]


def test_channels_last_in_memory_stays(rng):
    x = stored(rng.standard_normal(SHAPE), ("float32", "channels-last"))
    y, positive = relu.forward(x)
    assert is_channels_last(y)
    assert is_channels_last(positive)
    for rule in relu.RULES:
        assert is_channels_last(relu.backward(x, positive, rule))


def test_unknown_rule():
    with pytest.raises(MinicnnError, match="'guide'; the rules are gradient, deconvnet, guided"):
        relu.backward(np.ones(1), np.ones(1, bool), "guide")
