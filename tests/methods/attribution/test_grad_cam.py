"""Grad-CAM and guided Grad-CAM: Captum's numbers, and the formula by a plain loop."""

import numpy as np
import pytest
from look_testing import classifier

from minicnn.errors import MinicnnError
from minicnn.methods.attribution.grad_cam import enlarged_evenly, grad_cam, guided_grad_cam
from minicnn.methods.attribution.target import Target, layer_gradient, value_and_gradient
from minicnn.network.layers import Conv2d, GlobalAvgPool2d, Linear, ReLU, Softmax


@pytest.mark.parametrize("layer", ["conv1", "relu1", "pool1", "conv2", "relu2"])
def test_grad_cam_is_that_of_captum(net, twin, x, target, layer):
    attr, torch = pytest.importorskip("captum.attr"), pytest.importorskip("torch")
    expected = attr.LayerGradCam(twin, getattr(twin, layer)).attribute(
        torch.from_numpy(x), target=target.units.tolist(), relu_attributions=True
    )
    ours = grad_cam(net, x, target, layer)
    np.testing.assert_allclose(ours, expected.detach().numpy()[:, 0], rtol=1e-5, atol=1e-12)
    assert ours.max() > 0


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
def test_guided_grad_cam_is_that_of_captum(net, twin, x, target):
    attr, torch = pytest.importorskip("captum.attr"), pytest.importorskip("torch")
    expected = attr.GuidedGradCam(twin, twin.relu2).attribute(
        torch.from_numpy(x).requires_grad_(),
        target=target.units.tolist(),
        interpolate_mode="bilinear",
    )
    ours = guided_grad_cam(net, x, target, "relu2")
    np.testing.assert_allclose(ours, expected.detach().numpy(), rtol=1e-5, atol=1e-12)


def test_grad_cam_weighs_maps_by_their_mean_gradient(net, x, target):
    A, dA = layer_gradient(net, x, target, "relu2")
    for n, L in enumerate(grad_cam(net, x, target, "relu2")):
        expected = sum(g.mean() * a for a, g in zip(A[n], dA[n], strict=True))
        np.testing.assert_allclose(L, np.maximum(expected, 0), rtol=1e-10, atol=1e-14)


def test_behind_a_global_mean_it_is_the_class_activation_map(x, target):
    net = classifier(
        ("conv1", Conv2d(5, 3, padding=1)),
        ("relu1", ReLU()),
        ("mean", GlobalAvgPool2d()),
        ("fc3", Linear(3)),
        ("prob", Softmax()),
    )
    A = net.forward(x, ["relu1"])["relu1"]
    rows = net.params["fc3.weight"][target.units]
    expected = np.maximum(np.einsum("nk,nkpq->npq", rows, A), 0) / (12 * 12)
    np.testing.assert_allclose(grad_cam(net, x, target, "relu1"), expected, rtol=1e-10, atol=1e-14)


def test_a_unit_of_any_layer(net, x):
    """Of a unit's own layer, the map is its own activation."""
    unit = Target("relu2", np.array([4, 1]))
    A = net.forward(x, ["relu2"])["relu2"]
    np.testing.assert_allclose(
        grad_cam(net, x, unit, "relu2"), A[np.arange(2), unit.units], rtol=1e-12
    )


def test_guided_grad_cam_is_nothing_where_the_map_is_nothing(net, x, target):
    wide = enlarged_evenly(grad_cam(net, x, target, "relu2"), (12, 12))
    guided = value_and_gradient(net, x, target, "guided")[1]
    ours = guided_grad_cam(net, x, target, "relu2")
    assert not ours[np.broadcast_to((wide == 0)[:, np.newaxis], ours.shape)].any()
    np.testing.assert_allclose(ours, guided * wide[:, np.newaxis], rtol=1e-10)


@pytest.mark.parametrize(
    ("size", "shape"), [((12, 14), (3, 7)), ((13, 9), (4, 4)), ((5, 5), (1, 5))]
)
def test_maps_are_enlarged_as_by_torch(rng, size, shape):
    torch = pytest.importorskip("torch")
    maps = rng.standard_normal((2, *shape))
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(maps)[:, None], size, mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(
        enlarged_evenly(maps, size), expected.numpy()[:, 0], rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("fc3", "layer fc3 has no maps, but one value a unit"),
        ("prob", "fc3 does not depend on prob; take maps below it"),
        ("conv9", "no layer named 'conv9'; the layers are"),
    ],
)
def test_layers_without_maps(net, x, target, layer, message):
    with pytest.raises(MinicnnError, match=message):
        grad_cam(net, x, target, layer)
