import naive
import numpy as np
import pytest
from op_testing import MEMORY, agree, by_torch, is_channels_last, stored

from minicnn.gradcheck import checks
from minicnn.ops import batchnorm, conv2d

SHAPES = {
    "batch": (3, 4, 2, 5),
    "one-picture": (1, 3, 4, 3),
    "one-pixel-maps": (5, 2, 1, 1),
    "one-channel": (2, 1, 3, 4),
}
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
memories = pytest.mark.parametrize("memory", MEMORY)
EPS = pytest.mark.parametrize("eps", [1e-5, 0.1])


def draw(rng, shape, memory=("float64", "contiguous")):
    """x and dy in awkward memory; gamma, beta, mean and var of the same dtype."""
    spread = rng.uniform(0.5, 3, (shape[1], 1, 1))
    x = stored(5 + spread * rng.standard_normal(shape), memory)
    dy = stored(rng.standard_normal(shape), memory)
    gamma, beta, mean = (rng.standard_normal(shape[1]).astype(memory[0]) for _ in "gbm")
    var = rng.uniform(0.5, 2, shape[1]).astype(memory[0])
    return x, dy, gamma, beta, mean, var


@shapes
@memories
@EPS
def test_training_is_the_loop(rng, shape, memory, eps):
    x, _, gamma, beta, _, _ = draw(rng, shape, memory)
    y, _, mean, var = batchnorm.forward_train(x, gamma, beta, eps=eps)
    loop_mean, loop_var, unbiased = naive.batch_statistics(x)
    agree(mean, loop_mean, memory[0])
    agree(var, unbiased, memory[0])
    agree(y, naive.batchnorm(x, gamma, beta, loop_mean, loop_var, eps=eps), memory[0])


@shapes
@memories
@EPS
def test_stored_statistics_are_the_loop(rng, shape, memory, eps):
    x, dy, gamma, beta, mean, var = draw(rng, shape, memory)
    y, cache = batchnorm.forward_eval(x, gamma, beta, mean, var, eps=eps)
    agree(y, naive.batchnorm(x, gamma, beta, mean, var, eps=eps), memory[0])
    zero = np.zeros_like(mean)
    expected = naive.batchnorm(dy, gamma, zero, zero, var, eps=eps)
    agree(batchnorm.backward_eval(dy, cache), expected, memory[0])


@pytest.mark.smoke
@shapes
def test_gradients_in_training(rng, shape):
    x, _, gamma, beta, _, _ = draw(rng, shape)

    def vjp(dy, p):
        grads = batchnorm.backward(dy, batchnorm.forward_train(**p)[1])
        return dict(zip(("x", "gamma", "beta"), grads, strict=True))

    errors = checks.check_params(
        lambda p: batchnorm.forward_train(**p)[0], vjp, {"x": x, "gamma": gamma, "beta": beta}, rng
    )
    assert max(errors.values()) < 1e-6, errors


@shapes
@memories
def test_backward_in_training_is_the_sum_over_the_jacobian(rng, shape, memory):
    x, dy, gamma, beta, _, _ = draw(rng, shape, memory)
    _, cache, mean, var = batchnorm.forward_train(x, gamma, beta)
    mean, var, _ = naive.batch_statistics(x)
    flat = (x.shape[1], -1)
    z = ((x - mean[:, None, None]) / np.sqrt(var + 1e-5)[:, None, None]).swapaxes(0, 1)
    z, g = z.reshape(flat), dy.swapaxes(0, 1).reshape(flat).astype(float)  # (C, M)
    M = z.shape[1]
    # dy[j] / dx[i] = gamma h ([i = j] - 1 / M - z[i] z[j] / M)
    jacobian = np.eye(M) - 1 / M - z[:, :, None] * z[:, None] / M
    dx = (gamma / np.sqrt(var + 1e-5))[:, None] * (jacobian @ g[:, :, None])[..., 0]
    dx = dx.reshape(x.shape[1], len(x), *x.shape[2:]).swapaxes(0, 1)
    ours = batchnorm.backward(dy, cache)
    agree(ours[0], dx, memory[0])
    agree(ours[1], (g * z).sum(1), memory[0], scale=np.abs(g * z).sum())
    agree(ours[2], g.sum(1), memory[0], scale=np.abs(g).sum())


