"""What the first convolution makes need not be kept: the numbers are those of the network."""

import numpy as np
import pytest
from plan_testing import agree, cut, relative

import minicnn
from minicnn import cli
from minicnn.engine.cpu import columns, winograd
from minicnn.engine.cpu.convolution_units import RecomputedConvolution
from minicnn.engine.cpu.evaluator import FastEvaluator
from minicnn.engine.cpu.recomputed import Recomputed
from minicnn.engine.cpu.threads import Crew
from minicnn.errors import MinicnnError
from minicnn.methods.texture.loss import texture_objective
from minicnn.network import build
from minicnn.network.layers import AvgPool2d, Conv2d, MaxPool2d, ReLU
from minicnn.network.network import Network
from minicnn.objectives.channel_product import ChannelProduct
from minicnn.objectives.gram import mean_gram
from minicnn.pictures.reader import load_image
from minicnn.pictures.writer import read_metadata, save_image

KINDS = (1, 6), (1, 4), (0, 3)  # kernel, stride, padding: from, to before
WEIGHTS = {"content_weight": 1.0, "style_weight": 10.0, "tv_weight": 0.1}
STYLES = {  # network -> content layers, style layers
    "minivgg": (["relu3_2"], ["relu1_1", "relu1_2", "relu2_1"]),
    "vgg19": (["relu2_2"], ["relu1_1", "relu2_1"]),
    "squeezenet": (["fire2/concat"], ["relu_conv1"]),  # a pooling reads relu_conv1
}


@pytest.mark.parametrize("strip", [1, columns.STRIP_BYTES])
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", STYLES)
def test_style_is_that_of_the_explicit_network(name, threads, strip, rng, monkeypatch):
    monkeypatch.setattr(columns, "STRIP_BYTES", strip)
    content_layers, style_layers = STYLES[name]
    layers = {"content_layers": content_layers, "style_layers": style_layers}
    net = cut(name, content_layers + style_layers, "average")
    content, style, *xs = (rng.standard_normal((1, 3, *s)) for s in ((45, 50), (40, 61)) * 2)
    ours, theirs = (
        minicnn.style_objective(
            net, content, style, **layers, **WEIGHTS, engine=engine, threads=threads
        )
        for engine in ("fast", "explicit")
    )
    for x in (xs[0], 0.5 * xs[0], xs[0]):
        (value, dx), (wanted, dy) = ours(x), theirs(x)
        assert value == pytest.approx(wanted, rel=1e-10)
        assert relative(dx, dy) < 1e-10


@pytest.mark.parametrize("seed", range(20))
def test_random_first_layers_that_are_no_taps(seed):
    rng = np.random.default_rng(seed)
    kernel, stride, padding = (tuple(map(int, rng.integers(*ends, 2))) for ends in KINDS)
    groups = int(rng.choice([1, 3]))
    conv = Conv2d(12, kernel, stride=stride, padding=padding, groups=groups)
    table = [("conv1", conv), ("relu1", ReLU())][: rng.integers(1, 3)]
    table.append(("conv2", Conv2d(8, 3, padding=int(rng.integers(0, 3)))))
    if rng.integers(2):
        pool = (MaxPool2d, AvgPool2d)[rng.integers(2)](2, stride=2)
        table += [("relu2", ReLU()), ("pool2", pool)]
    shape = (int(rng.integers(1, 4)), 3, *(int(n) for n in rng.integers(20, 40, 2)))
    net = Network(table, {}, shape[1:])
    net.params = build.random_params(net.param_shapes(), seed, "float64")
    replay = agree(net, net.layers[-1:], shape, rng)
    assert any(isinstance(unit, RecomputedConvolution) for unit in replay.plan.units)


def replayed(net, x, taps, only_grams=()):
    replay = FastEvaluator(net, 2).replay(only_grams)
    return replay, replay.forward(x, taps)


def test_pictures_of_a_batch(rng):
    net, taps = minicnn.build("minivgg", dtype="float64"), ["relu1_1", "relu2_1"]
    x = rng.standard_normal((3, 3, 26, 31))
    replay, acts = replayed(net, x, taps, taps)
    wanted = net.forward(x, taps)
    gram = replay.mean_gram(acts["relu1_1"])
    assert relative(gram, mean_gram(wanted["relu1_1"])) < 1e-12
    dy = rng.standard_normal(acts["relu2_1"].shape)
    alone = {"relu1_1": ChannelProduct(gram, acts["relu1_1"])}
    dense = {"relu1_1": ChannelProduct(gram, wanted["relu1_1"]).dense()}
    assert relative(replay.backward(alone), net.backward(dense)) < 1e-10
    both, dense = alone | {"relu2_1": dy}, dense | {"relu2_1": dy}
    net.forward(x, taps)
    assert relative(replay.backward(both), net.backward(dense)) < 1e-10


