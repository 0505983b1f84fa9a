import json
import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from png16_decoder import decode

from minicnn.cli import main
from minicnn.engine.select import Evaluation, evaluator_of
from minicnn.errors import MinicnnError
from minicnn.gradcheck.checks import check_vjp
from minicnn.methods.inversion import energy as inversion_energy
from minicnn.methods.inversion import findings
from minicnn.methods.inversion import run as inversion_run
from minicnn.methods.inversion.findings import diversity
from minicnn.methods.inversion.run import InvertJob
from minicnn.methods.inversion.settings import InvertSettings
from minicnn.methods.inversion.verb import INVERT
from minicnn.network import build
from minicnn.network.layers import Conv2d, Linear, MaxPool2d, ReLU
from minicnn.network.network import Network
from minicnn.optimizers import minimize
from minicnn.pictures.lettering import LIGHT
from minicnn.pictures.writer import read_metadata
from minicnn.weights import checkpoint

PREPROCESS = {"channel_order": "RGB", "mean": [100.0] * 3, "std": [50.0] * 3, "scale": 1.0}
SHAPE = (3, 8, 12)


def tiny(dtype="float64"):
    layers = [
        ("conv1", Conv2d(4, 3, padding=1)),
        ("relu1", ReLU()),
        ("pool1", MaxPool2d()),
        ("fc2", Linear(5)),
    ]
    net = Network(layers, {}, SHAPE, {"name": "tiny", "pool": "max", "preprocess": PREPROCESS})
    net.params = build.random_params(net.param_shapes(), 0, dtype)
    return net


def job(rng, dtype="float64", **changes):
    settings = InvertSettings(
        "i", **{"layers": ["relu1"], "iterations": 8, "tv_beta": 1.5, **changes}
    )
    x = rng.standard_normal((1, *SHAPE)).astype(dtype)
    return InvertJob(
        settings=settings, net=tiny(dtype), x=x, picture=np.zeros((*SHAPE[1:], 3), np.uint8)
    )


def energy(rng, preset, layer="relu1", beta=1.5, count=2):
    net = tiny()
    x0, scale = rng.standard_normal((1, *SHAPE)), np.full((1, 3, 1, 1), 1.0)
    scale = scale * inversion_energy.unit(preset, SHAPE) / 50
    weights = inversion_energy.strengths(preset, net, layer, SHAPE, beta)
    target = net.forward(x0, [layer])[layer]
    terms = inversion_energy.energy_terms(preset, target, layer, weights, beta)
    return (
        inversion_energy.Energy(terms, net, scale),
        inversion_energy.noise(preset, SHAPE, list(range(count)), np.float64),
        x0,
    )


def torch_energy(torch, preset, net, x0, beta, layer="relu1"):
    """The energies of both papers, written down again; x' (N, 3, H, W) in their units."""
    F = torch.nn.functional
    p = {key: torch.from_numpy(a) for key, a in net.params.items()}

    def phi(x):
        y = F.relu(F.conv2d(x, p["conv1.weight"], p["conv1.bias"], padding=1))
        if layer == "relu1":
            return y
        return F.max_pool2d(y, 2).flatten(1) @ p["fc2.weight"].T + p["fc2.bias"]

    ref = phi(torch.from_numpy(x0))
    n = math.prod(SHAPE)
    sigma = 27098.1157 * math.sqrt(n / (227 * 227 * 3))
    share = {"relu1": 2 / 4, "fc2": 1.0}[layer]
    size = SHAPE[1] * SHAPE[2] / 227**2

    def value(x):
        down = F.pad(x[:, :, 1:] - x[:, :, :-1], (0, 0, 0, 1))
        right = F.pad(x[:, :, :, 1:] - x[:, :, :, :-1], (0, 1))
        tv = ((down**2 + right**2) ** (beta / 2)).sum()
        if preset == "ijcv16":
            pixels = SHAPE[1] * SHAPE[2]
            data = {0.5: 300, 1.0: 1}[share] * ((phi(x / 50) - ref) ** 2).sum() / (ref**2).sum()
            alpha = ((x**2).sum(1) ** 3).sum() / pixels / 80**6
            return data + alpha + (6.5 / 80) ** beta * size ** (beta / 2) * tv / pixels
        data = ((phi(sigma * x / 50) - ref) ** 2).sum() / (ref**2).sum()
        smooth = {0.5: 5, 1.0: 50}[share] * size ** (beta - 1)
        smooth *= (80 / 6.5 / 27098.1157) ** (2 - beta)
        return data + 4e-10 * sigma**4 * (x**6).sum() + smooth * tv

    return value


