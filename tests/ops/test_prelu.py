import naive
import numpy as np
import pytest
from op_testing import MEMORY, agree, by_torch, is_channels_last, stored

from minicnn.network.layers import PReLU
from minicnn.network.network import Network
from minicnn.ops import prelu, relu

memories = pytest.mark.parametrize("memory", MEMORY)
SHAPE = (2, 3, 5, 4)
SLOPES = np.array([0.25, -0.5, 0.0])


def with_zeros(rng):
    x = rng.standard_normal(SHAPE)
    x[rng.random(SHAPE) < 0.2] = 0
    return x


@memories
def test_forward_and_backward_are_the_loops(rng, memory):
    x, dy = (stored(with_zeros(rng), memory) for _ in "xy")
    a = SLOPES.astype(memory[0])
    y, cache = prelu.forward(x, a)
    dx, da = prelu.backward_data(dy, cache, a), prelu.backward_params(dy, cache)
    agree(y, naive.prelu(x, a), memory[0])
    expected_dx, expected_da = naive.prelu_backward(dy, x, a)
    agree(dx, expected_dx, memory[0])
    agree(da, expected_da, memory[0], scale=np.abs(dy * x).sum())


def test_torch(rng):
    x, dy = rng.standard_normal(SHAPE), rng.standard_normal(SHAPE)
    y, dx, da = by_torch(lambda torch, x, a: torch.nn.functional.prelu(x, a), dy, x, SLOPES)
    agree(prelu.forward(x, SLOPES)[0], y)
    agree(prelu.backward_data(dy, x, SLOPES), dx)
    agree(prelu.backward_params(dy, x), da, scale=np.abs(dy * x).sum())


@pytest.mark.smoke
def test_slopes_of_zero_are_the_relu(rng):
    x, dy = rng.standard_normal(SHAPE), rng.standard_normal(SHAPE)
    y, positive = relu.forward(x)
    np.testing.assert_array_equal(prelu.forward(x, np.zeros(3))[0], y)
    zeros = np.zeros(3)
    np.testing.assert_array_equal(prelu.backward_data(dy, x, zeros), relu.backward(dy, positive))


def test_channels_last_in_memory_stays(rng):
    x = stored(rng.standard_normal(SHAPE), ("float32", "channels-last"))
    assert is_channels_last(prelu.forward(x, SLOPES.astype("float32"))[0])
    assert is_channels_last(prelu.backward_data(x, x, SLOPES.astype("float32")))


def test_the_layer_in_a_network(rng):
    net = Network([("prelu1", PReLU())], {"prelu1.weight": SLOPES}, SHAPE[1:])
    x, dy = rng.standard_normal(SHAPE), rng.standard_normal(SHAPE)
    y = net.forward(x, ["prelu1"], training=True)["prelu1"]
    np.testing.assert_array_equal(y, prelu.forward(x, SLOPES)[0])
    np.testing.assert_array_equal(net.backward({"prelu1": dy}), prelu.backward_data(dy, x, SLOPES))
    grads = net.gradients({"prelu1": dy})
    np.testing.assert_array_equal(grads["prelu1.weight"], prelu.backward_params(dy, x))
    assert net.param_shapes() == {"prelu1.weight": (3,)}
