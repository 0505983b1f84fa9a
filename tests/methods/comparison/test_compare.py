"""Shares with intervals, spectra of filters that are known, aliasing, and the whole comparison."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from features_testing import write_set
from PIL import Image

import minicnn
from minicnn.cli import main
from minicnn.methods.comparison import comparison, filter_spectrum
from minicnn.methods.comparison.costs import macs
from minicnn.methods.comparison.intervals import difference, wilson
from minicnn.methods.comparison.report import conclusions
from minicnn.methods.comparison.verdict import HOLDS, OPEN, REVERSED, finer, verdicts
from minicnn.network import build
from minicnn.ops import conv2d
from minicnn.pictures.reader import load_image
from minicnn.pictures.writer import read_metadata


def wave(f1, f2, size, phase=0.3):
    """A sinusoid (size, size) of so many cycles per pixel."""
    i, j = np.mgrid[:size, :size]
    return np.cos(2 * np.pi * (f1 * i + f2 * j) + phase)


@pytest.mark.smoke
def test_wilson_interval_solves_its_equation():
    for count, of in ((0, 48), (3, 64), (40, 80), (64, 64)):
        found = wilson(count, of)
        assert 0 <= found.low <= found.share <= found.high <= 1
        for p in (found.low, found.high):  # |share - p| = z sqrt(p (1 - p) / n), its definition
            if 0 < p < 1:
                assert abs(found.share - p) == pytest.approx(1.959964 * (p * (1 - p) / of) ** 0.5)


def test_difference_is_that_of_newcombe():
    # example (a) of table II of the paper: 56/70 against 48/80
    assert difference(wilson(56, 70), wilson(48, 80)) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize(
    ("f1", "f2", "band"),
    [(0, 1 / 16, "low"), (3 / 16, 0, "mid"), (1 / 8, 1 / 8, "mid"), (3 / 8, 3 / 8, "high")],
)
def test_a_wave_lies_in_its_band(f1, f2, band):
    w = np.stack([np.stack([wave(f1, f2, 32)] * 3)] * 2)
    shares = filter_spectrum.band_shares(w)
    assert shares[band] == pytest.approx(np.ones(2), abs=0.1)
    assert sum(shares.values()) == pytest.approx(np.ones(2))


def test_noise_fills_the_bands_by_their_areas(rng):
    shares = filter_spectrum.band_shares(rng.standard_normal((400, 3, 7, 7)))
    areas = [np.pi / 64, 3 * np.pi / 64, 1 - np.pi / 16]
    assert [s.mean() for s in shares.values()] == pytest.approx(areas, abs=0.012)


@pytest.mark.parametrize("stride", [2, (2, 4)])
def test_folded_share_is_what_sampling_does_to_an_answer(rng, stride):
    """Against answers at every pixel of pictures on a torus: what a stride cannot tell."""
    x = rng.standard_normal((4, 3, 16, 16))
    window = np.outer(np.hanning(18)[1:-1], np.hanning(18)[1:-1])
    seen = (x - x.mean(axis=(2, 3), keepdims=True)) * window
    w = rng.standard_normal((5, 3, 7, 5))
    around = np.pad(seen, ((0, 0), (0, 0), (0, 6), (0, 4)), mode="wrap")
    z = np.fft.fft2(conv2d.forward(around, w, None)[0])
    assert z.shape[2:] == (16, 16)
    power = (np.abs(z) ** 2).sum(axis=0)
    power[:, 0, 0] = 0
    u, v = np.broadcast_to(stride, 2)
    f = np.abs(np.fft.fftfreq(16))
    told = (f[:, None] <= 0.5 / u) & (f[None] <= 0.5 / v)
    wanted = 1 - power[:, told].sum(axis=1) / power.sum(axis=(1, 2))
    spectrum = filter_spectrum.cross_spectrum(x[2:], filter_spectrum.cross_spectrum(x[:2]))
    assert filter_spectrum.folded_shares(w, spectrum, stride) == pytest.approx(wanted)
    assert filter_spectrum.folded_shares(w, spectrum, 1) == pytest.approx(np.zeros(5))


def test_waves_above_the_limit_of_the_stride_are_folded():
    """A filter that answers to one frequency, on pictures that hold all of them."""
    spectrum = np.zeros((1, 1, 32, 32), complex) + 1
    for f1, stride, folded in ((1 / 16, 4, 0), (3 / 16, 4, 1), (3 / 16, 2, 0), (3 / 8, 2, 1)):
        w = wave(f1, 0, 32)[None, None]
        found = filter_spectrum.folded_shares(w, spectrum, stride)
        assert found == pytest.approx([folded], abs=1e-9)
    wide = np.tile(wave(1 / 16, 0, 32), (2, 2))[None, None]  # larger than the picture
    assert filter_spectrum.folded_shares(wide, spectrum, 4) == pytest.approx([0], abs=1e-9)


@pytest.mark.smoke
def test_harmonics_of_waves_combs_and_noise(rng):
    def share(picture, stride):
        return filter_spectrum.harmonics(np.stack([picture] * 3, axis=2), stride)[0]

    assert share(wave(1 / 4, 1 / 2, 24), 4) == pytest.approx(1)
    assert share(wave(1 / 4, 1 / 2, 24), 2) == pytest.approx(0, abs=1e-20)
    assert share(wave(1 / 2, 0, 26)[:, :25], 2) == pytest.approx(1)
    comb = np.zeros((24, 24))
    comb[1::4, 2::4] = 3
    assert share(comb, 4) == pytest.approx(1)
    noise = rng.standard_normal((48, 48, 3))
    found, excess = filter_spectrum.harmonics(noise, 4)
    assert found == pytest.approx(15 / (48 * 48 - 1), rel=0.5)
    assert excess == pytest.approx(1, abs=0.5)
    # the part that repeats: the mean over all places that are congruent
    repeating = noise.reshape(12, 4, 12, 4, 3).mean(axis=(0, 2))
    power = repeating.var(axis=(0, 1)).sum() / noise.var(axis=(0, 1)).sum()
    assert found == pytest.approx(power)
    grid = noise + 2 * comb.repeat(2, 0).repeat(2, 1)[:48, :48, None]
    assert filter_spectrum.harmonics(grid, 8)[1] > 3
    assert filter_spectrum.harmonics(noise, 1) == (0, 1)


def test_multiplications_of_alexnet():
    """One tower and two: Krizhevsky's published layers, as everyone counts them."""
    found = macs(build.skeleton("alexnet"))
    assert found["conv1"] == 55 * 55 * 96 * 11 * 11 * 3
    assert found["conv2"] == 27 * 27 * 256 * 5 * 5 * 48
    assert found["fc6"] == 9216 * 4096
    assert sum(found.values()) == pytest.approx(724e6, rel=0.01)