@pytest.mark.parametrize("layer", ["relu1", "fc2"])
@pytest.mark.parametrize("preset", inversion_energy.PRESETS)
def test_energy_and_gradient_are_those_of_torch(rng, preset, layer):
    torch = pytest.importorskip("torch")
    fun, start, x0 = energy(rng, preset, layer)
    x = torch.from_numpy(start).requires_grad_()
    loss = torch_energy(torch, preset, tiny(), x0, 1.5, layer)(x)
    loss.backward()
    value, gradient = fun(start)
    assert value == pytest.approx(loss.item(), rel=1e-10)
    np.testing.assert_allclose(
        gradient, x.grad.numpy(), rtol=1e-8, atol=1e-12 * abs(gradient).max()
    )
    assert sum(fun.terms.values()) == pytest.approx(value)


def _tv_energy(preset, net, size, beta):
    """The weighted total variation of a smooth picture of sines, shown at size x size."""
    shape, t = (3, size, size), np.arange(size) / size
    wave = 50 * np.sin(9 * t)[:, None] * np.cos(7 * t) * np.ones((1, 3, 1, 1))
    weights = inversion_energy.strengths(preset, net, "conv3", shape, beta)
    target = {"conv3": np.ones((1, 1, 1, 1))}
    terms = inversion_energy.energy_terms(preset, target["conv3"], "conv3", weights, beta)
    report = {}
    terms(target, wave / inversion_energy.unit(preset, shape), report)
    return report["tv"]


def test_the_numbers_of_the_papers():
    assert inversion_energy.sigma((3, 227, 227)) == pytest.approx(27098.1157)
    net = build.skeleton("caffenet")
    layers = [name for name in net.layers if not name.startswith("drop") and name != "prob"]
    assert len(layers) == 20
    found = [inversion_energy.strengths("cvpr15", net, name, (3, 227, 227)) for name in layers]
    assert [w.tv for w in found] == 6 * [0.5] + 6 * [5] + 8 * [50]
    assert found[0].alpha == pytest.approx(2.157e8, rel=1e-3)
    for preset in ("cvpr15", "ijcv16"):  # one picture weighs the same at every size
        for beta in (1.0, 1.5, 2.0):
            energies = [_tv_energy(preset, net, size, beta) for size in (64, 128, 256)]
            assert energies == pytest.approx([energies[0]] * 3, rel=0.05)
    step = 80 / 6.5 / 27098.1157  # neighbours apart by the typical difference weigh the same
    at = [inversion_energy.strengths("lbfgs", net, "fc8", (3, 227, 227), b) for b in (1, 1.2, 2, 3)]
    smooth = [w.tv * step**b for w, b in zip(at, (1, 1.2, 2, 3), strict=True)]
    assert smooth == pytest.approx([50 * step**2] * 4)
    late = inversion_energy.strengths("ijcv16", net, "fc8", (3, 227, 227))
    assert late == (1, 80.0**-6, (6.5 / 80) ** 2)
    assert inversion_energy.jitter_of(net, "conv5") == inversion_energy.jitter_of(net, "relu4") == 4
    assert inversion_energy.jitter_of(net, "conv1") == 1
    assert inversion_energy.jitter_of(net, "fc7") == 8
    rates = [inversion_energy.cvpr15_rate(400)(t) for t in (1, 100, 101, 300, 301, 400)]
    assert rates == pytest.approx([0.004, 0.004, 0.0004, 0.0004, 0.00004, 0.00004])
    assert inversion_energy.ijcv16_rate((3, 10, 20)) == pytest.approx(0.05 * 6400 / 6 * 200)


