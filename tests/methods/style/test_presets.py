"""The presets: value and gradient against formulas of the programs written anew in PyTorch."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from minicnn.errors import MinicnnError
from minicnn.gradcheck.checks import check_vjp
from minicnn.methods.style import inputs, presets
from minicnn.methods.style.inputs import resolve
from minicnn.methods.style.run import StyleJob
from minicnn.methods.style.settings import StyleSettings
from minicnn.methods.style.torch_resize import torch_resize
from minicnn.methods.style.verb import STYLE
from minicnn.network import build
from minicnn.network.layers import Conv2d
from minicnn.network.network import Network
from minicnn.pictures.arrays import preprocess, resize
from minicnn.runs.search import iterations_at

MEANS = (103.939, 116.779, 123.68)  # blue, green, red
SHAPE = (41, 54)  # odd: rounding up and down differ at the poolings
FIVE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


@pytest.fixture(scope="module", params=presets.PRESETS)
def preset(request):
    return request.param


def narrow_vgg19(pool):
    """VGG-19 up to relu5_1 with a sixteenth of its channels, random weights, float64."""
    net = build.skeleton("vgg19")
    nodes = [tuple(node) for node in net.nodes[: net.layers.index("relu5_1") + 1]]
    layers = [
        (
            name,
            replace(layer, channels=layer.channels // 16)
            if isinstance(layer, Conv2d)
            else build.with_pool(layer, pool),
            inputs,
        )
        for name, layer, inputs in nodes
    ]
    net = Network(layers, {}, (3, *SHAPE), {**net.attrs, "pool": pool})
    net.params = build.random_params(net.param_shapes(), 3, "float64")
    for key, array in net.params.items():  # biases too: a layer without them forgets the mean
        if key.endswith("bias"):
            array += np.random.default_rng(len(key)).uniform(0, 5, array.shape)
    return net


def made(preset, rng, styles=1, **changes):
    """A job of the preset, and what it is made of: content, styles, x as RGB 0..255."""
    row = presets.PRESETS[preset]
    net = inputs.as_programmed(narrow_vgg19(row.loss.pool), row)
    chosen = StyleSettings("c", ["s"] * styles, preset=preset, engine="explicit", **changes)
    shapes = [(*SHAPE, 3) if preset == "seed" else (38 + 9 * i, 47, 3) for i in range(styles)]
    chosen = resolve(chosen, net, (*SHAPE, 3), shapes)
    content, x = (rng.integers(0, 256, (*SHAPE, 3)).astype(np.uint8) for _ in "cx")
    painted = [rng.integers(0, 256, shape).astype(np.uint8) for shape in shapes]
    attrs = net.attrs["preprocess"]
    arrays = [preprocess(rgb, attrs).astype(np.float64) for rgb in (content, *painted)]
    start = preprocess(x, attrs).astype(np.float64)
    job = StyleJob(settings=chosen, net=net, content=arrays[0], styles=arrays[1:], start=start)
    return job, content, painted, x


class Torch:
    """The programs' own way from pictures to losses."""

    def __init__(self, params, pooling, white=255):
        self.torch = pytest.importorskip("torch")
        self.torch.set_num_threads(1)
        self.F = self.torch.nn.functional
        self.params = {key: self.torch.from_numpy(value) for key, value in params.items()}
        self.pooling, self.white = pooling, white

    def pixels(self, rgb):
        """0..1 RGB -> BGR times white, minus the means."""
        x = self.torch.from_numpy(rgb[..., ::-1].copy()).double() / 255 * self.white
        means = self.torch.tensor(MEANS, dtype=self.torch.float64)
        x = (x - means).permute(2, 0, 1)[None]
        return x.float().double().requires_grad_()  # ours are prepared in float32

    def features(self, x):
        found = {}
        for block, count in ((1, 2), (2, 2), (3, 4), (4, 4), (5, 1)):
            for i in range(1, count + 1):
                name = f"conv{block}_{i}"
                weight, bias = self.params[f"{name}.weight"], self.params[f"{name}.bias"]
                x = self.F.relu(self.F.conv2d(x, weight, bias, padding=1))
                found[f"relu{block}_{i}"] = x[0]
            if block < 5:
                x = self.pooling(self.F, x)
                found[f"pool{block}"] = x[0]
        return found

    def gram(self, f):
        rows = f.flatten(1)
        return rows @ rows.T


