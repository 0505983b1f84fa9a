"""A network behind the layer that takes the colours away."""

import numpy as np
import pytest

from minicnn.gradcheck.checks import check_vjp
from minicnn.network import build
from minicnn.network.grey_input import grey_first
from minicnn.network.replicate_edges import replicate_first
from minicnn.pictures.arrays import preprocess


@pytest.mark.parametrize("name", ["minivgg", "slimvgg"])  # RGB with deviations, BGR without
def test_only_the_mean_of_the_channels_is_seen(name, rng):
    net = build.build(name, seed=1)
    behind, attrs = grey_first(replicate_first(net)), net.attrs["preprocess"]
    rgb = rng.integers(0, 256, (12, 16, 3)).astype(np.float32)
    grey = np.repeat(rgb.mean(axis=2, keepdims=True), 3, axis=2)
    one, two = (
        found.forward(preprocess(picture, attrs), ["relu1_1"])["relu1_1"]
        for found, picture in ((behind, rgb), (replicate_first(net), grey))
    )
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4 * np.abs(two).max())
    dx = behind.backward({"relu1_1": np.ones_like(one)})[0]
    units = dx * np.float32(attrs["scale"]) / np.reshape(attrs["std"], (3, 1, 1))
    assert np.ptp(units, axis=0).max() < 1e-5 * np.abs(units).max()


def test_its_gradient(rng):
    net, tap = grey_first(build.build("minivgg", seed=1, dtype="float64")), "conv1_1"
    function, x = lambda x: net.forward(x, [tap])[tap], rng.standard_normal((1, 3, 6, 8))
    function(x)
    assert check_vjp(function, lambda dy, x: net.backward({tap: dy}), x, rng) < 1e-8
