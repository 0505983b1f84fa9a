"""Gradient times input and integrated gradients: completeness, and Captum's numbers."""

import numpy as np
import pytest
from look_testing import classifier

from minicnn.methods.attribution import integrated
from minicnn.methods.attribution.target import Target, value_and_gradient
from minicnn.network.layers import Linear, Softmax


@pytest.fixture
def x0(rng, x):
    return 0.3 * rng.standard_normal(x.shape)


def test_gradient_times_input_is_that_of_captum(net, twin, x, target):
    attr, torch = pytest.importorskip("captum.attr"), pytest.importorskip("torch")
    expected = attr.InputXGradient(twin).attribute(
        torch.from_numpy(x).requires_grad_(), target=target.units.tolist()
    )
    ours = integrated.gradient_times_input(net, x, 0 * x, target)
    np.testing.assert_allclose(ours, expected.detach().numpy(), rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("steps", [2, 7, 20])
def test_integrated_gradients_are_those_of_captum(net, twin, x, x0, target, steps):
    attr, torch = pytest.importorskip("captum.attr"), pytest.importorskip("torch")
    expected = attr.IntegratedGradients(twin).attribute(
        torch.from_numpy(x),
        torch.from_numpy(x0),
        target=target.units.tolist(),
        n_steps=steps,
        method="riemann_middle",
    )
    ours = integrated.integrated_gradients(net, x, x0, target, steps)
    np.testing.assert_allclose(ours.shares, expected.numpy(), rtol=1e-5, atol=1e-12)


def test_integrated_gradients_are_the_mean_along_the_path(net, x, x0, target):
    middles = [x0 + a * (x - x0) for a in (0.125, 0.375, 0.625, 0.875)]
    mean = np.mean([value_and_gradient(net, path, target)[1] for path in middles], axis=0)
    done = []
    ours = integrated.integrated_gradients(net, x, x0, target, 4, done.append)
    np.testing.assert_allclose(ours.shares, (x - x0) * mean, rtol=1e-10)
    assert done[-1] == ours.steps == 4


def test_a_batch_is_its_pictures_one_by_one(net, x, x0, target):
    together = integrated.integrated_gradients(net, x, x0, target, 9)
    for n in range(2):
        one = Target("fc3", target.units[n : n + 1])
        alone = integrated.integrated_gradients(net, x[n : n + 1], x0[n : n + 1], one, 9)
        np.testing.assert_allclose(alone.shares, together.shares[n : n + 1], rtol=1e-10)


def test_shares_of_a_linear_score_sum_to_it_at_once(rng, x, x0, target):
    net = classifier(("fc3", Linear(3)), ("prob", Softmax()))
    found = integrated.integrated_gradients(net, x, x0, target, 1)
    assert found.error < 1e-9
    by_gradient = integrated.gradient_times_input(net, x, x0, target)
    np.testing.assert_allclose(found.shares, by_gradient, rtol=1e-10)
    values = [value_and_gradient(net, at, target)[0] for at in (x, x0)]
    np.testing.assert_allclose(found.differences, values[0] - values[1], rtol=1e-10)


def test_steps_are_doubled_until_the_shares_sum_to_the_score(net, x, x0, target):
    def integrate(steps):
        asked.append(steps)
        return integrated.integrated_gradients(net, x, x0, target, steps)

    asked = []
    found = integrated.complete(integrate, 1, 1024, 4e-3)
    assert asked == [2**i for i in range(len(asked))]
    assert len(asked) > 2
    assert found.error <= 4e-3 < integrate(asked[-2]).error


def test_it_is_said_how_many_steps_would_do(net, x, x0, target):
    found = integrated.complete(
        lambda steps: integrated.integrated_gradients(net, x, x0, target, steps), 1, 3, 5e-3
    )
    assert found.steps == 2
    assert found.error > 5e-3
    enough = integrated.steps_for(found, 5e-3)
    assert enough >= 2 * found.error / 5e-3
    assert integrated.integrated_gradients(net, x, x0, target, enough).error < 1e-2


def test_a_score_that_does_not_change_has_no_error(net, x, target):
    assert integrated.integrated_gradients(net, x, x, target, 2).error == 0
