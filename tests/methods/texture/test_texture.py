import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.gradcheck.checks import check_vjp
from minicnn.methods.network_defaults import texture_layers
from minicnn.methods.texture import loss as texture_loss
from minicnn.methods.texture.settings import TextureSettings
from minicnn.methods.texture.verb import TEXTURE
from minicnn.network import build
from minicnn.network.layers import AvgPool2d, Concat, Conv2d, MaxPool2d, ReLU
from minicnn.network.network import Network
from minicnn.network.torus import on_torus, tv_on_torus
from minicnn.pictures.histograms import match_histogram
from minicnn.pictures.writer import read_metadata
from minicnn.weights import checkpoint

PREPROCESS = {"channel_order": "RGB", "mean": [0.5] * 3, "std": [0.25] * 3, "scale": 1 / 255}


open_job = TEXTURE.open_job


def tiny(dtype="float64"):
    """Windows of every kind: padded, strided, overlapping, and two branches."""
    layers = [
        ("conv1", Conv2d(4, 3, padding=1)),
        ("relu1", ReLU()),
        ("pool1", AvgPool2d()),
        ("one", Conv2d(3, 1)),
        ("five", Conv2d(3, 5, padding=2), ("pool1",)),
        ("both", Concat(), ("one", "five")),
        ("pool2", MaxPool2d(3, 2, ceil=True)),
        ("conv3", Conv2d(4, 5, stride=2)),
    ]
    net = Network(layers, {}, (3, 32, 32), {"name": "tiny", "preprocess": PREPROCESS})
    net.params = build.random_params(net.param_shapes(), 0, dtype)
    return net


def test_a_torus_sees_one_period_of_the_endless_picture(rng):
    net, x = tiny(), rng.standard_normal((2, 3, 24, 32))
    names = net.layers
    found = on_torus(net).forward(x, names)
    wall = net.forward(np.tile(x, (1, 1, 9, 7)), names)
    for name in names:
        H, W = found[name].shape[2:]
        # far from the walls' edges, whose zeros reach only so deep
        middle = wall[name][:, :, 4 * H : 5 * H, 3 * W : 4 * W]
        np.testing.assert_allclose(found[name], middle, atol=1e-12, err_msg=name)
    assert found["conv3"].shape[2:] == (3, 4)


@pytest.mark.smoke
def test_the_gradient_on_a_torus(rng):
    net, x = on_torus(tiny()), rng.standard_normal((1, 3, 16, 24))
    top = ["relu1", "conv3"]
    weights = {name: rng.standard_normal(a.shape) for name, a in net.forward(x, top).items()}

    def value(x):
        return sum(float((a * weights[name]).sum()) for name, a in net.forward(x, top).items())

    def gradient(dy, x):
        net.forward(x, top)
        return dy * net.backward(weights)

    assert check_vjp(value, gradient, x, rng) < 1e-6


def test_the_total_variation_on_a_torus(rng):
    x = rng.standard_normal((2, 3, 5, 4))
    wide = np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1)), mode="wrap")
    differences = [np.diff(wide, axis=2)[..., :-1], np.diff(wide, axis=3)[:, :, :-1]]
    expected = sum((d**2).sum() for d in differences) / x[0].size
    assert tv_on_torus(x)[0] == pytest.approx(expected)
    assert (
        check_vjp(lambda x: tv_on_torus(x)[0], lambda dy, x: dy * tv_on_torus(x)[1], x, rng) < 1e-6
    )


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((24, 20), "layer conv3: on a torus, 5 rows or columns are no multiple of 2"),
        ((8, 4), "layer five: on a torus, 2 rows or columns are too few for a 5"),
    ],
)
def test_what_is_no_torus(rng, shape, words):
    with pytest.raises(MinicnnError, match=words):
        on_torus(tiny()).forward(rng.standard_normal((1, 3, *shape)), ["conv3"])


def test_moving_a_seamless_texture_around_moves_its_gradient(rng):
    net, source = tiny(), rng.standard_normal((1, 3, 20, 24))
    fun = texture_loss.texture_objective(
        net, source, layers=["relu1", "pool2"], tv_weight=2.0, seamless=True
    )
    x = rng.standard_normal((1, 3, 16, 24))
    value, dx = fun(x)
    moved, dmoved = fun(np.roll(x, (4, -8), (2, 3)))
    assert moved == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(dmoved, np.roll(dx, (4, -8), (2, 3)), atol=1e-12)