def test_where_the_presets_start():
    white, uniform = (inversion_energy.noise(p, SHAPE, [3, 4]) for p in ("cvpr15", "ijcv16"))
    np.testing.assert_allclose(np.linalg.norm(white.reshape(2, -1), axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.quantile(uniform[1], 0.95), 80 / math.sqrt(3), rtol=1e-5)
    np.testing.assert_array_equal(white[1], inversion_energy.noise("cvpr15", SHAPE, [4])[0])


def test_cvpr15_walks_as_written_in_torch(rng):
    torch = pytest.importorskip("torch")
    data = job(rng, preset="cvpr15")
    outcome = inversion_run.reconstructed(
        data, data.net, "relu1", data.net.forward(data.x, ["relu1"])["relu1"], [7]
    )
    value = torch_energy(torch, "cvpr15", data.net, data.x, 1.5)
    x = torch.from_numpy(inversion_energy.noise("cvpr15", SHAPE, [7], np.float64))
    velocity, last = torch.zeros_like(x), None
    for rate in 2 * [0.004] + 4 * [0.0004] + 2 * [0.00004]:
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(value(x), x)
        velocity = (velocity if rate == last else 0) * 0.9 - rate * gradient
        x, last = x + velocity, rate
    sigma = inversion_energy.sigma(SHAPE)
    np.testing.assert_allclose(outcome.x, x.detach().numpy() * sigma / 50, rtol=1e-7)


def test_ijcv16_walks_as_written_in_torch(rng):
    torch = pytest.importorskip("torch")
    data = job(rng, preset="ijcv16", jitter=1)
    outcome = inversion_run.reconstructed(
        data, data.net, "relu1", data.net.forward(data.x, ["relu1"])["relu1"], [7]
    )
    value = torch_energy(torch, "ijcv16", data.net, data.x, 1.5)
    x = torch.from_numpy(inversion_energy.noise("ijcv16", SHAPE, [7], np.float64))
    rate = 0.05 * 80**2 / 6 * SHAPE[1] * SHAPE[2]
    for iterations, lr in ((6, rate), (2, rate / 10)):
        squares, velocity = torch.zeros_like(x), torch.zeros_like(x)
        for _ in range(iterations):
            x = x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(value(x), x)
            squares = 0.9 * squares + gradient**2
            velocity = 0.9 * velocity - gradient / (1 / lr + squares.sqrt())
            x = (x + velocity).detach()
            x = x * torch.clamp(160 / x.norm(dim=1, keepdim=True), max=1)
    np.testing.assert_allclose(outcome.x, x.numpy() / 50, rtol=1e-6)


def test_the_gradient_through_a_moving_window(rng):
    fun, _, _ = energy(rng, "ijcv16", count=2)
    canvas = inversion_energy.noise("ijcv16", (3, 11, 15), [0, 1], np.float64)

    def at_the_same_places(x):
        fun.window = inversion_energy.Window(4, [5, 6])  # draws the same places again
        return fun(x)

    error = check_vjp(
        lambda x: at_the_same_places(x)[0],
        lambda dy, x: dy * at_the_same_places(x)[1],
        canvas,
        rng,
    )
    assert error < 1e-6


def test_a_window_spreads_where_it_looked(rng):
    window, x = inversion_energy.Window(4, [1, 2]), rng.standard_normal((2, 3, 11, 15))
    seen = window.look(x)
    assert seen.shape == (2, 3, 8, 12)
    spread = window.spread(seen)
    assert float((spread * x).sum()) == pytest.approx(float((seen**2).sum()))
    np.testing.assert_array_equal(inversion_energy.middle(x, (8, 12)), x[:, :, 1:9, 1:13])


def test_jitter_does_not_drift(rng):
    """A bright pixel stays where it is although the window moves in every iteration."""
    net = Network([("conv1", Conv2d(3, 1))], {}, SHAPE, {"preprocess": PREPROCESS})
    net.params = {"conv1.weight": np.eye(3)[:, :, None, None] / 1.0, "conv1.bias": np.zeros(3)}
    spot = np.zeros((1, *SHAPE))
    spot[:, :, 3, 5] = 2.0
    settings = InvertSettings(
        "i",
        layers=["conv1"],
        preset="ijcv16",
        iterations=70,
        jitter=3,
        tv_weight=0.0,
        data_weight=300.0,
    )
    data = InvertJob(
        settings=settings, net=net, x=spot, picture=np.zeros((*SHAPE[1:], 3), np.uint8)
    )
    outcome = inversion_run.reconstructed(data, net, "conv1", spot, [0])
    light = np.abs(outcome.x[0]).sum(axis=0)
    assert np.unravel_index(light.argmax(), light.shape) == (3, 5)


@pytest.mark.parametrize("preset", inversion_energy.PRESETS)
@pytest.mark.parametrize("engine", ["explicit", "fast"])
def test_restarts_are_the_runs_of_their_seeds(rng, preset, engine):
    data = job(rng, "float32", preset=preset, restarts=3, seed=5, engine=engine, layers=["pool1"])
    walk = evaluator_of(data.net, Evaluation(engine))
    target = walk.forward(data.x, ["pool1"], keep=False)["pool1"]

    def made(batches):
        return np.concatenate(
            [inversion_run.reconstructed(data, walk, "pool1", target, seeds).x for seeds in batches]
        )

    together = made(inversion_run.batches(data.settings))
    alone = made([[5], [6], [7]])
    assert together.shape == (3, *SHAPE)
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)
    assert np.abs(together[0] - together[1]).max() > 0.01


