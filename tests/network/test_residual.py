"""Residual networks, whose branches `Add` sums, in everything that goes through a network."""

import numpy as np
import pytest
import torch_network
from plan_testing import agree, relative

from minicnn.engine.select import Evaluation, evaluator_of
from minicnn.errors import MinicnnError
from minicnn.network.folding import normalize_activations
from minicnn.network.layers import (
    Add,
    BatchNorm2d,
    Clip,
    Conv2d,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    PReLU,
    ReLU,
)
from minicnn.network.network import Network

SHAPE = (2, 3, 24, 32)
TABLE = [
    ("conv1", Conv2d(6, 3, padding=1)),
    ("relu1", ReLU()),
    ("a/conv1", Conv2d(6, 3, padding=1)),
    ("a/bn1", BatchNorm2d()),
    ("a/relu1", Clip()),
    ("a/conv2", Conv2d(6, 3, padding=1)),
    ("a/add", Add(), ("a/conv2", "relu1")),
    ("a/relu2", ReLU()),
    ("pool1", MaxPool2d(2, 2)),
    ("b/conv", Conv2d(8, 3, stride=2, padding=1)),
    ("b/prelu", PReLU()),
    ("b/down", Conv2d(8, 1, stride=2), ("pool1",)),
    ("b/add", Add(), ("b/prelu", "b/down", "b/down")),
    ("mean", GlobalAvgPool2d()),
    ("fc", Linear(4)),
]
TAPS = ["relu1", "a/add", "b/add"]


def residual(dtype="float64"):
    net = Network(TABLE, {}, (3, 24, 24))
    net.initialise(3, dtype)
    return net


@pytest.mark.smoke
def test_gradients_are_torchs(rng):
    net = residual()
    x = rng.standard_normal(SHAPE)
    acts = net.forward(x, [*TAPS, "fc"])
    theirs = torch_network.activations(net, x)
    dys = {name: rng.standard_normal(y.shape) for name, y in acts.items()}
    for name, y in acts.items():
        assert relative(y, theirs[name].detach().numpy()) < 1e-12, name
    assert relative(net.backward(dys), torch_network.gradients(theirs, dys)) < 1e-12


def test_parameter_gradients_come_from_every_branch(rng):
    """Along a random direction of all parameters, against a central difference."""
    net = residual()
    x, key = rng.standard_normal(SHAPE), "b/down.weight"
    y = net.forward(x, ["fc"], training=True)["fc"]
    dy, step = rng.standard_normal(y.shape), 1e-6
    v = rng.standard_normal(net.params[key].shape)
    found = (net.gradients({"fc": dy})[key] * v).sum()
    whole = net.params[key]
    values = []
    for sign in (1, -1):
        net.params[key] = whole + sign * step * v
        values.append((net.forward(x, ["fc"], training=True)["fc"] * dy).sum())
    assert found == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-6)


def test_the_fast_engine_is_the_network(rng):
    agree(residual(), TAPS, SHAPE, rng)


def test_in_tiles_and_on_a_torus(rng):
    net, x = residual(), rng.standard_normal((1, 3, 48, 48))
    acts = net.forward(x, TAPS)
    found = evaluator_of(net, Evaluation(tile=16)).forward(x, TAPS)
    for name in TAPS:
        assert relative(found[name], acts[name]) < 1e-12
    torus = evaluator_of(net, torus=True)
    once = torus.forward(x, TAPS)
    moved = torus.forward(np.roll(x, (4, 8), (2, 3)), TAPS)
    assert relative(moved["b/add"], np.roll(once["b/add"], (1, 2), (2, 3))) < 1e-12


def test_the_deconvnet_goes_down_every_branch(rng):
    """Its rule on a linear network is the gradient: with no biases, and all that is positive."""
    table = [
        ("conv", Conv2d(3, 3, padding=1, bias=False)),
        ("add", Add(), ("conv", "input")),
        ("relu", ReLU()),
    ]
    net = Network(table, {"conv.weight": rng.uniform(0, 1, (3, 3, 3, 3))}, (3, 8, 8))
    x, dy = rng.uniform(0.1, 1, (1, 3, 8, 8)), rng.uniform(0, 1, (1, 3, 8, 8))
    net.forward(x, ["relu"])
    projected = net.backward({"relu": dy}, "deconvnet")
    np.testing.assert_allclose(projected, net.backward({"relu": dy}), rtol=1e-12)
    assert (projected > dy).all()  # the picture itself, and what the convolution has of it


def test_a_receptive_field_is_that_of_the_widest_branch():
    fields = residual().receptive_fields()
    assert fields["a/add"] == fields["a/conv2"]
    assert fields["a/add"].size == (7, 7)
    assert fields["b/add"] == fields["b/conv"]


def test_factors_do_not_pass_a_sum(rng):
    table = [node for node in TABLE[:-2] if node[0] != "a/bn1"]
    table += [("c/conv", Conv2d(5, 1)), ("c/relu", ReLU()), ("last", Conv2d(2, 1))]
    net = Network(table, {}, (3, 24, 24))
    net.initialise(1, "float64")
    x = rng.standard_normal((1, 3, 24, 24))
    normal = normalize_activations(net, [x])
    assert relative(normal.forward(x, ["last"])["last"], net.forward(x, ["last"])["last"]) < 1e-10
    assert "conv1" in normal.attrs["normalized"]["left"]
    assert (normal.params["c/conv.weight"] != net.params["c/conv.weight"]).any()


def test_what_does_not_fit():
    for table, message in (
        ([("a", Conv2d(2, 1)), ("b", Add(), ("a", "input"))], "layer b: maps to add differ"),
        ([("a", ReLU()), ("b", ReLU(), ("a", "input"))], "layer 'b' takes one input, not a, input"),
    ):
        with pytest.raises(MinicnnError, match=message):
            Network(table, {}, (3, 8, 8)).shapes()
