"""What is attributed: the value of a class or a unit, and its gradient down to any layer."""

import numpy as np
import pytest
import torch_network
from look_testing import classifier

from minicnn.errors import MinicnnError
from minicnn.methods.attribution.target import (
    Target,
    at_maximum,
    layer_gradient,
    value_and_gradient,
)
from minicnn.network.layers import Concat, Conv2d, Linear, ReLU, Softmax


def places(target, y):
    """Return the entries of y (N, K, P, Q) that are summed, as a mask."""
    mask = np.zeros(y.shape)
    for n, unit in enumerate(target.units):
        if isinstance(target.positions, str):
            mask[n, unit] = 1
        else:
            mask[(n, unit, *target.positions[n])] = 1
    return mask


@pytest.mark.parametrize(
    "target",
    [
        Target("fc3", np.array([2, 0])),
        Target("relu2", np.array([1, 5])),
        Target("conv1", np.array([3, 3]), np.array([[0, 11], [4, 5]])),
    ],
    ids=["class", "unit", "position"],
)
def test_value_and_gradient_are_those_of_torch(net, x, target):
    outputs = torch_network.activations(net, x)
    y = outputs[target.layer].detach().numpy()
    values, dx = value_and_gradient(net, x, target)
    mask = places(target, y)
    np.testing.assert_allclose(values, (mask * y).sum(axis=(1, 2, 3)), rtol=1e-12)
    expected = torch_network.gradients(outputs, {target.layer: mask})
    np.testing.assert_allclose(dx, expected, rtol=1e-10, atol=1e-14)


def test_a_unit_is_taken_where_it_is_largest(net, x):
    y = net.forward(x, ["relu2"])["relu2"]
    values, _ = value_and_gradient(net, x, at_maximum(y, "relu2", [3, 1]))
    np.testing.assert_allclose(values, [y[0, 3].max(), y[1, 1].max()], rtol=1e-12)


@pytest.fixture
def branched():
    """A network with two branches, as in a fire module."""
    return classifier(
        ("conv1", Conv2d(4, 3, padding=1)),
        ("relu1", ReLU()),
        ("left", Conv2d(2, 1), ["relu1"]),
        ("right", Conv2d(3, 3, padding=1), ["relu1"]),
        ("both", Concat(), ["left", "right"]),
        ("relu2", ReLU()),
        ("fc3", Linear(3)),
        ("prob", Softmax()),
    )


@pytest.mark.parametrize(
    ("kind", "layer"),
    [
        *(("net", layer) for layer in ("conv1", "relu1", "pool1", "relu2")),
        *(("branched", layer) for layer in ("relu1", "left", "right", "both")),
    ],
)
def test_the_gradient_at_a_layer_is_that_of_torch(request, x, target, kind, layer):
    net = request.getfixturevalue(kind)
    torch = pytest.importorskip("torch")
    outputs = torch_network.activations(net, x)
    scores = outputs["fc3"][0, 2, 0, 0] + outputs["fc3"][1, 0, 0, 0]
    (expected,) = torch.autograd.grad(scores, outputs[layer])
    A, dA = layer_gradient(net, x, target, layer)
    np.testing.assert_allclose(A, outputs[layer].detach().numpy(), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(dA, expected.numpy(), rtol=1e-10, atol=1e-14)


def test_a_layer_that_is_not_below_has_no_gradient(net, x):
    assert layer_gradient(net, x, Target("relu1", np.array([0, 0])), "relu2")[1] is None


def test_the_way_down_ends_at_a_layer_that_is_there(net, x):
    y = net.forward(x, ["relu2"])["relu2"]
    with pytest.raises(MinicnnError, match="no layer named 'relu7'"):
        net.gradient_at("relu7", {"relu2": y})
