"""Tiles: the same value and gradient as the whole picture, whatever the tiles."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from minicnn.engine.tiled import TiledEvaluator
from minicnn.engine.tiled_objective import TiledFunction
from minicnn.errors import MinicnnError
from minicnn.methods.style.loss import style_objective
from minicnn.methods.texture.loss import texture_objective
from minicnn.network import build
from minicnn.network.layers import LRN, AvgPool2d, Conv2d, GlobalAvgPool2d, MaxPool2d, ReLU
from minicnn.network.network import Network
from minicnn.network.receptive_fields import Field
from minicnn.network.replicate_edges import replicate_first
from minicnn.network.torus import on_torus
from minicnn.objectives import priors
from minicnn.objectives.class_score import ClassScore
from minicnn.objectives.content import ContentLoss
from minicnn.objectives.gram import GramStyleLoss, style_targets
from minicnn.objectives.guidance import GuidedStyleLoss, guided_gram
from minicnn.objectives.weighted_sum import ImageFunction, WeightedSum


def network(pool, name="vgg-like", dtype="float64"):
    """Two poolings; as VGG pads, or with a first layer and poolings as AlexNet's."""
    if name == "vgg-like":
        layers = [
            ("conv1", Conv2d(4, 3, padding=1)),
            ("relu1", ReLU()),
            ("pool1", pool()),
            ("conv2", Conv2d(5, 3, padding=1)),
            ("relu2", ReLU()),
            ("pool2", pool()),
            ("conv3", Conv2d(6, 3, padding=1)),
            ("relu3", ReLU()),
        ]
    else:
        layers = [
            ("conv1", Conv2d(4, (5, 3), stride=2, padding=(1, 0))),
            ("relu1", ReLU()),
            ("norm1", LRN()),
            ("pool1", pool(3, 2, ceil=True)),
            ("conv2", Conv2d(6, 5, padding=2, groups=2)),
            ("relu2", ReLU()),
            ("pool2", pool(3, 2)),
            ("conv3", Conv2d(6, 3, padding=1)),
            ("relu3", ReLU()),
        ]
    net = Network(layers, {}, (3, 32, 32), {"name": name})
    net.params = build.random_params(net.param_shapes(), 0, dtype)
    return net


def objective(net, content, painted):
    content_acts = net.forward(content, ["relu2", "relu3"])
    style = style_targets(net.forward(painted, ["relu1", "pool1", "relu3"]))
    return WeightedSum(
        {
            "content": (2.0, ContentLoss(content_acts, {"relu3": 0.5})),
            "style": (30.0, GramStyleLoss(style, {"pool1": 0.3}, "gatys")),
        },
        {"tv": (0.7, priors.tv)},
    )


def close(got, expected, tolerance):
    (value, dx), (whole_value, whole_dx) = got, expected
    assert abs(value - whole_value) <= tolerance * abs(whole_value)
    assert np.abs(dx - whole_dx).max() <= tolerance * np.abs(whole_dx).max()


@pytest.mark.parametrize("side", [8, 20, 100], ids="side {}".format)
@pytest.mark.parametrize("size", [(33, 46), (40, 32)], ids="{0[0]}x{0[1]}".format)
@pytest.mark.parametrize("pool", [MaxPool2d, AvgPool2d])
@pytest.mark.parametrize("kind", ["vgg-like", "alexnet-like"])
def test_value_gradient_and_terms_are_those_of_the_whole_picture(rng, kind, pool, size, side):
    net = network(pool, kind)
    content, x = rng.standard_normal((2, 1, 3, *size))
    loss = objective(net, content, rng.standard_normal((1, 3, 37, 41)))
    whole = ImageFunction(loss, net.forward, net.backward)
    tiled = TiledFunction(loss, TiledEvaluator(net, net.replica(), side))
    close(tiled(x), whole(x), 1e-12)
    assert tiled.terms.keys() == whole.terms.keys()
    for name, value in whole.terms.items():
        assert tiled.terms[name] == pytest.approx(value, rel=1e-11), name


def test_tiles_of_one_stride(rng):
    net = network(MaxPool2d)
    content, x = rng.standard_normal((2, 1, 3, 22, 17))
    loss = objective(net, content, content)
    tiled = TiledFunction(loss, TiledEvaluator(net, net.replica(), 1))
    assert len(tiled.evaluator.tiles(loss.layers, x.shape)) == 5 * 4  # of 4 pixels and the rest
    close(tiled(x), ImageFunction(loss, net.forward, net.backward)(x), 1e-12)