POOLING = {
    "seed": lambda F, x: F.avg_pool2d(x, 2, 2),
    "gatys": lambda F, x: F.max_pool2d(x, 2, 2),
    "neural-style": lambda F, x: F.max_pool2d(x, 2, 2, ceil_mode=True),
    "neural-style-pt": lambda F, x: F.max_pool2d(x, 2, 2),
    "deeptextures": lambda F, x: F.avg_pool2d(x, 2, 2),
}


def seed(t, x, f, content, styles, blend):
    loss = ((f["relu4_2"] - content["relu4_2"]) ** 2).sum()
    for name in FIVE:
        n, m = f[name][0].numel(), f[name].shape[0]
        assert m > 1
        difference = t.gram(styles[0][name]) - t.gram(f[name])
        loss = loss + 100 * 0.2 * (difference**2).sum() / (4 * n**2)
    return loss


def gatys(t, x, f, content, styles, blend):
    mse = t.torch.nn.MSELoss()
    loss = mse(f["relu4_2"], content["relu4_2"])
    for name in FIVE:
        c = f[name].shape[0]
        ours, theirs = (t.gram(g) / g[0].numel() for g in (f[name], styles[0][name]))
        loss = loss + 1e3 / c**2 * mse(ours, theirs)
    return loss


def _neural_style(t, f, content, styles, blend):
    loss = 5 * ((f["relu4_2"] - content["relu4_2"]) ** 2).mean()
    for name in FIVE:
        target = sum(
            b / sum(blend) * t.gram(style[name]) / style[name].numel()
            for b, style in zip(blend, styles, strict=True)
        )
        loss = loss + 100 * ((t.gram(f[name]) / f[name].numel() - target) ** 2).mean()
    return loss


def neural_style(t, x, f, content, styles, blend):
    # the Lua program adds the gradient of this: all but the last row and column
    down = x[:, :, 1:, :-1] - x[:, :, :-1, :-1]
    right = x[:, :, :-1, 1:] - x[:, :, :-1, :-1]
    smooth = 0.5 * (down**2 + right**2).sum()
    return _neural_style(t, f, content, styles, blend) + 1e-3 * smooth


def neural_style_pt(t, x, f, content, styles, blend):
    smooth = (x[:, :, 1:] - x[:, :, :-1]).abs().sum() + (x[..., 1:] - x[..., :-1]).abs().sum()
    return _neural_style(t, f, content, styles, blend) + 1e-3 * smooth


def deeptextures(t, x, f, content, styles, blend):
    loss = 0
    for name in ("relu1_1", "pool1", "pool2", "pool3", "pool4"):
        c = f[name].shape[0]
        ours, theirs = (t.gram(g) / g[0].numel() for g in (f[name], styles[0][name]))
        loss = loss + 1e9 / 4 * ((ours - theirs) ** 2).sum() / c**2
    return loss


LOSS = {
    "seed": seed,
    "gatys": gatys,
    "neural-style": neural_style,
    "neural-style-pt": neural_style_pt,
    "deeptextures": deeptextures,
}


def by_torch(preset, net, content, painted, x, blend=(1.0,)):
    white = 256 if preset == "neural-style" else 255
    t = Torch(net.params, POOLING[preset], white)
    point = t.pixels(x)
    targets = [
        {name: f.detach() for name, f in t.features(t.pixels(rgb)).items()}
        for rgb in (content, *painted)
    ]
    loss = LOSS[preset](t, point, t.features(point), targets[0], targets[1:], blend)
    loss.backward()
    return float(loss.detach()), point.grad.numpy()


def test_value_and_gradient_are_those_of_the_program(preset, rng):
    job, content, painted, x = made(preset, rng)
    value, gradient = job.function()(job.start)
    expected, slope = by_torch(preset, job.net, content, painted, x)
    assert value == pytest.approx(expected, rel=1e-9)
    assert np.abs(gradient - slope).max() < 1e-9 * np.abs(slope).max()
    assert np.abs(slope).max() > 0


@pytest.mark.parametrize("name", ["neural-style", "neural-style-pt"])
def test_several_styles_are_blended_as_there(name, rng):
    job, content, painted, x = made(name, rng, styles=2, blend=[3.0, 1.0])
    value, gradient = job.function()(job.start)
    expected, slope = by_torch(name, job.net, content, painted, x, blend=(3.0, 1.0))
    assert value == pytest.approx(expected, rel=1e-9)
    assert np.abs(gradient - slope).max() < 1e-9 * np.abs(slope).max()


