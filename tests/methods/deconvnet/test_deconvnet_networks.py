"""The deconvnet on every layer of every network: small pictures, float64, random weights."""

import numpy as np
import pytest

from minicnn.methods.deconvnet.projection import Policy, make_seed
from minicnn.network import build
from minicnn.network.network import Network
from minicnn.ops import unpool
from minicnn.ops.relu import RULES

# a side at which every layer works, odd sizes on the way
SIDES = {
    "minivgg": 38,
    "minialexnet": 41,
    "minizfnet": 41,
    "squeezenet": 63,
    "squeezenet-torchvision": 63,
    "squeezenet1_1": 63,
    "zfnet": 63,
    "alexnet": 83,
    "caffenet": 83,
    "alexnet-torchvision": 83,
    "slimvgg": 24,
    "vgg16": 38,
    "vgg19": 38,
}
QUICK = {"minivgg", "minialexnet", "minizfnet"}


def test_no_network_is_left_out():
    assert set(SIDES) >= {name for name in build.names() if not name.endswith("-bn")}


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in SIDES]
)
def test_every_layer_of(name):
    net, x, rng = small(name), picture(SIDES[name]), np.random.default_rng(5)
    layers, v, step = net.layers, rng.standard_normal((1, 3, SIDES[name], SIDES[name])), 1e-7
    away = {s: net.forward(x + s * step * v, layers, keep=False) for s in (1, -1)}
    acts = net.forward(x, layers)
    fields = net.receptive_fields()
    for layer in layers:
        y = acts[layer]
        unit = int(y[0].reshape(y.shape[1], -1).max(axis=1).argmax())
        for where in ("max", np.array([[y.shape[2] - 1, 0]])):
            seed, _, ((p, q),), _ = make_seed(y, layer, [unit], where, "one")
            # the response normalisations are differentiated, so that all of a field is reached
            down = {
                rule: Policy(rule=rule, lrn="gradient").backward(net, {layer: seed})
                for rule in RULES
            }
            found = (down["gradient"] * v).sum()
            expected = (away[1][layer] - away[-1][layer])[0, unit, p, q] / (2 * step)
            size = np.abs(down["gradient"] * v).sum()
            assert abs(found - expected) < 1e-6 * size + 1e-7, (layer, found, expected)
            box = fields[layer].box(int(p), int(q))
            for rule, dx in down.items() if box else ():
                top, left, bottom, right = (max(0, edge) for edge in box)
                outside = dx.copy()
                outside[:, :, top:bottom, left:right] = 0
                assert not outside.any(), (layer, rule)
        thrice = Policy(lrn="gradient").backward(net, {layer: 3 * seed})
        np.testing.assert_allclose(thrice, 3 * down["deconvnet"], rtol=1e-9, atol=1e-12)
    for layer, cache in net.switches().items():
        u, w = rng.standard_normal(cache.x_shape), rng.standard_normal(acts[layer].shape)
        pooled, unpooled = select(u, cache), unpool.unpool(w, cache)
        assert abs((pooled * w).sum() - (u * unpooled).sum()) < 1e-12 * np.abs(pooled * w).sum()


def small(name):
    """The network for small pictures: its fully connected layers fit them."""
    side, big = SIDES[name], build.skeleton(name)
    net = Network([tuple(node) for node in big.nodes], {}, (3, side, side), big.attrs)
    net.params = build.random_params(net.param_shapes(), 1, "float64")
    rng = np.random.default_rng(3)
    for key, array in net.params.items():
        if key.endswith("bias"):
            array += 0.05 * rng.standard_normal(array.shape)
    return net


def select(u, cache):
    """Pool `u` by the switches: a maximum with its winners frozen."""
    n, c, p, q = np.indices(cache.switches.shape)
    r, s = np.divmod(cache.switches.astype(int), cache.kernel[1])
    rows = p * cache.stride[0] + r - cache.padding[0]
    return u[n, c, rows, q * cache.stride[1] + s - cache.padding[1]]


def picture(side):
    return np.random.default_rng(4).standard_normal((1, 3, side, side))