def test_regions_are_compared_over_all_tiles(rng):
    net = network(AvgPool2d)
    x, layers = rng.standard_normal((1, 3, 37, 30)), ["relu1", "relu3"]
    acts = net.forward(x, layers)
    guides = {name: rng.uniform(size=(3, *acts[name].shape[2:])) for name in layers}
    for guide in guides.values():
        guide[0, :, :5] = 0
        guide[2] = 0  # a region that is nowhere
    targets = {name: rng.standard_normal((3, f.shape[1], f.shape[1])) for name, f in acts.items()}
    loss = WeightedSum({"style": (2.0, GuidedStyleLoss(targets, guides, {"relu1": 0.2}, "gatys"))})
    tiled = TiledFunction(loss, TiledEvaluator(net, net.replica(), 12))
    close(tiled(x), ImageFunction(loss, net.forward, net.backward)(x), 1e-12)


def test_float32_agrees_to_rounding(rng):
    net = network(MaxPool2d, dtype="float32")
    content, x = rng.standard_normal((2, 1, 3, 50, 61), dtype=np.float32)
    loss = objective(net, content, x[:, :, :40, ::-1].copy())
    whole = ImageFunction(loss, net.forward, net.backward)
    got = TiledFunction(loss, TiledEvaluator(net, net.replica(), 16))(x)
    assert got[1].dtype == np.float32
    close(got, whole(x), 1e-5)


@pytest.mark.parametrize("kind", ["vgg-like", "alexnet-like"])
def test_targets_are_those_of_the_whole_picture(rng, kind):
    net = network(AvgPool2d, kind)
    x, layers = rng.standard_normal((1, 3, 43, 38)), ["relu1", "relu2", "relu3"]
    acts, evaluator = net.forward(x, layers), TiledEvaluator(net, net.replica(), 12)
    for name, f in evaluator.forward(x, layers).items():
        np.testing.assert_allclose(f, acts[name], rtol=1e-12, atol=1e-13)
    for name, g in evaluator.mean_grams(x, layers).items():
        np.testing.assert_allclose(g, style_targets(acts)[name], rtol=1e-12)
    guides = {name: rng.uniform(size=f.shape[2:]) for name, f in acts.items()}
    for name, g in evaluator.mean_grams(x, layers, guides).items():
        np.testing.assert_allclose(g, guided_gram(acts[name], guides[name][None])[:, 0])


def without_padding(net):
    (first, layer, inputs), *others = net.nodes
    layers = [(first, replace(layer, padding=0), inputs), *others]
    return Network(layers, net.params, net.input_shape, net.attrs)


@pytest.mark.parametrize("kind", ["vgg-like", "alexnet-like", "pads nothing"])
def test_replicate_padding_is_at_the_edge_of_the_picture_alone(rng, kind):
    net = network(MaxPool2d, kind)
    net = replicate_first(without_padding(net) if kind == "pads nothing" else net)
    content, x = rng.standard_normal((2, 1, 3, 37, 42))
    loss = objective(net, content, content)
    tiled = TiledFunction(loss, TiledEvaluator(net, net.replica(), 8))
    close(tiled(x), ImageFunction(loss, net.forward, net.backward)(x), 1e-12)


@pytest.mark.parametrize("kind", ["vgg-like", "alexnet-like"])
@pytest.mark.parametrize("side", [8, 16, 32])
def test_on_a_torus_tiles_reach_around(rng, kind, side):
    net = network(AvgPool2d, kind)
    torus = on_torus(net)
    x = rng.standard_normal((1, 3, 40, 32))
    targets = style_targets(torus.forward(rng.standard_normal(x.shape), ["relu1", "relu3"]))
    loss = WeightedSum({"style": (3.0, GramStyleLoss(targets))})
    tiled = TiledFunction(loss, TiledEvaluator(net, net.replica(), side, torus=True))
    close(tiled(x), ImageFunction(loss, torus.forward, torus.backward)(x), 1e-12)


def test_a_halo_that_is_too_narrow_would_be_seen(rng, monkeypatch):
    """The test above can fail: without the halo, the padding at the cuts leaks in."""
    net = network(MaxPool2d)
    content, x = rng.standard_normal((2, 1, 3, 40, 40))
    loss = objective(net, content, content)
    fields = Network.receptive_fields

    def narrow(net):
        return {
            name: Field(
                tuple(n - 2 for n in field.size), field.stride, tuple(n + 1 for n in field.offset)
            )
            for name, field in fields(net).items()
        }

    whole = ImageFunction(loss, net.forward, net.backward)(x)
    monkeypatch.setattr(Network, "receptive_fields", narrow)
    value, _ = TiledFunction(loss, TiledEvaluator(net, net.replica(), 8))(x)
    assert abs(value - whole[0]) > 1e-6 * whole[0]