def test_the_gradient_is_that_of_the_value(preset, rng):
    job, *_ = made(preset, rng)
    fun = job.function()
    error = check_vjp(lambda x: fun(x)[0], lambda dy, x: dy * fun(x)[1], job.start, rng)
    assert error < 1e-6


@pytest.fixture
def files(tmp_path, rng):
    for name, shape in (("c.png", (90, 120, 3)), ("s.png", (60, 96, 3)), ("t.png", (80, 80, 3))):
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(tmp_path / name)
    return [str(tmp_path / name) for name in ("c.png", "s.png", "t.png")]


def ready(files, preset, **changes):
    style = changes.pop("style", files[1])
    chosen = StyleSettings(
        files[0], style, preset=preset, network="minivgg", weights="random", **changes
    )
    return STYLE.open_job(chosen)


@pytest.mark.parametrize(
    ("name", "size", "style_size", "evaluations", "init"),
    [
        ("seed", 512, 512, 500, "noise"),
        ("gatys", 682, 819, 500, "content"),  # short sides 512
        ("neural-style", 512, 512, 1000, "noise"),
        ("neural-style-pt", 512, 512, 1000, "noise"),
        ("deeptextures", 296, 324, 2000, "noise"),  # areas 256²
    ],
)
def test_sizes_budget_and_start(files, name, size, style_size, evaluations, init):
    settings = StyleSettings(files[0], files[1], preset=name)
    filled = resolve(settings, build.skeleton("vgg19"), (90, 120, 3), [(60, 96, 3)])
    assert (filled.size, filled.style_size) == (size, style_size)
    assert (filled.evaluations, filled.scales) == (evaluations, 1)
    assert iterations_at(filled, 1) == evaluations
    assert filled.init == init
    loss = presets.PRESETS[name].loss
    assert (filled.content_layers, filled.style_layers) == (loss.content_layers, loss.style_layers)
    assert resolve(filled, build.skeleton("vgg19"), (90, 120, 3), [(60, 96, 3)]) == filled


def test_several_styles_each_have_their_own_size(files):
    settings = StyleSettings(files[0], files[1:], preset="gatys")
    shapes = [(60, 96, 3), (80, 80, 3)]
    filled = resolve(settings, build.skeleton("vgg19"), (90, 120, 3), shapes)
    assert filled.style_size == [819, 512]
    scaled = replace(settings, preset="neural-style", style_scale=0.501)
    filled = resolve(scaled, build.skeleton("vgg19"), (90, 120, 3), shapes)
    assert filled.style_size == 257  # rounded up, as there
    scaled = replace(settings, preset="neural-style-pt", style_scale=0.501)
    filled = resolve(scaled, build.skeleton("vgg19"), (90, 120, 3), shapes)
    assert filled.style_size == 256  # cut off, as there


@pytest.mark.parametrize(
    ("name", "shape", "fitted"),
    [
        # rows and columns as the programs compute them: by int() of what stands behind
        ("neural-style-pt", (1007, 1024, 3), (503, 512)),  # 512 / 1024 * 1007 = 503.5
        ("neural-style-pt", (30, 187, 3), (82, 511)),  # 512 / 187 * 187 = 511.999...
        ("neural-style", (30, 187, 3), (82, 512)),  # 187 / 187 * 512
        ("neural-style", (1007, 1024, 3), (503, 512)),
        ("gatys", (60, 80, 3), (512, 682)),  # 512 * 80 / 60 = 682.67
        ("gatys", (1024, 999, 3), (524, 512)),  # 512 * 1024 / 999 = 524.8
        ("seed", (1007, 1024, 3), (504, 512)),  # ours: rounded
    ],
)
def test_sizes_are_those_of_the_programs(name, shape, fitted):
    row = presets.PRESETS[name]
    rgb = np.zeros(shape, np.uint8)
    assert row.fitted(rgb, row.long_side(shape)).shape[:2] == fitted


