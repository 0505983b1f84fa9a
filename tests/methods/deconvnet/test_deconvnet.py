import numpy as np
import pytest

from minicnn.engine.cpu.evaluator import FastEvaluator
from minicnn.errors import MinicnnError
from minicnn.methods.deconvnet.projection import ORDERS, Policy, make_seed, project, strongest
from minicnn.network import build
from minicnn.network.facts import LRN_RULES
from minicnn.network.layers import (
    LRN,
    AvgPool2d,
    Concat,
    Conv2d,
    Dropout,
    Linear,
    MaxPool2d,
    ReLU,
    Softmax,
)
from minicnn.network.network import Network
from minicnn.ops import maxpool2d, unpool
from minicnn.ops.relu import RULES


def net_of(*layers, shape=(3, 13, 15), dtype="float64"):
    net = Network(list(layers), {}, shape, {"name": "tiny"})
    net.params = build.random_params(net.param_shapes(), 1, dtype)
    for key, array in net.params.items():
        if key.endswith("bias"):
            array += np.linspace(-0.3, 0.5, array.size).astype(dtype)
    return net


NETS = {
    "overlapping": lambda: net_of(
        ("conv1", Conv2d(4, 3, padding=1)),
        ("relu1", ReLU()),
        ("pool1", MaxPool2d(3, 2, ceil=True)),
        ("conv2", Conv2d(6, 3, padding=1)),
        ("relu2", ReLU()),
        ("pool2", MaxPool2d(2, 2)),
    ),
    "strided-grouped-lrn": lambda: net_of(
        ("conv1", Conv2d(4, 5, stride=2, padding=1)),
        ("relu1", ReLU()),
        ("norm1", LRN(size=3, alpha=0.1)),
        ("pool1", MaxPool2d(3, 2, padding=1)),
        ("conv2", Conv2d(6, 3, padding=1, groups=2)),
        ("relu2", ReLU()),
    ),
    "branched": lambda: net_of(
        ("conv1", Conv2d(4, 3, stride=2)),
        ("relu1", ReLU()),
        ("one", Conv2d(3, 1), ("relu1",)),
        ("relu_one", ReLU()),
        ("three", Conv2d(5, 3, padding=1), ("relu1",)),
        ("relu_three", ReLU()),
        ("concat", Concat(), ("relu_one", "relu_three")),
        ("pool", AvgPool2d(3, 2)),
    ),
    "fully-connected": lambda: net_of(
        ("conv1", Conv2d(4, 3)),
        ("relu1", ReLU()),
        ("pool1", MaxPool2d(2, 2)),
        ("fc2", Linear(7)),
        ("relu2", ReLU()),
        ("drop2", Dropout()),
        ("fc3", Linear(5)),
        ("prob", Softmax()),
    ),
}
LAYERS = [(name, layer) for name, make in NETS.items() for layer in make().layers]
each_layer = pytest.mark.parametrize(("name", "layer"), LAYERS, ids=["-".join(p) for p in LAYERS])


def picture(rng, count=1, dtype="float64"):
    return rng.standard_normal((count, 3, 13, 15)).astype(dtype)


@pytest.mark.smoke
@each_layer
def test_the_rule_gradient_equals_finite_differences(rng, name, layer):
    net, x = NETS[name](), picture(rng)
    units = np.arange(net.shapes()[layer][0])
    found = project(net, x, layer, units, policy=Policy(rule="gradient"), start="one")
    v, step = rng.standard_normal(x.shape), 1e-6
    at = (0, units, found.positions[:, 0], found.positions[:, 1])
    values = [net.forward(x + s * step * v, [layer])[layer][at] for s in (1, -1)]
    expected = (values[0] - values[1]) / (2 * step)
    np.testing.assert_allclose((found.dx * v).sum((1, 2, 3)), expected, rtol=1e-6, atol=1e-8)