@pytest.mark.parametrize("preset", inversion_energy.PRESETS)
def test_every_preset_lowers_the_error(rng, preset):
    data = job(rng, preset=preset, iterations=60, layers=["relu1", "fc2"], restarts=2, tv_beta=2.0)
    outcome = data.run()
    rows = outcome.findings["layers"]
    assert [row["layer"] for row in rows] == ["relu1", "fc2"]
    for row in rows:
        assert len(row["errors"]) == len(row["picture_errors"]) == 2
        assert max(row["errors"]) < 0.9
        assert row["diversity"] > 1


def test_ctrl_c_keeps_what_there_is(rng):
    def callback(iteration, x, value, info):
        if iteration == 12:
            raise KeyboardInterrupt

    data = job(rng, layers=["relu1", "pool1", "fc2"])
    outcome = data.run(callback)
    assert outcome.result.interrupted
    assert [row["layer"] for row in outcome.findings["layers"]] == ["relu1", "pool1"]


def test_diversity(rng):
    a = np.zeros((4, 5, 3), np.uint8)
    assert diversity([a, a + 10, a]) == pytest.approx(math.sqrt(200 / 3))
    assert diversity([a]) is None


def test_adagrad_with_a_projection():
    target = np.array([[[[3.0]], [[4.0]]]])
    result = minimize(
        "adagrad",
        lambda x: (float(((x - target) ** 2).sum()), 2 * (x - target)),
        np.zeros((1, 2, 1, 1)),
        iterations=300,
        learning_rate=0.3,
        project=lambda x: x / max(1.0, float(np.sqrt((x**2).sum()))),
    )
    assert np.linalg.norm(result.x) == pytest.approx(1)
    assert result.value < 17


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("invert")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 48, 3), np.uint8)).save(folder / "i.png")
    Image.new("RGB", (30, 30)).save(folder / "black.png")
    checkpoint.save(build.build("minivgg"), folder / "w.h5")
    return folder


@pytest.fixture
def inverted(folder, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)

    def run(layers, *options, weights="w.h5"):
        arguments = [folder / "i.png", "--layer", layers, "--weights", folder / weights, *options]
        code = main(["invert", *map(str, arguments), "-o", "out.png"])
        return code, *capfd.readouterr()

    return run


@pytest.mark.parametrize(
    ("layers", "options", "count"),
    [
        ("relu1_1", "--preset lbfgs", 1),
        ("relu1_1", "--optimizer lbfgs", 1),
        ("pool1,fc5", "--preset cvpr15", 2),
        ("pool2,prob", "--preset ijcv16 --restarts 2 --seed 4", 2),
    ],
)
def test_the_verb_and_rerun(inverted, tmp_path, layers, options, count):
    code, stdout, _ = inverted(layers, *options.split(), "--iterations", 2, "--json")
    assert code == 0
    found = json.loads(stdout.splitlines()[-1])["layers"]
    assert len(found) == count
    assert read_metadata("out.png")["result"]["layers"] == found
    assert main(["rerun", "out.png", "--quiet"]) == 0
    assert (tmp_path / "out-rerun.png").read_bytes() == (tmp_path / "out.png").read_bytes()


@pytest.mark.parametrize("preset", ["lbfgs", "ijcv16"])
def test_a_fine_picture_and_frames(inverted, tmp_path, preset):
    options = f"--preset {preset} --jitter 3" if preset == "ijcv16" else f"--preset {preset}"
    options = [*options.split(), "--iterations", 3]
    assert inverted("pool1", *options)[0] == 0
    rough = np.array(Image.open("out.png"))
    fine = ["--bits", 16, "--gif", "search.gif", "--frames", "way", "--force"]
    assert inverted("pool1", *options, *fine)[0] == 0
    exact, _ = decode((tmp_path / "out.png").read_bytes())
    assert np.abs(exact / 257 - rough).max() <= 0.51
    assert len(np.unique(exact)) > 256
    assert sorted(path.name for path in (tmp_path / "way").iterdir()) == [
        "0001.png", "0002.png", "0003.png"
    ]  # fmt: skip
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "way" / "0003.png")), rough)
    with Image.open("search.gif") as movie:
        assert (movie.n_frames, movie.size) == (3, rough.shape[1::-1])
    assert main(["rerun", "out.png", "--quiet"]) == 0
    assert (tmp_path / "out-rerun.png").read_bytes() == (tmp_path / "out.png").read_bytes()


