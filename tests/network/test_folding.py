import numpy as np
import pytest

from minicnn.errors import MinicnnError
from minicnn.network import build
from minicnn.network.folding import fold_batch_norm, normalize_activations
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
    Softmax,
)
from minicnn.network.network import Network
from minicnn.weights import checkpoint


def random_net(layers, shape, rng, dtype="float64"):
    net = Network(layers, {}, shape, {"name": "small"})
    net.params = build.random_params(net.param_shapes(), 2, dtype)
    for key, array in net.params.items():
        if not key.endswith("weight"):
            array += rng.uniform(0.1, 0.6, array.shape).astype(dtype)
    return net


def trained(name, rng, dtype="float32", classes=5):
    """A network with biases and statistics that are not those of a new one."""
    net = build.build(name, classes=classes, dtype=dtype)
    for key, array in net.params.items():
        if not key.endswith("weight"):
            array += rng.uniform(0.05, 0.5, array.shape).astype(dtype)
    return net


def relative(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


# Folding


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)])
def test_the_folded_network_computes_the_same(dtype, tolerance, rng):
    net = trained("minivgg-bn", rng, dtype)
    folded = fold_batch_norm(net)
    x = rng.standard_normal((2, 3, 64, 64)).astype(dtype)
    taps = [name for name in folded.layers if not name.startswith("conv")]
    before, after = net.forward(x, taps), folded.forward(x, taps)
    for name in taps:
        assert relative(after[name], before[name]) < tolerance, name
        assert after[name].dtype == dtype


def test_the_folded_minivgg_is_the_shipped_one(rng, tmp_path):
    net = trained("minivgg-bn", rng, classes=200)
    net.attrs["training"] = {"accuracy": 0.5}
    before = {key: array.copy() for key, array in net.params.items()}
    folded = fold_batch_norm(net)
    assert folded.attrs["name"] == "minivgg"
    assert folded.attrs["training"] == {"accuracy": 0.5}
    assert folded.nodes == build.skeleton("minivgg").nodes
    assert list(folded.params) == list(build.skeleton("minivgg").params)
    checkpoint.save(folded, tmp_path / "a.h5")
    assert checkpoint.load(tmp_path / "a.h5").nodes == folded.nodes
    assert net.attrs["name"] == "minivgg-bn"
    assert all((net.params[key] == before[key]).all() for key in before)


@pytest.mark.smoke
def test_branches_and_biases_are_folded(rng):
    layers = [
        ("a", Conv2d(4, 3)),
        ("bn_a", BatchNorm2d(eps=0.1)),
        ("b", Conv2d(3, 1, bias=False)),
        ("c", Conv2d(2, 1), ("bn_a",)),
        ("bn_c", BatchNorm2d()),
        ("both", Concat(), ("b", "bn_c", "bn_a")),
    ]
    net = random_net(layers, (3, 8, 9), rng)
    folded = fold_batch_norm(net)
    assert folded.layers == ["a", "b", "c", "both"]
    x = rng.standard_normal((2, 3, 8, 9))
    found, expected = (n.forward(x, ["both"])["both"] for n in (folded, net))
    assert relative(found, expected) < 1e-13


@pytest.mark.parametrize(
    "layers",
    [
        [("bn", BatchNorm2d())],
        [("conv", Conv2d(3, 1)), ("relu", ReLU()), ("bn", BatchNorm2d())],
        [("conv", Conv2d(3, 1)), ("bn", BatchNorm2d()), ("both", Concat(), ("conv", "bn"))],
    ],
    ids=["of-the-picture", "behind-a-relu", "not-alone"],
)
def test_what_cannot_be_folded_is_named(layers, rng):
    net = random_net(layers, (3, 4, 4), rng)
    with pytest.raises(MinicnnError, match="layer bn cannot be folded"):
        fold_batch_norm(net)


def test_a_network_without_batch_normalisation_stays(rng):
    net = trained("minivgg", rng)
    folded = fold_batch_norm(net)
    assert folded.nodes == net.nodes
    assert folded.attrs == net.attrs


# Normalising

PLAIN = [
    ("conv1", Conv2d(6, 3, padding=1)),
    ("relu1", ReLU()),
    ("conv2", Conv2d(4, 3, stride=2, groups=2)),
    ("relu2", ReLU()),
    ("pool2", MaxPool2d(3, 2, padding=1, ceil=True)),
    ("drop2", Dropout()),
    ("fc", Linear(5)),
    ("relu_fc", ReLU()),
    ("fc2", Linear(3)),
    ("prob", Softmax()),
]
BRANCHED = [
    ("conv", Conv2d(4, 3)),
    ("relu", ReLU()),
    ("left", Conv2d(3, 1, bias=False)),
    ("relu_left", ReLU()),
    ("right", Conv2d(5, 3, padding=1), ("relu",)),
    ("relu_right", ReLU()),
    ("both", Concat(), ("relu_left", "relu_right", "relu")),
    ("pool", AvgPool2d(2, 2)),
    ("last", Conv2d(3, 1)),
    ("relu_last", ReLU()),
    ("global", GlobalAvgPool2d()),
    ("prob", Softmax()),
]


def means(net, name, batches):
    """Mean activations, pictures of different sizes weighed by their pixels."""
    maps = [net.forward(x, [name])[name] for x in batches]
    return np.concatenate([y.transpose(1, 0, 2, 3).reshape(y.shape[1], -1) for y in maps], 1).mean(
        1
    )


