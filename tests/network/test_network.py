from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minicnn.errors import MinicnnError
from minicnn.network import build
from minicnn.network.layers import (
    LRN,
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    Dropout,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
    ReplicatePad2d,
    Softmax,
)
from minicnn.network.network import Network
from minicnn.ops import conv2d, lrn

# every kind of layer, a branch, windows with R != S, strides that do not divide the sizes
BRANCHED = [
    ("conv1", Conv2d(8, (3, 5), stride=2, padding=(1, 2))),
    ("relu1", ReLU()),
    ("norm1", LRN(size=3, alpha=0.5)),
    ("pool1", MaxPool2d(3, 2, padding=1, ceil=True)),
    ("left", Conv2d(4, 1)),
    ("relu_left", ReLU()),
    ("right", Conv2d(6, 3, padding=1, groups=2), ("pool1",)),
    ("relu_right", ReLU()),
    ("both", Concat(), ("relu_left", "relu_right", "pool1")),
    ("bn", BatchNorm2d()),
    ("pool2", AvgPool2d(2, 2, ceil=True)),
    ("drop", Dropout(0.3)),
    ("fc", Linear(5)),
    ("prob", Softmax()),
]
SHAPE = (3, 17, 22)


def randomised(layers, rng, shape=SHAPE, dtype="float64"):
    net = Network(layers, {}, shape)
    net.params = {
        key: rng.uniform(0.5, 1.5, size).astype(dtype)
        if key.endswith(("var", "gamma"))
        else (rng.standard_normal(size) * 0.4).astype(dtype)
        for key, size in net.param_shapes().items()
    }
    return net


@pytest.fixture
def net(rng):
    return randomised(BRANCHED, rng)


@pytest.fixture
def x(rng):
    return rng.standard_normal((2, *SHAPE))


def directional(f, arrays, rng, step=1e-6):
    """Return a random direction for `arrays` {name: array}, and the slope of f along it."""
    v = {name: rng.standard_normal(array.shape) for name, array in arrays.items()}
    plus, minus = ({k: a + s * v[k] for k, a in arrays.items()} for s in (step, -step))
    return v, (f(plus) - f(minus)) / (2 * step)


def inner(a, b):
    return sum(float((a[name] * b[name]).sum()) for name in b)


@pytest.mark.smoke
@pytest.mark.parametrize(
    "taps",
    [
        *([node[0]] for node in BRANCHED),
        ["relu1", "pool2"],
        ["conv1", "norm1", "relu_left", "right", "both", "prob"],
        ["pool1", "left", "relu_right", "fc"],
    ],
    ids=",".join,
)
def test_gradients_of_any_layers_equal_finite_differences(net, x, taps, rng):
    dys = {name: rng.standard_normal(y.shape) for name, y in net.forward(x, taps).items()}
    dx = net.backward(dys)
    v, slope = directional(lambda at: inner(net.forward(at["x"], taps), dys), {"x": x}, rng)
    assert dx.shape == x.shape
    assert inner({"x": dx}, v) == pytest.approx(slope, rel=1e-6)


def test_parameter_gradients_equal_finite_differences(net, x, rng):
    stored = net.params
    learned = {k: a for k, a in net.params.items() if not k.endswith((".mean", ".var"))}

    def forward(params):
        net.params = {**stored, **params}
        return net.forward(x, ["relu_left", "fc"], training=True, rng=np.random.default_rng(5))

    dys = {name: rng.standard_normal(y.shape) for name, y in forward(learned).items()}
    grads = net.gradients(dys)
    assert grads.keys() == learned.keys()
    assert all(grads[key].shape == learned[key].shape for key in grads)
    for key in learned:  # each on its own, so that none hides behind the others
        v, slope = directional(lambda p: inner(forward(p), dys), {key: learned[key]}, rng)
        assert inner(grads, v) == pytest.approx(slope, rel=1e-5, abs=1e-7), key


def test_image_gradient_of_a_training_pass_equals_finite_differences(net, x, rng):
    def forward(at):
        return net.forward(at["x"], ["fc"], training=True, rng=np.random.default_rng(5))

    dys = {name: rng.standard_normal(y.shape) for name, y in forward({"x": x}).items()}
    dx = net.backward(dys)
    v, slope = directional(lambda at: inner(forward(at), dys), {"x": x}, rng)
    assert inner({"x": dx}, v) == pytest.approx(slope, rel=1e-6)