BAD = {
    "layer": ("relu9", "", "no layer named 'relu9'; the layers are conv1_1"),
    "twice": ("pool1,pool1", "", "name at least one, each once"),
    "jitter": ("pool1", "--jitter 3", "has no jitter"),
    "optimizer": ("pool1", "--preset cvpr15 --optimizer lbfgs-device", "has its own optimizer"),
    "size": ("fc5,pool3", "--size 4", "does not reach layer fc5 .* use --size 8 or more"),
    "data": ("pool1", "--data-weight 0", "nothing to invert"),
    "beta": ("pool1", "--tv-beta 0.5", "'0.5' is not a number of at least 1", 2),
    "bits": ("pool1,fc5", "--bits 16", "a sheet of several pictures has 8 bits a channel"),
    "gif": ("pool1", "--restarts 2 --gif x.gif", "show one search; name one --layer"),
    "restarts": ("pool1", "--restarts 99", "'99' is not a whole number from 1 to 64", 2),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_bad_input_is_one_line(inverted, tmp_path, bad):
    layers, options, words, expected = (*bad, 1)[:4]
    code, stdout, stderr = inverted(layers, *options.split())
    assert (code, stdout, stderr.count("\n")) == (expected, "", 1)
    assert re.search(words, stderr), stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tv_beta": 0.5}, "tv_beta = 0.5; use a number of at least 1"),
        ({"restarts": 99}, "restarts = 99; use a whole number from 1 to 64"),
        ({"height": 0}, "height = 0; use a size"),
        ({"preset": "cvpr", "layers": ["a"]}, "no preset 'cvpr'; use lbfgs, cvpr15, ijcv16"),
    ],
)
def test_bad_settings_are_refused(change, words):
    with pytest.raises(MinicnnError, match=words):
        InvertSettings("i", **{"layers": ["pool1"], **change}).check()


@pytest.mark.parametrize(
    ("options", "name"),
    [({}, "lbfgs-device"), ({"optimizer": "lbfgs"}, "lbfgs"), ({"preset": "cvpr15"}, "lbfgs"),
     ({"preset": "cvpr15", "optimizer": "lbfgs"}, "lbfgs")],
)  # fmt: skip
def test_the_record_says_the_optimizer_as_older_records_do(folder, options, name):
    settings = InvertSettings(str(folder / "i.png"), layers=["pool1"], weights="random", **options)
    assert INVERT.open_job(settings).settings.optimizer == name


def test_a_sweep_is_a_picture_for_each_value(inverted):
    assert inverted("pool1", "--iterations", 2, "--sweep", "tv-weight=0.5,50")[0] == 0
    weights = [read_metadata(f"out-tv-weight-{w}.png")["settings"]["tv_weight"] for w in (0.5, 50)]
    assert weights == [0.5, 50.0]
    assert read_metadata("out.png")["pictures"] == ["out-tv-weight-0.5.png", "out-tv-weight-50.png"]


def test_the_size_is_that_of_the_network_or_as_told(folder):
    settings = InvertSettings(str(folder / "i.png"), layers=["pool1"], weights="random")
    assert INVERT.open_job(settings).x.shape == (1, 3, 64, 64)
    assert INVERT.open_job(settings).net.layer("pool1") == MaxPool2d(2, 2)
    other = replace(settings, width=48, height=40)
    assert INVERT.open_job(other).x.shape == (1, 3, 40, 48)


def test_a_long_row_of_layers_goes_on_below():
    settings = SimpleNamespace(several=True, restarts=1, paper=LIGHT)
    job = SimpleNamespace(
        picture=np.zeros((64, 300, 3), np.uint8), settings=settings, figure=lambda sheet: sheet
    )
    made = {f"relu{i}": [job.picture] for i in range(9)}
    rows = [{"layer": layer, "picture_errors": [0.5]} for layer in made]
    sheet = findings.sheet(job, made, rows)
    assert sheet.shape[1] == 5 * 300 + 4 * 8  # the source and nine layers in two rows
    assert sheet.shape[0] < 3 * 64 + 100
