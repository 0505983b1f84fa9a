"""SmoothGrad squared and VarGrad over the same noisy copies as PyTorch's."""

import numpy as np
import pytest
import torch_network

from minicnn.methods.attribution.noisy import noisy_moments, smooth_squared, vargrad
from minicnn.methods.attribution.target import Target

SPREAD = np.array([0.1, 0.2, 0.4]).reshape(1, 3, 1, 1)


@pytest.mark.parametrize("samples", [1, 6])
def test_moments_are_those_of_gradients_by_torch(net, x, target, samples):
    done = []
    moments = noisy_moments(
        net,
        x,
        target,
        samples=samples,
        noise=SPREAD,
        rng=np.random.default_rng(5),
        progress=done.append,
    )
    seed = np.zeros((2, 3, 1, 1))
    seed[0, 2] = seed[1, 0] = 1
    noise = np.random.default_rng(5).standard_normal((samples, *x.shape))
    w = np.array(
        [
            torch_network.gradients(torch_network.activations(net, x + SPREAD * one), {"fc3": seed})
            for one in noise
        ]
    )
    np.testing.assert_allclose(smooth_squared(*moments), (w**2).mean(axis=0), rtol=1e-8)
    np.testing.assert_allclose(vargrad(*moments), w.var(axis=0), rtol=1e-6, atol=1e-12)
    assert done[-1] == samples


def test_without_noise_nothing_varies(net, x, target):
    rng = np.random.default_rng(0)
    mean, squares = noisy_moments(net, x, target, samples=5, noise=0.0, rng=rng)
    assert vargrad(mean, squares).max() < 1e-12
    np.testing.assert_allclose(squares, mean**2, rtol=1e-10)


def test_they_are_those_of_captum(net, twin, x, monkeypatch):
    attr, torch = pytest.importorskip("captum.attr"), pytest.importorskip("torch")
    noise = np.random.default_rng(5).standard_normal((6, *x[:1].shape))

    def drawn(mean, std):
        return mean + std * torch.from_numpy(noise).reshape(std.shape)

    monkeypatch.setattr(torch, "normal", drawn)
    options = dict(samples=6, noise=0.2, rng=np.random.default_rng(5))
    moments = noisy_moments(net, x[:1], Target("fc3", np.array([1])), **options)
    tunnel = attr.NoiseTunnel(attr.Saliency(twin))
    for kind, ours in (("smoothgrad_sq", smooth_squared), ("vargrad", vargrad)):
        expected = tunnel.attribute(
            torch.from_numpy(x[:1]), kind, 6, stdevs=0.2, target=1, abs=False
        )
        np.testing.assert_allclose(ours(*moments), expected.detach().numpy(), rtol=1e-5, atol=1e-10)
