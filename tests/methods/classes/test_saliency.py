"""The verb `saliency`, and the gradient and the averages that it shows."""

import json

import numpy as np
import pytest
from look_testing import PREPROCESS, classifier

from minicnn.errors import MinicnnError
from minicnn.methods.classes import saliency
from minicnn.methods.classes.settings import AVERAGES, SaliencySettings
from minicnn.network.layers import Linear, Softmax
from minicnn.pictures.arrays import per_pixel, preprocess
from minicnn.pictures.reader import load_image


def test_saliency_is_the_weight_row_of_a_linear_model(rng):
    net = classifier(("fc1", Linear(3)), ("prob", Softmax()))
    x = rng.standard_normal((1, 3, 12, 12))
    w = saliency.class_gradient(net, x, "fc1", 2)
    np.testing.assert_allclose(w[0].ravel(), net.params["fc1.weight"][2], rtol=1e-12)
    m = saliency.magnitude(w[0].transpose(1, 2, 0))
    np.testing.assert_allclose(m, np.abs(w[0]).max(axis=0))


def test_saliency_per_grey_level_is_the_derivative_of_the_score_by_the_picture(rng):
    net = classifier()
    rgb = rng.uniform(0, 255, (12, 12, 3))

    def score(rgb):
        x = (rgb[..., ::-1] * 0.5 - PREPROCESS["mean"]) / PREPROCESS["std"]
        return net.forward(x.transpose(2, 0, 1)[np.newaxis], ["fc3"])["fc3"][0, 1, 0, 0]

    x = preprocess(rgb, PREPROCESS).astype("float64")
    w = per_pixel(saliency.class_gradient(net, x, "fc3", 1), net)
    v = rng.standard_normal(rgb.shape)
    expected = (score(rgb + 1e-4 * v) - score(rgb - 1e-4 * v)) / 2e-4
    assert (w * v).sum() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("step", [(0, 0), (2, -3), (-1, 5), (12, -12)])
def test_moving_back_undoes_moving_where_nothing_was_lost(rng, step):
    x = rng.standard_normal((1, 3, 12, 14))
    back = saliency.moved_back(saliency.moved(x, step), step)
    rows, cols = (slice(max(0, -s), n - max(0, s)) for s, n in zip(step, (12, 14), strict=True))
    np.testing.assert_array_equal(back[:, :, rows, cols], x[:, :, rows, cols])
    back[:, :, rows, cols] = 0
    assert not back.any()


def test_averages_of_a_linear_model_are_its_gradient(rng):
    w = rng.standard_normal((1, 3, 12, 12))
    options = dict(samples=11, shift=0, noise=3.0, magnitude=lambda w: abs(w[0]).max(axis=0))
    for average in AVERAGES:
        mean, m = saliency.averaged(
            lambda x: np.repeat(w, len(x), axis=0),
            np.zeros_like(w),
            average,
            rng=np.random.default_rng(0),
            **options,
        )
        np.testing.assert_allclose(mean, w, rtol=1e-12)
        np.testing.assert_allclose(m, abs(w[0]).max(axis=0), rtol=1e-12)


@pytest.mark.parametrize("average", ["shifts", "noise"])
def test_the_seed_decides_the_average(command, average):
    sums = []
    for seed in (0, 0, 1):
        options = ("--average", average, "--samples", 3, "--seed", seed, "--npz", "a.npz")
        assert command("saliency", "-o", "out.png", "--force", *options)[0] == 0
        sums.append(np.load("a.npz")["map"].sum())
    assert sums[0] == sums[1] != sums[2]


def test_saliency_signed_and_by_name(command):
    code, stdout, _ = command(
        "saliency", "-o", "out.png", "--signed", "--class", "thing 7", "--npz", "a.npz", "--json"
    )
    found, raw = json.loads(stdout), np.load("a.npz")
    assert (code, found["class"], found["name"]) == (0, 7, "thing 7")
    np.testing.assert_allclose(raw["map"], np.abs(raw["gradient"]).max(axis=2))
    assert found["score"] == pytest.approx(raw["scores"][7])
    peak = np.unravel_index(np.abs(raw["gradient"]).argmax(), raw["gradient"].shape)
    assert load_image("out.png").pixels[::4, ::4][peak] == (255 if raw["gradient"][peak] > 0 else 0)


def test_a_class_that_is_not_there():
    with pytest.raises(MinicnnError, match="no class 3; use 0 to 2"):
        saliency.class_gradient(classifier(), np.ones((1, 3, 12, 12)), "fc3", 3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"samples": 0}, "samples = 0; use a whole number from 1 to 1000"),
        ({"samples": 1001}, "samples = 1001"),
        ({"shift": -1}, "shift = -1; use a whole number of at least 0"),
        ({"noise": float("inf")}, "noise = inf; use a finite number that is not negative"),
        ({"average": "mean"}, "no average 'mean'; use none, shifts, noise"),
        ({"rule": "x"}, "no rule 'x'"),
        ({"clip": 1.0}, "clip = 1.0"),
    ],
)
def test_settings_that_mean_nothing(values, message):
    with pytest.raises(MinicnnError, match=message):
        SaliencySettings("a.png", **values).check()
