"""The verb `class-model`, and what it searches with."""

import json
from dataclasses import replace

import numpy as np
import pytest
from look_testing import classifier

from minicnn.errors import MinicnnError
from minicnn.gradcheck.checks import check_vjp
from minicnn.methods.classes.blur_and_jitter import Rolled, blurred
from minicnn.methods.classes.class_model import ClassModelJob, open_job
from minicnn.methods.classes.settings import ClassModelSettings
from minicnn.network.layers import Conv2d, GlobalAvgPool2d, Linear, ReLU
from minicnn.pictures.arrays import as_pixels
from minicnn.pictures.writer import read_metadata


def test_the_gradient_of_the_class_model_is_that_of_its_value(rng):
    net = classifier(
        ("conv1", Conv2d(4, 3)),
        ("relu1", ReLU()),
        ("conv2", Conv2d(3, 1)),
        ("pool2", GlobalAvgPool2d()),
    )
    settings = ClassModelSettings(wanted_class="1", l2_weight=0.7, tv_weight=300.0, blur=1.3)
    x = rng.uniform(-3, 3, (1, 3, 12, 12))
    job = ClassModelJob(settings=settings, net=net, evaluator=net, layer="pool2", index=1, start=x)
    fun = job.function()
    error = check_vjp(lambda x: fun(x)[0], lambda dy, x: dy * fun(x)[1], x, rng)
    assert error < 1e-6
    fun(x)
    pixels = as_pixels(blurred(x, 1.3), net) / 255
    assert fun.terms["l2"] == pytest.approx(0.7 * (pixels**2).sum())
    assert fun.terms["minus-score"] == pytest.approx(
        -net.forward(blurred(x, 1.3), ["pool2"])["pool2"][0, 1, 0, 0]
    )


def test_blurring_is_its_own_adjoint(rng):
    x, y = rng.standard_normal((2, 1, 3, 9, 14))
    x, y = x[np.newaxis][0], y[np.newaxis][0]
    left = (blurred(x, 2.0) * y).sum()
    assert left == pytest.approx((x * blurred(y, 2.0)).sum(), rel=1e-12)
    np.testing.assert_allclose(blurred(np.ones_like(x), 2.0), 1)


def test_jitter_does_not_drift(rng):
    """A linear network sees the rolled picture; its gradient comes back to where it belongs."""
    net = classifier(("fc1", Linear(3)))
    x = rng.standard_normal((1, 3, 12, 12))
    rolled = Rolled(net, 3, np.random.default_rng(5))
    y = rolled.forward(x, ["fc1"])["fc1"][0, 0, 0, 0]
    seed = np.zeros((1, 3, 1, 1))
    seed[0, 0] = 1
    assert (rolled.backward({"fc1": seed}) * x).sum() == pytest.approx(
        y - net.params["fc1.bias"][0]
    )
    assert rolled.step != (0, 0)


def test_the_class_model_scores_higher_than_grey(command):
    code, stdout, _ = command(
        "class-model",
        "--class",
        "7",
        "--iterations",
        8,
        "-o",
        "out.png",
        "--json",
        "--blur",
        1,
        "--noise",
        9,
        "--npz",
        "a.npz",
    )
    lines = [json.loads(line) for line in stdout.splitlines()]
    assert code == 0
    assert lines[-1]["score"] > -lines[0]["losses"]["minus-score"]
    assert np.load("a.npz")["x"].shape == (1, 3, 64, 64)
    assert read_metadata("out.png")["result"]["name"] == "thing 7"


def test_the_class_model_says_where_no_pixel_matters(command):
    code, stdout, _ = command("class-model", "--class", "7", "-o", "out.png")
    assert code == 0
    assert "thing 7 (7): score 0" in stdout
    assert "try --noise 30" in stdout


def test_nothing_is_left_open(weights):
    settings = ClassModelSettings(wanted_class="7", weights=str(weights), threads=1)
    found = open_job(settings).settings
    assert (found.network, found.size, found.learning_rate) == ("minivgg", 64, 2.0)
    assert open_job(replace(settings, optimizer="lbfgs")).settings.learning_rate is None
    assert open_job(found).settings == found


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_the_search_begins_with_the_first_roll(weights, optimizer):
    """Asking for the learning rate uses up no random number of the search."""
    settings = ClassModelSettings(
        wanted_class="7",
        weights=str(weights),
        threads=1,
        noise=9.0,
        jitter=3,
        iterations=1,
        optimizer=optimizer,
    )
    job = open_job(settings)
    first, _ = job.function()(job.start)
    assert job.run().result.trace[0]["value"] == first


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"l2_weight": -1.0}, "l2_weight = -1.0; use a finite number that is not negative"),
        ({"jitter": -1}, "jitter = -1; use a whole number of at least 0"),
        ({"blur": float("inf")}, "blur = inf"),
        ({"iterations": 0}, "iterations = 0; use a whole number of at least 1"),
        ({"optimizer": "lbfgs", "jitter": 2}, "needs a function that stays the same"),
        ({"optimizer": "lbfgs", "learning_rate": 2.0}, "lbfgs takes no learning rate"),
    ],
)
def test_settings_that_mean_nothing(values, message):
    with pytest.raises(MinicnnError, match=message):
        ClassModelSettings(wanted_class="7", **values).check()