def test_gradients_of_minivgg_in_training_equal_finite_differences(rng):
    net = build.build("minivgg-bn", dtype="float64", classes=4)
    x = rng.standard_normal((3, 3, 16, 16))
    learned = {k: a for k, a in net.params.items() if not k.endswith((".mean", ".var"))}

    def forward(params):
        net.params = {**net.params, **params}
        return net.forward(x, ["fc5"], training=True, rng=np.random.default_rng(5))

    dys = {"fc5": rng.standard_normal((3, 4, 1, 1))}
    forward(learned)
    grads = net.gradients(dys)
    assert grads.keys() == learned.keys()
    v, slope = directional(lambda p: inner(forward(p), dys), learned, rng, step=1e-7)
    assert inner(grads, v) == pytest.approx(slope, rel=1e-5)


def test_only_what_is_tapped_comes_back_and_nothing_behind_is_computed(net, x):
    for key in ("left.weight", "fc.weight"):
        del net.params[key]
    acts = net.forward(x, ["pool1", "conv1"])
    assert list(acts) == ["conv1", "pool1"]


def test_a_lone_name_is_taken_as_such(net, x):
    assert list(net.forward(x, "relu1")) == ["relu1"]


def test_a_pass_changes_neither_picture_nor_parameters_nor_gradients(net, x, rng):
    dys = {n: rng.standard_normal(y.shape) for n, y in net.forward(x, ["both", "fc"]).items()}
    everything = [x, *dys.values(), *net.params.values()]
    for array in everything:
        array.flags.writeable = False
    net.forward(x, net.layers)
    net.backward(dys)
    net.forward(x, net.layers, training=True, rng=rng)
    net.gradients(dys)


def test_a_scan_without_caches_gives_the_same_activations(net, x):
    kept, scanned = net.forward(x, net.layers), net.forward(x, net.layers, keep=False)
    assert all((kept[name] == scanned[name]).all() for name in net.layers)
    with pytest.raises(MinicnnError, match="no forward pass with keep=True has reached"):
        net.backward({"fc": np.ones((2, 5, 1, 1))})


def test_float32_stays_float32(rng):
    net = randomised(BRANCHED, rng, dtype="float32")
    acts = net.forward(rng.standard_normal((1, *SHAPE), dtype="float32"), net.layers)
    assert {y.dtype for y in acts.values()} == {np.dtype("float32")}
    dx = net.backward({"fc": np.ones((1, 5, 1, 1))})  # a float64 gradient
    assert dx.dtype == np.float32
    assert net.dtype == np.float32


CONV_RELU = [("conv", Conv2d(4, 3)), ("relu", ReLU())]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("gradient", lambda dy, y: dy * (y > 0)),
        ("deconvnet", lambda dy, y: np.maximum(dy, 0)),
        ("guided", lambda dy, y: np.maximum(dy, 0) * (y > 0)),
    ],
)
def test_relu_rules_reach_the_relu(rule, expected, x, rng):
    net = randomised(CONV_RELU, rng)
    y = net.forward(x, ["relu"])["relu"]
    dy = rng.standard_normal(y.shape)
    dx = net.backward({"relu": dy}, relu_rule=rule)
    w = net.params["conv.weight"]
    np.testing.assert_array_equal(dx, conv2d.backward_data(expected(dy, y), w, x.shape))


@pytest.mark.parametrize(
    ("rules", "exact"),
    [
        ({}, True),
        ({"relu_rule": "guided"}, True),
        ({"relu_rule": "deconvnet"}, False),
        ({"relu_rule": "deconvnet", "lrn_rule": "gradient"}, True),
        ({"lrn_rule": "identity"}, False),
    ],
    ids=str,
)
def test_the_deconvnet_passes_by_the_normalisation(rules, exact, x, rng):
    net = Network([("norm", LRN(alpha=0.5))], {}, SHAPE)
    net.forward(x, ["norm"])
    dy = rng.standard_normal(x.shape)
    expected = lrn.backward(dy, lrn.forward(x, alpha=0.5)[1]) if exact else dy
    np.testing.assert_array_equal(net.backward({"norm": dy}, **rules), expected)