def facts(kernel=7, stride=2, dead=0, folded=0.1, harmonics=0.1, error=0.01):
    def mean(value):
        return {"mean": value, "error": error, "of": 48}

    return {
        "first": {"kernel": [kernel, kernel], "stride": stride, "folded": mean(folded)},
        "second": {"harmonics": mean(harmonics)},
        "dead": [{"count": dead, "of": 48}, {"count": 0, "of": 64}],
    }


def test_verdicts():
    coarse, fine = facts(11, 4, dead=30, folded=0.4, harmonics=0.3), facts()
    for order in ((coarse, fine), (fine, coarse)):
        found = verdicts(*order)
        assert order[found["finer"]] is fine
        assert (found["fewer_dead"], found["less_aliasing"]) == (HOLDS, HOLDS)
    assert verdicts(facts(11, 4), facts())["fewer_dead"] == OPEN
    assert verdicts(facts(11, 4), facts(dead=30))["fewer_dead"] == REVERSED
    assert verdicts(facts(11, 4, folded=0.4), facts())["less_aliasing"] == OPEN  # one of two alone
    assert verdicts(facts(11, 4), facts(folded=0.4, harmonics=0.4))["less_aliasing"] == REVERSED
    assert not verdicts(facts(), facts())["applies"]
    assert finer(facts(11, 2), facts(7, 4)) is None
    assert finer(facts(7, 2), facts(7, 4)) == 0


@pytest.mark.parametrize("harmonics", [0.1, 0.3])
def test_the_verdict_says_where_the_two_measures_of_aliasing_disagree(harmonics):
    coarse, fine = facts(11, 4, folded=0.4, harmonics=harmonics), facts(harmonics=0.1)
    networks = [SimpleNamespace(net=minicnn.build(n)) for n in ("minialexnet", "minizfnet")]
    last = conclusions(networks, verdicts(coarse, fine))[-1]
    assert ("say different things" in last) == (harmonics == 0.1)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("compare")
    write_set(home / "set.h5", np.random.default_rng(1), 12)
    for name, classes in (("minialexnet", ["cat", "<b>dog</b>"]), ("minizfnet", None)):
        net = minicnn.build(name, classes=2 if classes else 5)
        net.attrs["classes"] = classes
        net.params["conv2.bias"][:9] = -1e6  # nine units that never fire
        minicnn.save(net, home / f"{name}.h5")
    return home