@pytest.mark.smoke
def test_crops_stay_small_and_own_every_position_once():
    net = network(MaxPool2d)
    layers = ["relu1", "relu3"]
    evaluator = TiledEvaluator(net, net, 16)
    shape = (1, 3, 200, 150)
    cover = {name: np.zeros(side[1:], int) for name, side in evaluator.maps(layers, shape).items()}
    for tile in evaluator.tiles(layers, shape):
        for name, place in tile.whole.items():
            cover[name][place] += 1
        # receptive field of relu3: 18 pixels, cut at multiples of 4; the rest of 200 and 150
        assert all(end - start <= 16 + 2 * 9 + 4 + 4 for start, end in tile.crop)
    assert all((times == 1).all() for times in cover.values())


def test_what_cannot_be_tiled_says_so(rng):
    net = network(MaxPool2d)
    whole = Network(
        [*(tuple(n) for n in net.nodes), ("mean", GlobalAvgPool2d())], net.params, (3, 32, 32)
    )
    with pytest.raises(MinicnnError, match="layer mean sees the whole picture"):
        TiledEvaluator(whole, whole, 8).tiles(["mean"], (1, 3, 32, 32))
    with pytest.raises(MinicnnError, match="no layer named 'relu9'"):
        TiledEvaluator(net, net, 8).tiles(["relu9"], (1, 3, 32, 32))
    with pytest.raises(MinicnnError, match="tiles of 0 pixels"):
        TiledEvaluator(net, net, 0)
    with pytest.raises(MinicnnError, match="33 rows or columns are no multiple of 4"):
        TiledEvaluator(net, net, 8, torus=True).tiles(["relu3"], (1, 3, 33, 32))
    with pytest.raises(MinicnnError, match="the score term cannot be computed in tiles"):
        TiledFunction(
            WeightedSum({"score": (1.0, ClassScore("relu3", 0))}), TiledEvaluator(net, net, 8)
        )
    loss = objective(net, *rng.standard_normal((2, 1, 3, 32, 32)))
    with pytest.raises(MinicnnError, match="give the generated picture the size"):
        TiledFunction(loss, TiledEvaluator(net, net.replica(), 8))(
            rng.standard_normal((1, 3, 36, 32))
        )


STYLE = {
    "content_layers": {"relu3": 1.0},
    "style_layers": ["relu1", "relu2", "relu3"],
    "content_weight": 1.0,
    "style_weight": 50.0,
    "tv_weight": 3.0,
}
PREPROCESS = {"channel_order": "RGB", "mean": [0.5] * 3, "std": [0.25] * 3, "scale": 1 / 255}


@pytest.mark.parametrize("engine", ["explicit", "fast"])
@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
def test_style_transfer_in_tiles_is_style_transfer(rng, masked, engine):
    net = network(AvgPool2d, dtype="float32")
    net.attrs["preprocess"] = PREPROCESS
    content, x, one = rng.standard_normal((3, 1, 3, 45, 38), dtype=np.float32)
    other = rng.standard_normal((1, 3, 30, 41), dtype=np.float32)
    masks = {}
    if masked:
        mask = rng.uniform(size=(45, 38))
        masks = {"content_masks": [mask, 1 - mask], "style_masks": [mask > 0.4, np.ones((30, 41))]}
    funs = [
        style_objective(net, content, [one, other], **STYLE, **masks, engine=engine, tile=tile)
        for tile in (None, 16)
    ]
    close(funs[1](x), funs[0](x), 1e-5)
    assert funs[1].terms == pytest.approx(funs[0].terms, rel=1e-5)


@pytest.mark.parametrize("seamless", [False, True])
def test_a_texture_in_tiles_is_the_texture(rng, seamless):
    net = network(AvgPool2d)
    net.attrs["preprocess"] = PREPROCESS
    source, x = rng.standard_normal((1, 3, 36, 41)), rng.standard_normal((1, 3, 40, 48))
    options = {"layers": ["relu1", "pool2"], "tv_weight": 0.5, "seamless": seamless, "threads": 1}
    whole = texture_objective(net, source, **options, relative=True)
    tiled = texture_objective(net, source, **options, relative=True, tile=16)
    close(tiled(x), whole(x), 1e-11)
    assert tiled.terms == pytest.approx(whole.terms, rel=1e-11)


def test_tiles_take_less_memory(rng):
    net = network(AvgPool2d, dtype="float32")
    x = rng.standard_normal((1, 3, 192, 160), dtype=np.float32)
    loss = objective(net, x, x[:, :, ::-1].copy())
    tiled = TiledFunction(loss, TiledEvaluator(net, net.replica(), 32))
    peaks = []
    for fun in (ImageFunction(loss, net.forward, net.backward), tiled):
        tracemalloc.start()
        fun(x)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 0.3 * peaks[0], peaks