def test_the_overlap_rule_reaches_the_pooling():
    net = Network([("pool", MaxPool2d(2, 1))], {}, (1, 2, 3))
    x = np.array([[[[0.0, 9.0, 1.0], [2.0, 3.0, 4.0]]]])  # both windows have the 9
    net.forward(x, ["pool"])
    dy = np.array([[[[5.0, 2.0]]]])
    found = {
        o: net.backward({"pool": dy}, overlap=o)[0, 0, 0, 1] for o in ("sum", "max", "overwrite")
    }
    assert found == {"sum": 7.0, "max": 5.0, "overwrite": 2.0}


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (("both", Concat(), ("a", "b")), "layer both: maps to concatenate differ"),
        (("max", MaxPool2d(2, 2, padding=2)), "layer max: pooling padding .* smaller"),
        (("mean", AvgPool2d(2, 2, padding=2)), "layer mean: pooling padding .* smaller"),
        (("wide", ReplicatePad2d(-1)), "layer wide: cannot repeat the edges"),
        (("c", Conv2d(2, 9)), "layer c: a window of 9 px does not fit"),
        (("c", Conv2d(2, 1, groups=2)), "layer c: a convolution with weights .* 2 group"),
        (("fc", Linear(2)), "layer fc: "),
    ],
)
def test_shapes_refuses_what_forward_refuses(last, message):
    table = [("a", Conv2d(3, 1)), ("b", Conv2d(3, 3)), last]
    net = Network(table, {}, (1, 6, 6))
    net.params = build.random_params({"a.weight": (3, 1, 1, 1), "b.weight": (3, 3, 3, 3)}, 0)
    net.params["fc.weight"], net.params["c.weight"] = np.ones((2, 7)), np.ones((2, 1, 1, 1))
    if "9 px" in message:
        net.params["c.weight"] = np.ones((2, 3, 9, 9))
    for compute in (net.shapes, lambda: net.forward(np.ones((1, 1, 6, 6)), [last[0]])):
        with pytest.raises(MinicnnError, match=message):
            compute()