def test_pictures_are_resampled_as_by_the_programs(rng):
    rgb = rng.integers(0, 256, (60, 80, 3), np.uint8)
    there = Image.fromarray(rgb).resize((40, 30), Image.Resampling.BILINEAR)
    for name in ("gatys", "neural-style-pt"):
        assert np.array_equal(presets.PRESETS[name].fitted(rgb, 40), np.array(there))
    assert np.array_equal(presets.PRESETS["seed"].fitted(rgb, 40), resize(rgb, (30, 40)))
    blocks = rgb.reshape(30, 2, 40, 2, 3).mean((1, 3))  # neural-style: what a pixel covers
    smaller = presets.PRESETS["neural-style"].fitted(rgb, 40)
    assert abs(smaller - blocks).max() <= 0.5


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([0, 10, 20], [3, 17]),  # (0 + 10 / 2) / 1.5, (10 / 2 + 20) / 1.5
        ([0, 100, 50], [0, 50, 100, 75, 50]),
        ([7], [7, 7]),
        ([4, 8], [6]),
        ([3, 9], [3, 9]),
    ],
)
def test_a_side_is_resized_as_torch7_does(old, new):
    row, column = np.array(old, np.uint8).reshape(1, -1), np.array(old, np.uint8).reshape(-1, 1)
    for picture, size in ((row, (1, len(new))), (column, (len(new), 1))):
        resized = torch_resize(np.repeat(picture[:, :, None], 3, 2), size)
        assert resized.shape == (*size, 3)
        assert resized[:, :, 1].ravel().tolist() == new


def test_pixels_pooling_and_noise(files):
    job = ready(files, "neural-style", size=96)
    bare = build.skeleton("minivgg").attrs["preprocess"]["scale"]
    assert job.net.attrs["preprocess"]["scale"] == pytest.approx(bare * 256 / 255)
    assert job.net.layer("pool1").ceil
    assert job.start.std() == pytest.approx(1e-3, rel=0.05)
    assert not ready(files, "neural-style-pt", size=96).net.layer("pool1").ceil
    assert job.search_options() == {"pairs": 10}


def test_deeptextures_has_bounds_and_sees_nothing_of_the_content(files):
    job = ready(files, "deeptextures", size=96)
    options = job.search_options()
    assert options["pairs"] == 20
    assert options["bounds"] == (job.styles[0].min(), job.styles[0].max())
    assert job.start.std() == pytest.approx(1, rel=0.05)
    assert "content" not in job.function().objective.objectives
    outcome = replace(job, settings=replace(job.settings, iterations=2)).run()
    low, high = options["bounds"]
    assert low <= outcome.result.x.min()
    assert outcome.result.x.max() <= high


def test_other_networks_get_their_own_layers(files):
    filled = ready(files, "neural-style", size=96).settings
    assert list(filled.content_layers) == ["relu4_1"]
    assert "relu1_2" in filled.style_layers
    assert (filled.style_weight, filled.tv, filled.tv_weight) == (100.0, "neural-style", 0.0)
    assert ready(files, "neural-style", size=96, tv_weight=1e-6).settings.tv_weight == 1e-6
    (note,) = ready(files, "neural-style", size=96).notes
    assert "are for the activations of VGG-19; minivgg has others" in note
    assert note.endswith("; try --style-weight 30000")
    assert "try" not in ready(files, "neural-style", size=96, style_weight=9.0).notes[0]
    assert inputs.notes(replace(filled, network="vgg19")) == []
    (note,) = inputs.notes(replace(filled, preset=None, network="slimvgg", weights=None))
    assert "`minicnn weights fetch vgg19`" in note
    assert inputs.notes(replace(filled, preset=None, network="squeezenet")) == []


def test_what_a_preset_has_can_be_changed(files):
    filled = ready(files, "neural-style", size=96, style_weight=7.0, init="content").settings
    assert (filled.style_weight, filled.init) == (7.0, "content")
    few = ready(files, "neural-style", size=96, iterations=9).settings
    assert (few.iterations, few.evaluations) == (9, None)


CONTRADICTIONS = {
    "gram": ("neural-style", {"gram": "gatys"}, "neural-style has gram mean, not gatys"),
    "content": ("seed", {"content_loss": "mean"}, "seed has content loss sum, not mean"),
    "tv-form": ("neural-style-pt", {"tv": "mean"}, "has tv absolute, not mean"),
    "tv": ("gatys", {"tv_weight": 1.0}, "gatys has no total variation"),
    "content-weight": ("deeptextures", {"content_weight": 1.0}, "has no content term"),
    "scales": ("gatys", {"scales": 3}, "has no coarser sizes"),
    "padding": ("gatys", {"padding": "replicate"}, "has no padding but zeros"),
    "pool": ("deeptextures", {"pool": "max"}, "pools by averages"),
    "name": ("starry", {}, "no preset 'starry'; use seed, gatys"),
}


@pytest.mark.smoke
@pytest.mark.parametrize(("name", "changes", "words"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_contradictions_are_refused(files, name, changes, words):
    with pytest.raises(MinicnnError, match=words):
        ready(files, name, size=96, **changes)