@pytest.mark.parametrize(
    ("name", "taps", "only_grams", "tap"),
    [
        ("minivgg", ["relu1_1", "relu2_1"], ["relu1_1", "relu2_1"], "relu1_1"),
        ("minivgg", ["relu1_1", "relu2_1"], ["relu2_1"], None),  # a content layer
        ("minivgg", ["conv1_1", "relu2_1"], ["conv1_1", "relu2_1"], None),  # the ReLU reads it
        ("squeezenet", ["relu_conv1", "pool1"], ["relu_conv1"], None),  # a pooling reads it
        ("minivgg", ["relu1_1"], ["relu1_1"], None),  # nobody reads it
    ],
)
def test_what_is_recomputed(name, taps, only_grams, tap, rng):
    net = minicnn.build(name)
    _, acts = replayed(net, rng.standard_normal((1, 3, 64, 64)), taps, only_grams)
    assert [n for n, f in acts.items() if isinstance(f, Recomputed)] == ([tap] if tap else [])


def test_the_activation_has_no_memory(rng):
    net, taps = minicnn.build("minivgg"), ["relu1_1", "relu2_1"]
    replay, acts = replayed(net, rng.standard_normal((1, 3, 64, 64)), taps, taps)
    replay.mean_gram(acts["relu1_1"])
    replay.backward({"relu2_1": acts["relu2_1"]})
    plan = replay.plan
    written = [written for _, written in plan.arena._held]
    kept = [array.size for array in plan.held.values() if not isinstance(array, Recomputed)]
    assert kept == [acts["relu2_1"].size]
    largest = acts["relu1_1"].shape[1] * 64 * 64
    assert max(written) < largest, "it, or its gradient, was in the arena"


def test_what_is_no_tap_is_read_once(rng, monkeypatch):
    """On the way back its bits will do."""
    net = minicnn.build("minivgg")
    replay, acts = replayed(net, rng.standard_normal((1, 3, 64, 64)), ["relu2_1"])
    monkeypatch.delattr(Recomputed, "read")
    replay.backward(acts)


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("shared_out", [False, True])  # the products, by frequency
@pytest.mark.parametrize("size", [(9, 8), (37, 31), (40, 20)])
def test_each_row_goes_into_the_gram_matrix_once(size, shared_out, padding, rng, monkeypatch):
    if shared_out:
        monkeypatch.setattr(winograd, "LARGE_BYTES", 0)
    table = [("one", Conv2d(8, 3)), ("relu", ReLU()), ("two", Conv2d(8, 3, padding=padding))]
    net = Network(table, {}, (3, *size))
    net.params = build.random_params(net.param_shapes(), 0, "float64")
    x = rng.standard_normal((2, 3, *size))
    replay, acts = replayed(net, x, ["relu", "two"], ["relu"])
    assert isinstance(acts["relu"], Recomputed)
    wanted = net.forward(x, ["relu", "two"])
    assert relative(acts["two"], wanted["two"]) < 1e-12
    assert relative(replay.mean_gram(acts["relu"]), mean_gram(wanted["relu"])) < 1e-12


def test_texture(rng):
    net = minicnn.build("minivgg", dtype="float64", pool="average")
    source, x = rng.standard_normal((1, 3, 40, 32)), rng.standard_normal((1, 3, 32, 24))
    how = {"layers": ["relu1_1", "relu2_1"], "tv_weight": 0.1}
    (value, dx), (wanted, dy) = (
        texture_objective(net, source, **how, engine=engine)(x) for engine in ("fast", "explicit")
    )
    assert value == pytest.approx(wanted, rel=1e-10)
    assert relative(dx, dy) < 1e-10


@pytest.mark.parametrize(
    "options",
    [
        {"content_masks": True},
        {"style_masks": True},
        {"content_masks": True, "style_masks": True},
        {"content_layers": ["relu1_1", "relu2_1"]},
        {"tile": 24},
    ],
    ids=lambda options: ", ".join(options),
)
def test_whatever_else_reads_the_first_layer(options, rng):
    net = minicnn.build("minivgg", dtype="float64", pool="average")
    content, style, x = (rng.standard_normal((1, 3, 32, 40)) for _ in range(3))
    masks = {k: [rng.random((32, 40))] for k, v in options.items() if v is True}
    how = {"content_layers": ["relu2_1"], "style_layers": ["relu1_1", "relu2_1"], **WEIGHTS}
    (value, dx), (wanted, dy) = (
        minicnn.style_objective(net, content, style, **(how | options | masks), engine=engine)(x)
        for engine in ("fast", "explicit")
    )
    assert value == pytest.approx(wanted, rel=1e-10)
    assert relative(dx, dy) < 1e-10