def test_batch_statistics_are_those_of_the_training_batch(net, x, rng):
    net.forward(x, ["both"])
    assert net.batch_statistics() == {}
    net.forward(x, ["fc"])
    assert net.batch_statistics() == {}
    both = net.forward(x, ["both", "fc"], training=True, rng=rng)["both"]
    mean, var = net.batch_statistics()["bn"]
    np.testing.assert_allclose(mean, both.mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(var, both.var(axis=(0, 2, 3), ddof=1))


def test_replicas_share_weights_and_work_side_by_side(net, rng):
    pictures = [rng.standard_normal((1, *SHAPE)) for _ in range(8)]
    dy = {"fc": rng.standard_normal((1, 5, 1, 1))}

    def run(network, x):
        network.forward(x, ["fc"])
        return network.backward(dy)

    expected = [run(net, x) for x in pictures]
    replicas = [net.replica() for _ in pictures]
    for twin in replicas:
        assert twin.params is net.params
    for twin, x in zip(replicas, pictures, strict=True):
        twin.forward(x, ["fc"])  # all have caches of their own before any goes back
    for twin, dx in zip(replicas, expected, strict=True):
        assert (twin.backward(dy) == dx).all()
    with ThreadPoolExecutor(4) as pool:
        for dx, found in zip(expected, pool.map(run, replicas, pictures), strict=True):
            assert (dx == found).all()


def test_a_network_until_some_layers_has_what_they_need(net, x):
    name = net.layers[len(net.layers) // 2]
    lower = net.until([name])
    assert lower.layers == net.layers[: len(net.layers) // 2 + 1]
    assert lower.param_shapes().keys() == lower.params.keys() < net.params.keys()
    assert all(array is net.params[key] for key, array in lower.params.items())
    np.testing.assert_array_equal(lower.forward(x, [name])[name], net.forward(x, [name])[name])


def test_another_convolution_can_take_the_place_of_the_first(net, x, rng):
    class Counting:
        calls = ()

        def __getattr__(self, name):
            self.calls += (name,)
            return getattr(conv2d, name)

    dys = {"fc": rng.standard_normal((2, 5, 1, 1))}
    net.forward(x, ["fc"], training=True, rng=np.random.default_rng(0))
    expected = net.gradients(dys)
    counting = Counting()
    net.forward(x, ["fc"], training=True, rng=np.random.default_rng(0), convolution=counting)
    found = net.gradients(dys)
    assert all((expected[key] == found[key]).all() for key in expected)
    assert set(counting.calls) == {"forward", "backward_data", "backward_params"}
    assert len(counting.calls) == 3 + 2 + 3  # no dx where it is of no use
    net.forward(x, ["fc"])
    net.backward(dys)
    assert len(counting.calls) == 3 + 2 + 3  # of the next pass the network knows nothing


@pytest.mark.smoke
@pytest.mark.parametrize("side", [(17, 22), (18, 21)])
def test_shapes_are_those_of_the_activations(net, side, rng):
    x = rng.standard_normal((1, 3, *side))
    acts = net.forward(x, net.layers[:12])
    shapes = Network(BRANCHED, {}, SHAPE).shapes((3, *side))
    assert {name: y.shape[1:] for name, y in acts.items()} == {n: shapes[n] for n in acts}


def test_param_shapes_do_not_look_at_the_parameters(net):
    wanted = {key: array.shape for key, array in net.params.items()}
    net.params = {"fc.weight": np.ones(3)}
    assert net.param_shapes() == wanted
    assert list(wanted)[:2] == ["conv1.weight", "conv1.bias"]


# Receptive fields, probed by gradients. All weights are positive, so that every pixel that can have
# an influence has one. The box is a bound where max pooling lets one pixel of a window through, and
# where it reaches over the edge: a map's padding hides pixels of the picture.
FIELDS = {
    "stride-and-padding": [("a", Conv2d(2, 3, stride=2, padding=1)), ("b", Conv2d(2, (3, 2)))],
    "rectangular": [
        ("a", Conv2d(2, (1, 4), stride=(1, 2), padding=(0, 1))),
        ("b", ReLU()),
        ("c", Conv2d(2, (3, 2), stride=(3, 1))),
        ("d", Conv2d(2, 2, padding=(1, 0))),
    ],
    "average-ceil": [
        ("a", Conv2d(2, 5, stride=3)),
        ("b", AvgPool2d(3, 2, padding=1, ceil=True)),
        ("c", Conv2d(2, 3, padding=1)),
    ],
    "max-ceil": [
        ("a", Conv2d(2, 3, padding=1)),
        ("b", MaxPool2d(3, 2, padding=1, ceil=True)),
        ("c", MaxPool2d(2, 2, ceil=True)),
    ],
    "branches": [
        ("a", Conv2d(2, 3, stride=2)),
        ("b", Conv2d(2, 1)),
        ("c", Conv2d(2, 5, padding=2), ("a",)),
        ("d", Concat(), ("b", "c")),
        ("e", AvgPool2d(2, 2)),
    ],
    "shifted-branches": [
        ("a", Conv2d(2, 2, padding=0)),
        ("b", Conv2d(2, 4, padding=1), ("input",)),
        ("c", Conv2d(2, 3, padding=(1, 0)), ("a",)),
        ("d", Conv2d(2, (1, 3)), ("a",)),
    ],
    "normalised": [("a", Conv2d(2, 3)), ("b", LRN()), ("c", BatchNorm2d()), ("d", Dropout())],
    "whole": [("a", Conv2d(2, 3)), ("b", GlobalAvgPool2d())],
    "connected": [("a", Conv2d(2, 3)), ("b", Linear(3)), ("c", ReLU())],
}


def probe(net, name, at, x):
    """Return the rows and columns (first, last + 1) of the pixels that the entries at `at` see."""
    y = net.forward(x, [name])[name]
    dy = np.zeros_like(y)
    dy[0, :, at[0], at[1]] = np.linspace(1, 2, y.shape[1])
    rows, cols = np.nonzero(net.backward({name: dy})[0].any(axis=0))
    return (rows.min(), rows.max() + 1), (cols.min(), cols.max() + 1)


@pytest.mark.parametrize("layers", FIELDS.values(), ids=FIELDS)
def test_receptive_fields_equal_a_gradient_probe(layers, rng):
    size = (27, 30)
    net = Network(layers, {}, (1, *size))
    shapes = net.param_shapes()
    net.params = {key: rng.uniform(0.5, 1, shape) for key, shape in shapes.items()}
    x = rng.uniform(0.5, 1, (1, 1, *size))
    pooled = any(isinstance(node.layer, MaxPool2d) for node in net.nodes)
    exact = 0
    for name, (extent, stride, offset) in net.receptive_fields().items():
        P, Q = net.shapes()[name][1:]
        for at in [(0, 0), (P // 2, Q // 2), (P - 1, Q - 1), (0, Q - 1)]:
            seen = probe(net, name, at, x)
            for i in (0, 1):
                start = 0 if extent is None else offset[i] + at[i] * stride[i]
                end = size[i] if extent is None else start + extent[i]
                assert start <= seen[i][0] < seen[i][1] <= end, (name, at)
                if not pooled and start >= 0 and end <= size[i]:
                    assert seen[i] == (start, end), (name, at)
                    exact += 1
    assert exact or pooled


@pytest.mark.parametrize(
    ("name", "layer", "size", "stride", "offset"),
    [
        ("vgg16", "pool5", 212, 32, -90),
        ("alexnet", "conv5", 163, 16, -64),
        ("alexnet-torchvision", "conv5", 163, 16, -66),
    ],
)
def test_published_receptive_fields(name, layer, size, stride, offset):
    field = build.skeleton(name).receptive_fields()[layer]
    assert field == ((size, size), (stride, stride), (offset, offset))


@pytest.mark.parametrize("name", ["squeezenet", "squeezenet1_1", "zfnet"])
def test_receptive_fields_of_real_networks_hold_what_a_probe_finds(name, rng):
    whole = build.skeleton(name)
    end = whole.layers.index("fc6" if name == "zfnet" else "fire5/concat")
    net = Network(whole.nodes[:end], {}, whole.input_shape)
    net.params = build.random_params(net.param_shapes(), 0, "float64")
    x = rng.standard_normal((1, 3, 123, 131))
    fields, shapes = net.receptive_fields(), net.shapes(x.shape[1:])
    for layer in net.layers[2::4]:
        size, stride, offset = fields[layer]
        middle = tuple(n // 2 for n in shapes[layer][1:])
        seen = probe(net, layer, middle, x)
        for i in (0, 1):
            start = offset[i] + middle[i] * stride[i]
            assert start <= seen[i][0] < seen[i][1] <= start + size[i], layer


def passed(net, x, taps=("fc",)):
    net.forward(x, list(taps))
    return net


BAD = {
    "unknown-tap": (
        lambda net, x: net.forward(x, ["relu9"]),
        "no layer named 'relu9'; the layers are conv1, relu1,",
    ),
    "no-tap": (lambda net, x: net.forward(x, []), "no layer named; the layers are conv1, relu1,"),
    "three-axes": (
        lambda net, x: net.forward(x[0], ["fc"]),
        "pictures (N, C, H, W), got float64 (3, 17, 22)",
    ),
    "bytes": (
        lambda net, x: net.forward(x.astype("uint8"), ["fc"]),
        "floating-point pictures (N, C, H, W), got uint8",
    ),
    "no-array": (lambda net, x: net.forward([1.0], ["fc"]), "got list"),
    "grey": (lambda net, x: net.forward(x[:, :1], ["fc"]), "layer conv1: a convolution"),
    "other-size": (
        lambda net, x: net.forward(x[:, :, :9], ["fc"]),
        "layer fc: a map (18, 2, 3) does not fit its weights (5, 162)",
    ),
    "shapes-other-size": (
        lambda net, x: net.shapes((3, 9, 22)),
        "layer fc: its weight (5, 162) does not fit an input of (18, 2, 3)",
    ),
    "too-small": (lambda net, x: net.shapes((3, 1, 2)), "layer"),
    "no-forward": (
        lambda net, x: net.backward({"fc": x}),
        "no forward pass with keep=True has reached layer 'fc'",
    ),
    "not-that-far": (
        lambda net, x: passed(net, x, ["pool1"]).backward({"fc": x}),
        "has reached layer 'fc' yet",
    ),
    "unknown-gradient": (
        lambda net, x: passed(net, x).backward({"fc9": x}),
        "no layer named 'fc9'",
    ),
    "no-gradient": (lambda net, x: passed(net, x).backward({}), "no layer named;"),
    "gradient-shape": (
        lambda net, x: passed(net, x).backward({"fc": x}),
        "layer fc: the gradient is (2, 3, 17, 22), its activation (2, 5, 1, 1)",
    ),
    "relu-rule": (
        lambda net, x: passed(net, x).backward({"fc": np.ones((2, 5, 1, 1))}, "relu"),
        "no ReLU rule 'relu'; the rules are gradient, deconvnet, guided",
    ),
    "lrn-rule": (
        lambda net, x: passed(net, x).backward({}, lrn_rule="none"),
        "no LRN rule 'none'; the rules are gradient, identity",
    ),
    "overlap": (
        lambda net, x: passed(net, x).backward({"fc": np.ones((2, 5, 1, 1))}, overlap="mean"),
        "no overlap rule 'mean'",
    ),
    "gradients-in-evaluation": (
        lambda net, x: passed(net, x).gradients({"fc": x}),
        "need a forward pass with training=True",
    ),
    "dropout-without-rng": (
        lambda net, x: net.forward(x, ["fc"], training=True),
        "layer drop: dropout in training draws random numbers; pass rng",
    ),
    "unknown-layer": (lambda net, x: net.layer("relu9"), "no layer named 'relu9'"),
    "twice": (
        lambda net, x: Network([("a", ReLU()), ("a", ReLU())], {}, SHAPE),
        "two layers are named 'a'",
    ),
    "input-to-come": (
        lambda net, x: Network([("a", ReLU(), ("b",)), ("b", ReLU())], {}, SHAPE),
        "layer 'a' takes 'b', which does not come before",
    ),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input_gets_one_clear_line(call, message, net, x):
    with pytest.raises(MinicnnError) as caught:
        call(net, x)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
