"""Replicate padding at the first layer: equal to padding the picture oneself, gradient included."""

import numpy as np
import pytest
import torch_network

import minicnn
from minicnn.engine.select import Evaluation, evaluator_of
from minicnn.errors import MinicnnError
from minicnn.gradcheck.checks import check_vjp
from minicnn.network.layers import Conv2d
from minicnn.network.network import Network
from minicnn.network.replicate_edges import replicate_first


@pytest.fixture(scope="module")
def net():
    return minicnn.build("minivgg", seed=1, dtype="float64", pool="average")


def test_only_what_the_first_layer_sees_beyond_the_edge_changes(net, rng):
    x = rng.standard_normal((1, 3, 20, 18))
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    ours = replicate_first(net).forward(x, ["conv1_1"])["conv1_1"]
    expected = net.forward(wide, ["conv1_1"])["conv1_1"][:, :, 1:-1, 1:-1]
    np.testing.assert_allclose(ours, expected, atol=1e-12)
    zeros = net.forward(x, ["conv1_1"])["conv1_1"]
    np.testing.assert_allclose(ours[:, :, 1:-1, 1:-1], zeros[:, :, 1:-1, 1:-1], atol=1e-12)
    assert not np.allclose(ours[:, :, 0], zeros[:, :, 0])


def test_by_torch(net, rng):
    twin, x = replicate_first(net), rng.standard_normal((1, 3, 16, 20))
    outputs = torch_network.activations(twin, x)
    acts = twin.forward(x, ["relu2_1"])
    np.testing.assert_allclose(acts["relu2_1"], outputs["relu2_1"].detach().numpy(), atol=1e-12)
    dys = {"relu2_1": rng.standard_normal(acts["relu2_1"].shape)}
    expected = torch_network.gradients(outputs, dys)
    np.testing.assert_allclose(twin.backward(dys), expected, atol=1e-10)


@pytest.mark.smoke
def test_the_gradient_is_that_of_the_value(net, rng):
    twin, x = replicate_first(net), rng.standard_normal((1, 3, 12, 10))

    def value(x):
        return twin.forward(x, ["relu1_2"])["relu1_2"]

    def vjp(dy, x):
        value(x)
        return twin.backward({"relu1_2": dy})

    assert check_vjp(value, vjp, x, rng) < 1e-6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_fast_evaluator_agrees(dtype, rng):
    twin = replicate_first(minicnn.build("minivgg", dtype=dtype))
    x = rng.standard_normal((1, 3, 24, 20)).astype(dtype)
    explicit = twin.forward(x, ["relu2_1"])["relu2_1"]
    evaluator = evaluator_of(twin, Evaluation("fast", 1))
    fast = evaluator.forward(x, ["relu2_1"])["relu2_1"]
    np.testing.assert_allclose(fast, explicit, atol=1e-5 * np.abs(explicit).max())
    dys = {"relu2_1": rng.standard_normal(explicit.shape).astype(dtype)}
    dx = twin.backward(dys)
    np.testing.assert_allclose(evaluator.backward(dys), dx, atol=1e-4 * np.abs(dx).max())


def test_shapes_and_fields_stay(net):
    twin, names = replicate_first(net), net.layers
    assert twin.layers == ["replicate", *names]
    assert {name: twin.shapes()[name] for name in names} == net.shapes()
    assert {name: twin.receptive_fields()[name] for name in names} == net.receptive_fields()


def test_a_first_layer_that_pads_nothing_sees_half_a_kernel_beyond(rng):
    """Without, the gradient hardly reaches the outermost pixels; with it, as the others."""
    net = minicnn.build("squeezenet", seed=1, dtype="float64")
    x = rng.standard_normal((1, 3, 31, 31))
    wide = np.pad(x, ((0, 0), (0, 0), (3, 3), (3, 3)), mode="edge")
    twin = replicate_first(net)
    ours = twin.forward(x, ["conv1"])["conv1"]
    np.testing.assert_allclose(ours, net.forward(wide, ["conv1"])["conv1"], atol=1e-12)

    def at_the_edge(one):
        dy = np.ones_like(one.forward(x, ["conv1"])["conv1"])
        dx = np.abs(one.backward({"conv1": dy}))
        return dx[..., -2:].mean() / dx[..., 10:-10, 10:-10].mean()

    assert at_the_edge(twin) > 1 > at_the_edge(net)


def test_a_network_that_sees_nothing_beyond():
    net = Network([("conv1", Conv2d(3, 1))], {}, (3, 8, 8), {"name": "dots"})
    with pytest.raises(MinicnnError, match="the first layer of dots, conv1, sees nothing beyond"):
        replicate_first(net)