@pytest.mark.parametrize("gram", ["gatys", "mean", "lecture"])
def test_value_and_gradient_are_those_of_torch(rng, gram):
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    net = tiny()
    source, start = rng.standard_normal((1, 3, 20, 24)), rng.standard_normal((1, 3, 28, 32))
    p = {key: torch.from_numpy(a) for key, a in net.params.items()}

    def grams(x):
        relu1 = F.relu(F.conv2d(x, p["conv1.weight"], p["conv1.bias"], padding=1))
        pool1 = F.avg_pool2d(relu1, 2)
        return [torch.einsum("chw,dhw->cd", f[0], f[0]) / f[0, 0].numel() for f in (relu1, pool1)]

    x = torch.from_numpy(start).requires_grad_()
    factor = {"gatys": 1 / (4 * 4**2), "mean": 1 / 4**4, "lecture": 1 / 4}[gram]
    loss = sum(
        weight * factor * ((a - b.detach()) ** 2).sum()
        for weight, a, b in zip((1.0, 0.5), grams(x), grams(torch.from_numpy(source)), strict=True)
    )
    loss.backward()
    layers = {"relu1": 1.0, "pool1": 0.5}
    value, dx = texture_loss.texture_objective(net, source, layers=layers, gram=gram)(start)
    assert value == pytest.approx(loss.item(), rel=1e-10)
    np.testing.assert_allclose(dx, x.grad.numpy(), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("gram", ["gatys", "mean", "lecture"])
def test_relative_losses_are_1_without_activations(rng, gram):
    net, source = tiny(), rng.standard_normal((1, 3, 16, 24))
    net.params["conv1.bias"][:] = 0
    fun = texture_loss.texture_objective(
        net, source, layers={"relu1": 1.0, "pool1": 0.5}, gram=gram, relative=True
    )
    assert fun(np.zeros_like(source))[0] == pytest.approx(1.5, rel=1e-12)
    assert fun(source)[0] == pytest.approx(0, abs=1e-20)


def test_a_wall_of_the_source_has_its_loss_0_on_the_torus(rng):
    """A source that repeats already, seen as one period of itself."""
    net, tile = on_torus(tiny()), rng.standard_normal((1, 3, 16, 16))
    fun = texture_loss.texture_objective(net, tile, layers=["relu1", "pool2"])
    assert fun(np.tile(tile, (1, 1, 1, 2)))[0] == pytest.approx(0, abs=1e-20)


@pytest.mark.smoke
def test_histograms(rng):
    picture, like = rng.random((20, 30, 3)), rng.integers(0, 256, (9, 50, 3)).astype(np.uint8)
    matched = match_histogram(picture, like)
    for c in range(3):
        order = np.argsort(picture[..., c], axis=None)
        assert (np.diff(matched[..., c].ravel()[order]) >= 0).all()
        for q in (0.1, 0.5, 0.9):
            ours, theirs = (np.quantile(a[..., c], q) for a in (matched, like))
            assert ours == pytest.approx(theirs, abs=6)
    np.testing.assert_array_equal(match_histogram(like, like), like)
    flat = match_histogram(np.full((4, 4, 3), 7.0), like)
    assert np.ptp(flat, axis=(0, 1)).max() == 0


def size_of(path):
    with Image.open(path) as image:
        return image.size


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texture")
    rng = np.random.default_rng(0)
    for name, shape in (("s.png", (40, 48, 3)), ("t.png", (44, 40, 3))):
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(folder / name)
    Image.new("RGB", (48, 48), "red").save(folder / "flat.png")
    checkpoint.save(build.build("minivgg"), folder / "w.h5")
    return folder


@pytest.fixture
def synthesise(folder, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)

    def run(*options, sources=("s.png",), iterations=2):
        paths = [str(folder / name) for name in sources]
        options = ["--weights", str(folder / "w.h5"), "--iterations", iterations, *options]
        code = main(["texture", *paths, "-o", "out.png", *map(str, options)])
        return code, *capfd.readouterr()

    return run


def test_a_texture_has_its_size_its_settings_and_can_be_made_again(synthesise, tmp_path, capfd):
    options = ["--size", "64x40", "--seamless", "--histogram", "--tv-weight", 1, "--json"]
    code, stdout, _ = synthesise(*options, "--sheet", "sheet.png", "--save-every", 1)
    assert code == 0
    assert size_of("out.png") == (64, 40)
    assert size_of("out-0001.png") == (64, 40)
    result = json.loads(stdout.splitlines()[-1])
    assert (result["width"], result["height"], result["iterations"]) == (64, 40, 2)
    settings = read_metadata("out.png")["settings"]
    assert (settings["pool"], settings["normalize"], settings["width"]) == ("average", "layers", 64)
    assert main(["rerun", "out.png", "--quiet"]) == 0
    assert (tmp_path / "out-rerun.png").read_bytes() == (tmp_path / "out.png").read_bytes()


def test_a_sweep_has_a_row_for_every_layer_and_a_column_for_every_source(synthesise, tmp_path):
    code, stdout, _ = synthesise(
        "--sweep", "layers", "--layers", "relu1_1,pool1:0.5", "--json", sources=("s.png", "t.png")
    )
    assert code == 0
    runs = json.loads(stdout.splitlines()[-1])["runs"]
    assert [run["layers"] for run in runs] == 2 * [["relu1_1"]] + 2 * [["relu1_1", "pool1"]]
    assert json.loads(stdout.splitlines()[-1])["iterations"] == 8
    width, height = size_of("out.png")
    assert width >= 2 * 40
    assert height >= 3 * 40
    assert main(["rerun", "out.png", "--quiet"]) == 0
    assert (tmp_path / "out-rerun.png").read_bytes() == (tmp_path / "out.png").read_bytes()


@pytest.mark.parametrize("place", [0, 1, 3], ids=["first", "between", "last"])
def test_a_sweep_was_asked_for_without_a_word_once(folder, tmp_path, monkeypatch, capsys, place):
    monkeypatch.chdir(tmp_path)
    arguments = [str(folder / "s.png"), "-o", "out.png"]
    arguments.insert(place, "--sweep")
    options = ["--iterations", "1", "--layers", "relu1_1", "--weights", "random"]
    assert main(["texture", *arguments, *options]) == 0
    assert "minicnn: --sweep is called --sweep layers now" in capsys.readouterr().err
    assert read_metadata("out.png")["settings"]["sweep"] is True


def test_the_defaults_are_gatys(folder):
    job = open_job(TextureSettings([str(folder / "s.png")], weights="random"))
    assert job.settings.layers == texture_layers("slimvgg")
    assert isinstance(job.net.layer("pool1"), AvgPool2d)
    assert (job.settings.normalize, job.settings.tv_weight) == ("layers", 0.05)
    assert job.nets[0] is job.net
    job = open_job(replace(job.settings, normalize="channels"))
    means = job.nets[0].forward(job.sources[0], ["relu2_1"])["relu2_1"].mean(axis=(0, 2, 3))
    np.testing.assert_allclose(means[means > 1e-3], 1, rtol=1e-3)
    limits = (job.sources[0].min(), job.sources[0].max())
    assert job.search_options() == {"pairs": 20, "bounds": limits}
    assert open_job(replace(job.settings, pairs=5)).search_options()["pairs"] == 5
    assert job.start.shape == (1, 3, 40, 48)


def test_values_stay_between_those_of_the_source(folder):
    settings = TextureSettings([str(folder / "s.png")], weights="random", iterations=3)
    job = open_job(settings)
    x = job.run().result.x
    low, high = job.search_options()["bounds"]
    assert low <= x.min() < x.max() <= high


def test_a_texture_is_put_together_from_small_to_large(folder):
    settings = TextureSettings([str(folder / "s.png")], weights="random", layers={"relu1_1": 1.0})
    job = open_job(replace(settings, width=64, height=40, scales=2, iterations=[3, 2]))
    (coarse, small), (fine, full) = job.stages()
    assert (coarse, fine, job.steps, full) == (3, 2, 5, job)
    assert (small.size, small.sources[0].shape) == ((20, 32), (1, 3, 20, 24))
    assert (full.size, full.sources[0].shape) == ((40, 64), (1, 3, 40, 48))
    seen = []
    outcome = job.run(lambda iteration, x, value, info: seen.append((iteration, x.shape[3])))
    assert dict(seen) == {1: 32, 2: 32, 3: 32, 4: 64, 5: 64}
    assert (outcome.picture.shape, outcome.result.iterations) == ((40, 64, 3), 5)


def test_an_interrupted_texture_has_its_full_size(folder):
    settings = TextureSettings([str(folder / "s.png")], weights="random", layers={"relu1_1": 1.0})
    job = open_job(replace(settings, scales=2, iterations=4))

    def interrupt(iteration, *others):
        if iteration == 1:
            raise KeyboardInterrupt

    outcome = job.run(interrupt)
    assert (outcome.result.interrupted, outcome.picture.shape) == (True, (40, 48, 3))


SIZES = [
    ({}, 2, [250, 250]),
    ({"source_size": 512, "width": 512, "height": 384}, 3, [166, 166, 168]),
    ({"width": 512, "height": 512}, 2, [250, 250]),  # of a source of 256
    ({"width": 128, "height": 128}, 1, 500),
    ({"seamless": True}, 2, [250, 250]),
    ({"seamless": True, "width": 256, "height": 248}, 1, 500),  # no tile when halved
    ({"evaluations": 7}, 2, [7, 7]),
    ({"iterations": 9, "optimizer": "adam", "scales": 3}, 3, [3, 3, 3]),
    ({"sweep": True, "iterations": 7}, 2, [3, 4]),
]


@pytest.mark.parametrize(("asked", "scales", "iterations"), SIZES)
def test_how_many_sizes_a_texture_has(tmp_path, rng, asked, scales, iterations):
    source = tmp_path / "large.png"
    Image.fromarray(rng.integers(0, 256, (384, 512, 3), np.uint8)).save(source)
    job = open_job(TextureSettings([str(source)], weights="random", **asked))
    assert (job.settings.scales, job.settings.iterations) == (scales, iterations)
    assert job.steps == sum(job.counts) * (len(job.settings.layers) if job.settings.sweep else 1)


@pytest.mark.parametrize("name", build.names())
def test_every_network_has_texture_layers(name):
    found = texture_layers(name)
    assert found
    assert set(found) <= set(build.skeleton(name).layers)


BAD = {
    "two": (
        {"sources": ("s.png", "t.png")},
        (),
        "2 sources; give one, or several with --sweep layers",
    ),
    "flat": ({"sources": ("flat.png",)}, (), "is one flat colour"),
    "layer": ({}, ("--layers", "relu9"), "no layer named 'relu9'"),
    "global": ({}, ("--layers", "pool4"), "sees the whole picture"),
    "small": ({}, ("--size", "16"), "use --size 32x32 or more"),
    "tile": ({}, ("--size", "60x64", "--seamless"), "multiples of 8 .* use --size 64x64"),
    "source": ({}, ("--source-size", "20"), "--source-size 20 makes"),
    "rate": ({}, ("--learning-rate", "1"), "lbfgs-device takes no learning rate"),
    "padding": ({}, ("--seamless", "--padding", "replicate"), "no edges to replicate"),
    "sheets": ({}, ("--sweep", "layers", "--sheet", "x.png"), "--sweep writes a sheet already"),
    "network": ({}, ("--network", "vgg19"), "not of vgg19"),
    "scales": ({}, ("--scales", "2"), "scales = 2 .* use at most 1 at this size"),
    "shares": ({}, ("--iterations", "1,2"), "scales = 2 .* use at most 1"),
}


@pytest.mark.parametrize(("where", "options", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line(synthesise, tmp_path, where, options, words):
    import re

    code, stdout, stderr = synthesise(*options, **where)
    assert (code, stdout, stderr.count("\n")) == (1, "", 1)
    assert re.search(words, stderr), stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", ["0", "3x", "axb", "3x4x5"])
def test_sizes_that_are_none(synthesise, size):
    code, _, stderr = synthesise("--size", size)
    assert (code, "is not a size; write 512 or 640x480" in stderr) == (2, True)


def test_a_first_layer_that_pads_nothing_sees_the_edge_again(folder):
    """But not on a torus, which has no edges; and with channels scaled as well."""
    settings = TextureSettings(
        [str(folder / "s.png")], network="squeezenet", weights="random", width=96, height=96
    )
    settings = replace(settings, source_size=96, layers={"relu_conv1": 1.0})
    job = open_job(settings)
    assert (job.settings.padding, job.nets[0].layers[0]) == ("replicate", "replicate")
    assert open_job(replace(settings, normalize="channels")).nets[0].layers[0] == "replicate"
    assert open_job(replace(settings, seamless=True)).settings.padding == "zero"
    assert open_job(replace(settings, padding="zero")).nets[0].layers[0] == "conv1"
    other = open_job(replace(settings, network="minivgg", layers=None)).settings
    assert (other.padding, other.tv_weight, job.settings.tv_weight) == ("zero", 0.0, 0.2)


@pytest.mark.parametrize("normalize", ["layers", "channels"])
def test_a_grey_source_gives_a_grey_texture(folder, tmp_path, normalize, capsys):
    rgb = np.asarray(Image.open(folder / "s.png"))
    Image.fromarray(rgb[..., 0]).convert("RGB").save(tmp_path / "grey.png")
    command = f"texture {tmp_path}/grey.png -o {tmp_path}/out.png --iterations 3 --quiet"
    assert main([*command.split(), "--weights", "random", "--normalize", normalize]) == 0
    made = np.asarray(Image.open(tmp_path / "out.png")).astype(int)
    assert np.ptp(made, axis=2).max() == 0
    assert made.std() > 1


def test_a_seamless_texture_is_as_large_as_the_source_allows(folder):
    settings = TextureSettings(
        [str(folder / "s.png")], weights="random", source_size=45, seamless=True
    )
    assert open_job(settings).start.shape == (1, 3, 32, 40)
    assert open_job(replace(settings, seamless=False)).start.shape == (1, 3, 38, 45)
