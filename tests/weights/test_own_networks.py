"""Networks that are none of ours: saved with their table of layers, and in every verb."""

import json

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.network import layers as kinds
from minicnn.network.architectures import CAFFE, TORCHVISION
from minicnn.network.layers import Add, Conv2d, GlobalAvgPool2d, Linear, MaxPool2d, ReLU, Softmax
from minicnn.network.network import Network
from minicnn.network.tables import KINDS, network_of, table_of

LAYERS = [
    ("conv1", Conv2d(6, (3, 5), padding=(1, 2))),
    ("relu1", ReLU()),
    ("res.1/conv", Conv2d(6, 3, padding=1, bias=False)),
    ("res.1/add", Add(), ("res.1/conv", "relu1")),
    ("pool1", MaxPool2d(2, 2)),
    ("conv2", Conv2d(8, 3, padding=1, groups=2)),
    ("relu2", ReLU()),
    ("mean", GlobalAvgPool2d()),
    ("fc", Linear(3)),
    ("prob", Softmax()),
]


def own(name="mine"):
    net = Network(LAYERS, {}, (3, 32, 32), {"name": name, "preprocess": TORCHVISION})
    net.initialise(1)
    return net


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "own.h5"
    minicnn.save(own(), path)
    return path


@pytest.mark.smoke
def test_it_comes_back_without_its_architecture_being_known(saved, rng):
    net, found = own(), minicnn.load(saved)
    assert found.nodes == net.nodes
    assert (found.input_shape, found.attrs["name"]) == ((3, 32, 32), "mine")
    assert found.attrs["preprocess"] == TORCHVISION
    assert list(found.params) == list(net.params)
    x = rng.standard_normal((1, 3, 32, 32), dtype="float32")
    np.testing.assert_array_equal(
        found.forward(x, ["prob"])["prob"], net.forward(x, ["prob"])["prob"]
    )


def test_a_name_is_not_needed_and_other_pooling_can_be_asked_for(tmp_path):
    net = own()
    del net.attrs["name"]
    minicnn.save(net, tmp_path / "a.h5")
    found = minicnn.load(tmp_path / "a.h5", pool="average")
    assert (found.attrs["name"], found.attrs["pool"]) == ("own", "average")
    assert found.layer("pool1") == kinds.AvgPool2d()


def test_every_kind_of_layer_has_a_place_in_a_table():
    """Whatever is a layer by itself; those to be inherited or put around others are none."""
    public = {name for name, kind in vars(kinds).items() if isinstance(kind, type)}
    assert public - KINDS.keys() == {"Layer", "Pool2d", "Mode", "Rule", "ConvCache"}


def test_its_repr_is_its_table():
    lines = repr(own()).splitlines()
    assert lines[0] == "mine for pictures 3 x 32 x 32"
    assert lines[1].split() == ["conv1", "Conv2d", *"6 x 32 x 32".split(), "276"]
    assert len(lines) == 1 + len(LAYERS)


@pytest.mark.parametrize("engine", ["explicit", "fast"])
def test_without_parameters_it_says_so(engine):
    from minicnn.engine.select import Evaluation, evaluator_of

    net = Network(LAYERS, {}, (3, 32, 32))
    x = np.zeros((1, 3, 32, 32), "float32")
    with pytest.raises(MinicnnError, match=r"it has no weight; net.initialise\(seed\)"):
        evaluator_of(net, Evaluation(engine)).forward(x, ["fc"])
    net.initialise(0)
    assert evaluator_of(net, Evaluation(engine)).forward(x, ["fc"])["fc"].shape == (1, 3, 1, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda net: net.attrs.pop("preprocess"), "preprocessing needs channel_order"),
        (lambda net: net.attrs.update(name="vgg16"), "the layers are not those of vgg16"),
        (lambda net: net.params.pop("fc.bias"), "layer fc: bias is missing; mine wants"),
        (lambda net: setattr(net, "input_shape", (3, 32, 31)), "it must be [3, N, N]"),
        (
            lambda net: net.nodes.__setitem__(1, net.nodes[1]._replace(layer=Strange())),
            "layer relu1 is a Strange, which a weight file cannot hold",
        ),
        (
            lambda net: net.nodes.__setitem__(-1, net.nodes[-1]._replace(name="a/../b")),
            "a layer cannot be called 'a/../b'",
        ),
    ],
)
def test_what_is_not_saved(change, message, tmp_path):
    net = own()
    change(net)
    with pytest.raises(MinicnnError) as caught:
        minicnn.save(net, tmp_path / "a.h5")
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


class Strange(ReLU):
    """A layer of the reader's own."""