@pytest.fixture
def command(home, monkeypatch, capfd):
    monkeypatch.chdir(home)

    def run(*arguments, data="set.h5"):
        options = ["--data", data, "--units", "4", "--threads", "1", "--quiet"]
        code = main(["compare", *arguments, *options])
        return (code, *capfd.readouterr())

    return run


def test_two_networks_of_other_classes(command, home):
    code, stdout, _ = command("minialexnet.h5", "minizfnet.h5", "-o", "out", "--json")
    assert code == 0
    told = json.loads(stdout.splitlines()[-1])
    one, other = told["networks"]
    assert [d["count"] for d in one["dead"]][1] >= 9
    assert one["dead"][1]["of"] == 64
    assert one["accuracy"]["measured"]
    assert not other["accuracy"]["measured"]
    assert "2 classes, the network 5" in other["accuracy"]["why"]
    assert one["costs"]["macs"] == 11_870_464 - 160 * 198  # with 2 classes for 200
    assert told["verdicts"]["finer"] == 1
    page = (home / "out" / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 6
    assert not re.search(r"(src|href)=.(?!data:)", page)
    assert load_image(home / "out" / "compare.png").pixels.ndim == 3
    assert read_metadata(home / "out" / "compare.png")["verb"] == "compare"
    assert "exists already" in command("minialexnet.h5", "minizfnet.h5", "-o", "out")[2]


def test_the_accuracy_is_that_of_the_scores(home):
    from minicnn.data.datasets import open_dataset
    from minicnn.methods.comparison import accuracy
    from minicnn.pictures.arrays import preprocess

    net, data = minicnn.load(home / "minialexnet.h5"), open_dataset(home / "set.h5", "val")
    x = [preprocess(p, net.attrs["preprocess"]) for p in data.pictures(64)]
    scores = net.forward(np.concatenate(x), ["fc8"])["fc8"][:, :, 0, 0]
    wanted = (scores.argmax(axis=1) == data.labels).mean()
    assert accuracy.measure(net, data, threads=1)["top1"] == pytest.approx(wanted)


def test_other_sizes_and_preprocessing(command, home):
    (home / "folder").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (70, 80, 3), np.uint8)
    Image.fromarray(noise).save(home / "folder" / "noise.png")
    code, stdout, _ = command(
        *("random:squeezenet1_1", "minizfnet.h5", "-o", "two", "--limit", "1"),
        *("--layers", "relu_conv1,relu1"),
        data="folder",
    )
    assert code == 0
    assert "minizfnet has the smaller filters" not in stdout  # 3x3 stride 2 against 7x7 stride 2
    assert "squeezenet1_1 has the smaller filters and stride" in stdout
    told = json.loads((home / "two" / "compare.json").read_text())
    assert told["networks"][0]["input"] == [3, 227, 227]
    assert "no labels" in told["networks"][0]["accuracy"]["why"]


def test_filters_are_shown_in_grey_levels_of_rgb():
    net = minicnn.build("squeezenet1_1", classes=2)
    net.attrs["preprocess"] = {
        "channel_order": "BGR",
        "mean": [0.0] * 3,
        "std": [1.0, 2.0, 4.0],
        "scale": 0.5,
    }
    w = np.ones((2, 3, 1, 1))
    w[1] *= 4
    shown = comparison.in_grey_levels(net, w)
    assert shown[0, :, 0, 0].tolist() == [0.125, 0.25, 0.5]
    clipped, radius = comparison.limited(w)
    assert radius == 2.5
    assert clipped[:, 0, 0, 0].tolist() == [1, 2.5]
    assert w[1, 0, 0, 0] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["minialexnet.h5", "absent.h5"], "no weights 'absent.h5'"),
        (["minialexnet.h5", "random:nets"], "no network named 'nets'"),
        (["minialexnet.h5", "set.h5"], "set.h5: "),
        (
            ["minialexnet.h5", "minizfnet.h5", "--layers", "relu9"],
            "no layer 'relu9' in minialexnet",
        ),
        (["minialexnet.h5", "random:minivgg", "--layers", "relu1"], "is in random:minivgg; its"),
        (["minialexnet.h5", "minizfnet.h5", "--split", "test"], "no split 'test'"),
    ],
)
def test_bad_input_is_one_line(command, arguments, message):
    code, stdout, stderr = command(*arguments, "-o", "bad")
    assert (code, stdout) == (1, "")
    assert message in stderr
    assert stderr.count("\n") == 1