@pytest.mark.parametrize(
    ("layers", "normal", "left"),
    [
        (PLAIN, ["relu1", "relu2"], []),
        (BRANCHED, ["relu", "relu_left", "relu_right"], ["last"]),
    ],
    ids=["plain", "branched"],
)
def test_means_become_one_and_the_output_stays(layers, normal, left, rng):
    net = random_net(layers, (3, 13, 14), rng)
    batches = [rng.standard_normal((n, 3, 13, 14)) for n in (3, 1)]
    before = {key: array.copy() for key, array in net.params.items()}
    after = normalize_activations(net, iter(batches))
    assert after.attrs["normalized"] == {"pictures": 4, "dead": {}, "left": left}
    for name in normal:
        np.testing.assert_allclose(means(after, name, batches), 1, rtol=1e-12)
    x = rng.standard_normal((2, 3, 13, 14))
    for name in net.layers[-3:]:
        found, expected = (n.forward(x, [name])[name] for n in (after, net))
        assert relative(found, expected) < 1e-12
    assert all((net.params[key] == before[key]).all() for key in before)
    assert net.attrs == {"name": "small"}


@pytest.mark.parametrize("pool", [None, "average"])
@pytest.mark.parametrize("name", ["squeezenet1_1", "minivgg"])
def test_real_networks_keep_their_output(name, pool, rng):
    net = build.build(name, classes=5, pool=pool)
    batches = [rng.standard_normal((2, 3, 64, 64), dtype="float32")]
    after = normalize_activations(net, batches)
    left = ["conv10"] if name == "squeezenet1_1" else []
    assert after.attrs["normalized"]["left"] == left
    top = net.layers[-2]
    x = rng.standard_normal((1, 3, 64, 64), dtype="float32")
    found, expected = (n.forward(x, [top])[top] for n in (after, net))
    assert found.dtype == np.float32
    assert relative(found, expected) < 1e-4


@pytest.mark.parametrize("pool", [None, "average"])
@pytest.mark.parametrize("name", ["squeezenet1_1", "minivgg"])
def test_means_of_real_networks_become_one(name, pool, rng):
    # in float64: in float32 the mean of a channel that hardly ever fires is mostly rounding
    net = build.build(name, classes=5, pool=pool, dtype="float64")
    batches = [rng.standard_normal((2, 3, 64, 64))]
    after = normalize_activations(net, batches)
    report = after.attrs["normalized"]
    dead = {conv: set(channels) for conv, channels in report["dead"].items()}
    for node in net.nodes:
        if isinstance(node.layer, Conv2d) and node.name not in report["left"]:
            relu = next(other.name for other in net.nodes if node.name in other.inputs)
            alive = [c for c in range(node.layer.channels) if c not in dead.get(node.name, ())]
            np.testing.assert_allclose(means(after, relu, batches)[alive], 1, rtol=1e-10)


def test_dead_channels_are_left_and_reported(rng):
    net = random_net(PLAIN, (3, 13, 14), rng)
    net.params["conv1.bias"][[1, 4]] = -1e3
    after = normalize_activations(net, [rng.standard_normal((2, 3, 13, 14))])
    assert after.attrs["normalized"]["dead"] == {"conv1": [1, 4]}
    for kind in ("weight", "bias"):
        before, found = net.params[f"conv1.{kind}"], after.params[f"conv1.{kind}"]
        assert (found[[1, 4]] == before[[1, 4]]).all()
        assert (found[[0, 2, 3, 5]] != before[[0, 2, 3, 5]]).any()


def test_a_normalised_network_can_be_saved(tmp_path, rng):
    net = build.build("minivgg", classes=3)
    after = normalize_activations(net, [rng.standard_normal((1, 3, 64, 64), dtype="float32")])
    checkpoint.save(after, tmp_path / "a.h5")
    assert checkpoint.load(tmp_path / "a.h5").attrs["normalized"] == after.attrs["normalized"]


@pytest.mark.parametrize(
    ("layers", "batches", "message"),
    [
        ([*PLAIN[:2], ("norm", LRN()), *PLAIN[2:]], 1, "layer norm (LRN) does not commute"),
        (
            [PLAIN[0], ("bn", BatchNorm2d()), *PLAIN[1:]],
            1,
            "layer bn (BatchNorm2d) does not commute with a change of scale, so this network "
            "cannot be normalised (fold it first)",
        ),
        (PLAIN, 0, "mean activations need at least one picture"),
        (PLAIN[:2], 1, "no convolution of this network has a ReLU that could be normalised"),
    ],
    ids=["lrn", "batch-norm", "no-pictures", "no-relu"],
)
def test_what_cannot_be_normalised_gets_one_clear_line(layers, batches, message, rng):
    net = random_net(layers, (3, 13, 14), rng)
    with pytest.raises(MinicnnError) as caught:
        normalize_activations(net, [rng.standard_normal((1, 3, 13, 14))] * batches)
    assert message in str(caught.value)


def test_broken_activations_are_refused(rng):
    net = random_net(PLAIN, (3, 13, 14), rng)
    net.params["conv1.bias"][0] = np.nan
    with pytest.raises(MinicnnError, match="activations of layer relu1 are NaN or infinite"):
        normalize_activations(net, [rng.standard_normal((1, 3, 13, 14))])