CONV = ["c", "Conv2d", ["input"]]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "not a table of 1 to 4096 rows"),
        ([], "not a table of 1 to 4096 rows"),
        ([7], "a layer's row is 7"),
        ([["a", "ReLU", [], {}]], "a layer's row is"),
        ([["a", "ReLU", [["input"]], {}]], "a layer's row is"),
        ([["a", "Network", ["input"], {}]], "layer a is a 'Network'; known are"),
        ([["a", "ReLU", ["b"], {}]], "takes 'b', which does not come before"),
        ([["input", "ReLU", ["input"], {}]], "cannot be called 'input'"),
        ([["a/weight", "ReLU", ["input"], {}]], "cannot be called"),
        ([["a", "ReLU", ["input"], {"rule": "x"}]], "layer a: the settings of a ReLU are none"),
        ([[*CONV, {}]], "layer c: a Conv2d needs its channels"),
        ([[*CONV, {"channels": 0}]], "layer c: channels = 0"),
        ([[*CONV, {"channels": True}]], "layer c: channels = True"),
        ([[*CONV, {"channels": 2, "kernel": [3, 3, 3]}]], "layer c: kernel = [3, 3, 3]"),
        ([[*CONV, {"channels": 2, "stride": 0}]], "layer c: stride = 0"),
        ([[*CONV, {"channels": 2, "bias": 1}]], "layer c: bias = 1"),
        ([[*CONV, {"channels": 2, "groups": 2}]], "layer c: a convolution with weights"),
        ([["a", "LRN", ["input"], {"beta": float("nan")}]], "layer a: beta = nan"),
        ([["a", "Linear", ["input"], {"channels": 1 << 20}]], "more than"),
        ([["a", "MaxPool2d", ["input"], {"kernel": 99}]], "layer a: "),
    ],
)
def test_tables_that_are_none(table, message):
    with pytest.raises(MinicnnError) as caught:
        network_of(table, [3, 32, 32])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_is_plain_data():
    table = table_of(own())
    assert network_of(json.loads(json.dumps(table)), (3, 32, 32)).nodes == own().nodes


# Through the verbs


@pytest.fixture
def verb(saved, tmp_path, monkeypatch, rng, capfd):
    """Run a verb on pictures with the network of its own; return (code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    for name in ("a.png", "b.png", "set/1.png", "set/2.png", "set/3.png"):
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), np.uint8)).save(name)

    def run(*options):
        threads = () if options[0] == "models" else ("--threads", "1")
        code = main([*map(str, options), *threads])
        return (code, *capfd.readouterr())

    return run


LOOKS = {
    "style": ("a.png", "b.png", "--content-layers", "relu2", "--style-layers", "relu1,res.1/add",
              "--size", "40", "--iterations", "2"),
    "texture": ("a.png", "--layers", "relu1,pool1", "--size", "32x32", "--iterations", "2"),
    "deconv": ("a.png", "--layer", "res.1/add"),
    "invert": ("a.png", "--layer", "relu2", "--iterations", "2", "--size", "32"),
    "saliency": ("a.png",),
    "class-model": ("--class", "1", "--iterations", "2"),
}  # fmt: skip


@pytest.mark.parametrize("option", ["--weights", "--network"])
@pytest.mark.parametrize("name", ["style", "deconv"])
def test_either_option_takes_the_file(name, option, verb, saved):
    code, _, stderr = verb(name, *LOOKS[name], "-o", "out.png", option, saved)
    assert code == 0, stderr


@pytest.mark.parametrize("name", LOOKS.keys() - {"style", "deconv"})
def test_verbs_that_look_and_make(name, verb, saved):
    code, _, stderr = verb(name, *LOOKS[name], "-o", "out.png", "--weights", saved)
    assert code == 0, stderr


def test_its_layers_are_listed(verb, saved):
    code, stdout, _ = verb("models", saved, "--json")
    rows = [json.loads(line) for line in stdout.splitlines()]
    assert code == 0
    assert [row["layer"] for row in rows if row["event"] == "layer"] == own().layers
    code, _, stderr = verb("models", "nothing")
    assert code in (1, 2)
    assert "no network named 'nothing'" in stderr


def test_features_of_it(verb, saved):
    code, _, stderr = verb(
        "features", "set", "-o", "found.h5", "--layers", "relu2", "--weights", saved, "--size", "32"
    )  # fmt: skip
    assert code == 0, stderr


def test_a_picture_of_it_is_made_again(verb, saved, capfd):
    assert verb("style", *LOOKS["style"], "-o", "one.png", "--weights", saved)[0] == 0
    assert main(["rerun", "one.png", "-o", "two.png"]) == 0, capfd.readouterr().err
    one, two = (np.asarray(Image.open(name)) for name in ("one.png", "two.png"))
    np.testing.assert_array_equal(one, two)


def test_layers_are_asked_for_in_one_line(verb, saved):
    code, _, stderr = verb("style", "a.png", "b.png", "-o", "out.png", "--weights", saved)
    assert code in (1, 2)
    assert "no default content layers for the network mine; name them with --content" in stderr
    code, _, stderr = verb(
        "deconv", "a.png", "--layer", "relu1", "-o", "o.png", "--network", "mine"
    )
    assert code in (1, 2)
    assert "one of your own is given by --weights FILE" in stderr


def test_training_by_a_script_of_ones_own(tmp_path, rng):
    """With the library's gradients the loss falls; the file keeps what came of it."""
    from minicnn.ops import softmax

    net = own()
    net.attrs["preprocess"] = CAFFE
    x = rng.standard_normal((6, 3, 32, 32), dtype="float32")
    labels = np.array([0, 1, 2, 0, 1, 2])
    losses = []
    for _ in range(12):
        scores = net.forward(x, ["fc"], training=True)["fc"]
        loss, cache = softmax.cross_entropy(scores[:, :, 0, 0], labels)
        losses.append(loss)
        dy = softmax.cross_entropy_backward(cache)[:, :, None, None]
        for key, grad in net.gradients({"fc": dy}).items():
            net.params[key] = net.params[key] - np.float32(0.05) * grad
    assert losses[-1] < 0.9 * losses[0]
    minicnn.save(net, tmp_path / "trained.h5")
    found = minicnn.load(tmp_path / "trained.h5")
    np.testing.assert_array_equal(found.params["conv1.weight"], net.params["conv1.weight"])