@each_layer
@pytest.mark.parametrize("rule", RULES)
def test_support_lies_inside_the_receptive_field(rng, name, layer, rule):
    net, x = NETS[name](), picture(rng)
    field = net.receptive_fields()[layer]
    K, P, Q = net.shapes()[layer]
    where = [(k, p, q) for k in range(K) for p in range(P) for q in range(Q)][:: max(1, K * P // 6)]
    units, positions = np.array([w[0] for w in where]), np.array([w[1:] for w in where])
    policy = Policy(rule=rule, lrn="gradient")
    dx = project(net, x, layer, units, positions, policy=policy, start="one").dx
    for row, (p, q) in zip(dx, positions, strict=True):
        if field.size is None:
            continue
        top, left = (field.offset[i] + (p, q)[i] * field.stride[i] for i in (0, 1))
        rows = slice(max(0, top), max(0, top + field.size[0]))
        inside = row[:, rows, max(0, left) : max(0, left + field.size[1])].copy()
        assert np.count_nonzero(row) == np.count_nonzero(inside)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", NETS)
def test_zero_in_zero_out_and_scale_in_scale_out(rng, name, rule):
    net, x = NETS[name](), picture(rng)
    layer, policy = net.layers[-1], Policy(rule=rule, order="rectify-unpool")
    y = policy.forward(net, x, [layer])[layer]
    seed = rng.standard_normal(y.shape)
    assert not policy.backward(net, {layer: 0 * seed}).any()
    once, thrice = (policy.backward(net, {layer: factor * seed}) for factor in (1, 3))
    np.testing.assert_allclose(thrice, 3 * once, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NETS)
def test_biases_do_not_come_down(rng, name):
    net, x = NETS[name](), picture(rng)
    layer = "relu1"
    y = Policy().forward(net, x, [layer])[layer]
    before = Policy().backward(net, {layer: y})
    net.params = {key: a + 9 * key.endswith("bias") for key, a in net.params.items()}
    np.testing.assert_array_equal(Policy().backward(net, {layer: y}), before)


def test_the_pixels_are_not_rectified(rng):
    net, x = NETS["overlapping"](), picture(rng)
    assert (
        project(net, x, "pool2", [strongest(net.forward(x, ["pool2"])["pool2"])[0]]).dx < 0
    ).any()


@pytest.mark.parametrize("name", NETS)
def test_a_batch_equals_one_after_the_other(rng, name):
    net, x = NETS[name](), picture(rng, 3)
    layer, units = net.layers[-1], [0, 2, 1]
    together = project(net, x, layer, units)
    for n, unit in enumerate(units):
        alone = project(net, x[n : n + 1], layer, [unit])
        np.testing.assert_allclose(together.dx[n], alone.dx[0], rtol=1e-10, atol=1e-12)
        assert together.values[n] == pytest.approx(alone.values[0])
        assert tuple(together.positions[n]) == tuple(alone.positions[0])


def test_one_picture_serves_many_units_and_the_fast_evaluator_agrees(rng):
    net = NETS["strided-grouped-lrn"]()
    net.params = {key: a.astype("float32") for key, a in net.params.items()}
    x = picture(rng, dtype="float32")
    slow, fast = (project(w, x, "relu2", [3, 1, 0, 5]) for w in (net, FastEvaluator(net, 1)))
    assert slow.dx.shape == (4, 3, 13, 15)
    assert slow.dx.dtype == np.float32
    np.testing.assert_allclose(fast.dx, slow.dx, rtol=1e-4, atol=1e-5 * abs(slow.dx).max())


def test_the_seed_keeps_one_unit_where_it_is_asked_to():
    y = np.array([[[[1.0, 5, 5]], [[7, 8, 9]]], [[[-3, -2, -2]], [[0, 0, 0]]]])
    seed, units, positions, values = make_seed(y, "a", [0, 0])
    np.testing.assert_array_equal(seed[:, 0, 0], [[0, 5, 0], [0, -2, 0]])
    assert not seed[:, 1].any()
    np.testing.assert_array_equal(positions, [[0, 1], [0, 1]])
    np.testing.assert_array_equal((units, values), [[0, 0], [5, -2]])
    np.testing.assert_array_equal(make_seed(y, "a", [1, 0], "all")[0][0, 1], y[0, 1])
    seed, *_ = make_seed(y, "a", [1, 0], [[0, 2], [0, 0]], "one")
    assert (seed[0, 1, 0, 2], seed[1, 0, 0, 0], seed.sum()) == (1, 1, 2)


def test_pooling_with_frozen_switches_and_unpooling_are_adjoint(rng):
    x = np.maximum(rng.standard_normal((2, 3, 9, 8)), 0)
    y, cache = maxpool2d.forward(x, 3, stride=2, ceil=True)
    for case in (cache, unpool.drop_zero_windows(y, cache)):
        v = rng.standard_normal(y.shape)
        pooled = _select(x, y, cache)
        kept = pooled * (y > 0) if case is not cache else pooled
        assert (kept * v).sum() == pytest.approx((x * unpool.unpool(v, case)).sum(), rel=1e-12)


def _select(u, y, cache):
    """Pool `u` by the switches, in plain loops."""
    out = np.empty_like(y)
    for n, c, p, q in np.ndindex(y.shape):
        r, s = divmod(int(cache.switches[n, c, p, q]), cache.kernel[1])
        out[n, c, p, q] = u[n, c, p * cache.stride[0] + r, q * cache.stride[1] + s]
    return out


def test_zero_windows_can_be_dropped():
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 2, 3] = 5
    for kernel in (2, 4):
        y, cache = maxpool2d.forward(x, kernel)
        v = np.ones_like(y)
        assert unpool.unpool(v, cache).sum() == v.sum()
        kept = unpool.unpool(v, unpool.drop_zero_windows(y, cache))
        assert (kept[0, 0, 2, 3], kept.sum()) == (1, 1)
    y, cache = maxpool2d.forward(np.zeros((1, 1, 16, 16)), 16)
    assert not unpool.unpool(y + 1, unpool.drop_zero_windows(y, cache)).any()


def test_the_order_matters_where_signs_meet():
    net = Network(
        [("relu1", ReLU()), ("pool1", MaxPool2d(2, 1)), ("conv2", Conv2d(1, (1, 2), bias=False))],
        {"conv2.weight": np.array([[[[3.0, -2.0]]]])},
        (1, 2, 3),
    )
    x = np.array([[[[0.0, 1, 0], [0, 0, 0]]]])  # both windows have their switch at the 1
    total = {
        order: project(net, x, "conv2", [0], policy=Policy(order=order)).dx.sum()
        for order in ORDERS
    }
    assert total == {"unpool-rectify": 1.0, "rectify-unpool": 3.0}


@pytest.mark.parametrize("overlap", unpool.OVERLAPS)
def test_every_overlap_rule_goes_through(rng, overlap):
    net, x = NETS["overlapping"](), picture(rng)
    found = project(net, x, "relu2", [2], policy=Policy(overlap=overlap))
    assert np.isfinite(found.dx).all()


def test_the_lrn_is_passed_by_or_differentiated(rng):
    net, x = NETS["strided-grouped-lrn"](), picture(rng)
    dx = {lrn: project(net, x, "relu2", [1], policy=Policy(lrn=lrn)).dx for lrn in LRN_RULES}
    assert not np.allclose(dx["identity"], dx["gradient"])
    assert [Policy(rule=rule).choices()["lrn"] for rule in ("deconvnet", "guided", "gradient")] == [
        "identity",
        "gradient",
        "gradient",
    ]


def test_groups_do_not_mix(rng):
    net = net_of(("conv1", Conv2d(4, 1)), ("conv2", Conv2d(6, 3, groups=2)))
    net.params["conv1.weight"][:] = np.eye(4, 3)[:, :, None, None]  # channel c shows input c
    x = picture(rng)
    assert not project(net, x, "conv2", [5]).dx[:, :2].any()
    assert not project(net, x, "conv2", [0]).dx[:, 2].any()
    assert project(net, x, "conv2", [0]).dx[:, :2].any()


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda n, x: project(n, x, "relu9", [0]), "no layer named 'relu9'; the layers are conv1"),
        (lambda n, x: project(n, x, "relu1", [4]), "no unit 4 in layer relu1; use 0 to 3"),
        (lambda n, x: project(n, x, "relu1", [-1]), "no unit -1 in layer relu1"),
        (lambda n, x: project(n, x, "pool1", [0], [[0, 9]]), "no column 9 in layer pool1"),
        (lambda n, x: project(n, x, "pool1", [0], [[9, 0]]), "no row 9 in layer pool1"),
        (lambda n, x: project(n, x, "pool1", [0], "mean"), "no positions 'mean'; use max, all"),
        (lambda n, x: project(n, x, "pool1", [0.5]), "give one unit of layer pool1"),
        (lambda n, x: project(n, x, "pool1", [0], start="2"), "no start '2'; use activation, one"),
        (lambda n, x: project(n, x * np.nan, "relu1", [0]), "activations of layer relu1 are NaN"),
        (
            lambda n, x: project(n, x, "relu1", [0], policy=Policy(rule="relu")),
            "no rule 'relu'; use gradient, deconvnet, guided",
        ),
        (
            lambda n, x: project(n, x, "relu1", [0], policy=Policy(zero_windows="no")),
            "no zero windows 'no'; use first, drop",
        ),
        (
            lambda n, x: project(n, x, "relu1", [0], policy=Policy(lrn="no")),
            "no lrn 'no'; use gradient, identity",
        ),
    ],
)
def test_bad_input_ends_in_one_line(rng, call, message):
    with pytest.raises(MinicnnError, match=message):
        call(NETS["overlapping"](), picture(rng))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", NETS)
def test_every_rule_equals_torch_with_its_relu_replaced(rng, monkeypatch, name, rule):
    torch = pytest.importorskip("torch")
    import torch_network

    class Rectify(torch.autograd.Function):
        @staticmethod
        def forward(context, x):
            context.save_for_backward(x)
            return x.clamp(min=0)

        @staticmethod
        def backward(context, dy):
            (x,) = context.saved_tensors
            mask = 1 if rule == "deconvnet" else (x > 0)
            return (dy if rule == "gradient" else dy.clamp(min=0)) * mask

    monkeypatch.setitem(torch_network._RULES, "ReLU", lambda F, layer, own, x: Rectify.apply(x))
    net, x = NETS[name](), picture(rng)
    outputs, layer = torch_network.activations(net, x), net.layers[-1]
    policy = Policy(rule=rule, lrn="gradient")
    found = project(net, x, layer, [2], policy=policy)
    seed, *_ = make_seed(policy.forward(net, x, [layer])[layer], layer, [2])
    expected = torch_network.gradients(outputs, {layer: seed})
    np.testing.assert_allclose(found.dx, expected, rtol=1e-9, atol=1e-12)