def test_the_number_of_threads_does_not_change_a_bit(rng):
    net = minicnn.build("minivgg", pool="average")
    content, style, x = (rng.standard_normal((1, 3, 70, 90)).astype("f4") for _ in range(3))
    how = {"content_layers": ["relu2_1"], "style_layers": ["relu1_1", "relu2_1"], **WEIGHTS}
    found = [minicnn.style_objective(net, content, style, **how, threads=n)(x) for n in (1, 2, 3)]
    assert all(value == found[0][0] for value, _ in found)
    assert all(np.array_equal(dx, found[0][1]) for _, dx in found)


def test_nor_with_groups(rng):
    table = [("one", Conv2d(24, 3, groups=3, padding=1)), ("two", Conv2d(8, 3, padding=1))]
    net = Network(table, {}, (3, 97, 203))
    net.params = build.random_params(net.param_shapes(), 0, "float32")
    x = rng.standard_normal((1, 3, 97, 203)).astype("f4")
    found = [FastEvaluator(net, n).replay().forward(x, ["two"])["two"] for n in (1, 2, 3, 5)]
    assert all(np.array_equal(y, found[0]) for y in found)


def test_the_picture_of_another_crew(rng):
    """What computes the rows stays, for programs of both crews read its copy of the picture."""
    net, taps = minicnn.build("minivgg", dtype="float64"), ["relu1_1", "relu2_1"]
    replay, crews = FastEvaluator(net, 1).replay({"relu1_1"}), [Crew(1), Crew(2)]
    for i, crew in enumerate([*crews, crews[0]]):
        replay._crew = crew
        x = rng.standard_normal((1, 3, 20, 20))
        acts, wanted = replay.forward(x, taps), net.forward(x, taps)
        gram = mean_gram(wanted["relu1_1"])
        if i != 1:
            ours, theirs = (ChannelProduct(gram, a["relu1_1"]) for a in (acts, wanted))
            dx = net.backward({"relu1_1": theirs.dense()})
            assert relative(replay.backward({"relu1_1": ours}), dx) < 1e-10


def test_other_sizes_and_other_readers_follow_each_other(rng):
    net, taps = minicnn.build("minivgg", dtype="float64"), ["relu1_1", "relu2_1"]
    evaluator = FastEvaluator(net, 2)
    replays = [(evaluator.replay(only_grams), only_grams) for only_grams in ({"relu1_1"}, set())]
    for size, (replay, only_grams) in (
        ((30, 20), replays[0]),
        ((20, 30), replays[0]),
        ((20, 30), replays[1]),
    ):
        x = rng.standard_normal((1, 3, *size))
        acts, wanted = replay.forward(x, taps), net.forward(x, taps)
        assert isinstance(acts["relu1_1"], Recomputed) == bool(only_grams)
        gram = mean_gram(wanted["relu1_1"])
        assert relative(replay.mean_gram(acts["relu1_1"]), gram) < 1e-12
        rest = rng.standard_normal(wanted["relu1_1"].shape)
        ours = {"relu1_1": ChannelProduct(gram, acts["relu1_1"], rest)}
        theirs = {"relu1_1": ChannelProduct(gram, wanted["relu1_1"], rest).dense()}
        assert relative(replay.backward(ours), net.backward(theirs)) < 1e-10


@pytest.fixture
def drawn(tmp_path, rng):
    paths = [str(tmp_path / name) for name in ("content.png", "style.png")]
    for path in paths:
        save_image(path, rng.integers(0, 256, (40, 48, 3), dtype=np.uint8))
    return paths


def test_the_option_and_its_picture(drawn, tmp_path):
    few = ["--size", "48", "--iterations", "3", "--quiet", "--scales", "1"]
    for name, option in (("less", ["--low-memory"]), ("usual", [])):
        assert cli.main(["style", *drawn, "-o", str(tmp_path / f"{name}.png"), *few, *option]) == 0
    less, usual = (
        load_image(tmp_path / f"{name}.png").pixels.astype(int) for name in ("less", "usual")
    )
    assert abs(less - usual).max() <= 1
    assert read_metadata(tmp_path / "less.png")["settings"]["engine"] == "low-memory"
    again = str(tmp_path / "again.png")
    assert cli.main(["rerun", str(tmp_path / "less.png"), "-o", again, "--quiet"]) == 0
    assert np.array_equal(load_image(again).pixels, less)


def test_what_does_not_go_with_it(drawn, tmp_path, capsys):
    out = ["-o", str(tmp_path / "out.png")]
    assert cli.main(["texture", drawn[0], *out, "--low-memory", "--engine", "explicit"]) == 2
    assert "not allowed with argument" in capsys.readouterr().err
    with pytest.raises(MinicnnError, match="use auto, explicit, fast, low-memory"):
        minicnn.style_objective(
            minicnn.build("minivgg"),
            *np.zeros((2, 1, 3, 32, 32)),
            content_layers=["relu1_2"],
            style_layers=["relu1_1"],
            **WEIGHTS,
            engine="slow",
        )