@shapes
@EPS
def test_torch_in_training(rng, shape, eps):
    x, dy, gamma, beta, _, _ = draw(rng, shape)
    y, dx, dgamma, dbeta = by_torch(
        lambda torch, x, gamma, beta: torch.nn.functional.batch_norm(
            x, None, None, gamma, beta, training=True, eps=eps
        ),
        dy, x, gamma, beta,
    )  # fmt: skip
    ours, cache, _, _ = batchnorm.forward_train(x, gamma, beta, eps=eps)
    np.testing.assert_allclose(ours, y, atol=1e-12)
    for mine, theirs in zip(batchnorm.backward(dy, cache), (dx, dgamma, dbeta), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-11)


def test_torch_takes_the_same_statistics(rng):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    x = rng.standard_normal((2, 3, 2, 2))
    layer = torch.nn.BatchNorm2d(3, momentum=1.0, dtype=torch.float64)
    layer(torch.tensor(x))
    _, _, mean, var = batchnorm.forward_train(x, np.ones(3), np.zeros(3))
    agree(mean, layer.running_mean.numpy())
    agree(var, layer.running_var.numpy())


def test_a_single_value_has_no_variance():
    _, _, mean, var = batchnorm.forward_train(np.full((1, 2, 1, 1), 3.0), np.ones(2), np.zeros(2))
    assert (mean.tolist(), var.tolist()) == ([3.0, 3.0], [0.0, 0.0])


@shapes
def test_torch_with_stored_statistics(rng, shape):
    x, dy, gamma, beta, mean, var = draw(rng, shape)
    y, dx = by_torch(
        lambda torch, x: torch.nn.functional.batch_norm(
            x, *map(torch.tensor, (mean, var, gamma, beta)), eps=1e-5
        ),
        dy,
        x,
    )
    ours, cache = batchnorm.forward_eval(x, gamma, beta, mean, var)
    agree(ours, y)
    agree(batchnorm.backward_eval(dy, cache), dx)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_folded_into_a_convolution_it_is_the_same_function(rng, dtype, bias):
    x = rng.standard_normal((2, 3, 6, 5)).astype(dtype)
    w = rng.standard_normal((4, 3, 3, 2)).astype(dtype)
    b, gamma, beta, mean = rng.standard_normal((4, 4)).astype(dtype)
    b = b if bias else None
    var = rng.uniform(0.5, 2, 4).astype(dtype)
    y = batchnorm.forward_eval(conv2d.forward(x, w, b)[0], gamma, beta, mean, var, eps=1e-3)[0]
    folded = batchnorm.fold(w, b, gamma, beta, mean, var, eps=1e-3)
    agree(conv2d.forward(x, *folded)[0], y, dtype)


def test_a_large_mean_loses_no_variance_in_float32(rng):
    x = (1000 + rng.standard_normal((4, 2, 16, 16))).astype("float32")
    _, _, _, var = batchnorm.forward_train(x, np.ones(2, "f"), np.zeros(2, "f"))
    np.testing.assert_allclose(var, x.astype(float).var((0, 2, 3), ddof=1), rtol=1e-4)


def test_a_constant_channel_is_no_division_by_zero():
    x = np.full((2, 1, 3, 3), 4.0)
    y, cache, _, _ = batchnorm.forward_train(x, np.ones(1), np.full(1, 2.0))
    np.testing.assert_array_equal(y, 2)
    assert np.isfinite(batchnorm.backward(np.ones_like(x), cache)[0]).all()


def test_channels_last_in_memory_stays(rng):
    x, dy, gamma, beta, mean, var = draw(rng, (2, 3, 4, 5), ("float32", "channels-last"))
    y, cache, _, _ = batchnorm.forward_train(x, gamma, beta)
    assert is_channels_last(y)
    assert is_channels_last(batchnorm.backward(dy, cache)[0])
    y, cache = batchnorm.forward_eval(x, gamma, beta, mean, var)
    assert is_channels_last(y)
    assert is_channels_last(batchnorm.backward_eval(dy, cache))
