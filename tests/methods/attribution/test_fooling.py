"""Fooling images: the shortest way to a boundary, and a written picture of another class."""

import json

import numpy as np
import pytest
from look_testing import classifier

from minicnn.methods.attribution.fooling import OVERSHOOT, differences, fooled
from minicnn.network.layers import Linear, Softmax
from minicnn.pictures.arrays import preprocess
from minicnn.pictures.reader import load_image


@pytest.fixture
def picture(rng):
    return rng.integers(60, 200, (12, 12, 3), np.uint8)


def scores_of(net, rgb):
    x = preprocess(rgb, net.attrs["preprocess"]).astype(net.dtype)
    return net.forward(x, ["fc3"])["fc3"][0, :, 0, 0]


def test_of_a_linear_model_it_is_the_foot_of_the_perpendicular(picture):
    net = classifier(("fc3", Linear(3)), ("prob", Softmax()))
    net.params["fc3.bias"] = -scores_of(net, picture) + np.array([0.5, 0, 0.2])
    x = preprocess(picture, net.attrs["preprocess"]).astype("float64")
    f, w = differences(net, net, x, "fc3", 0, [1, 2])
    np.testing.assert_allclose(f, [-0.5, -0.3], rtol=1e-5)
    feet = [abs(one) / (row**2).sum() * row for one, row in zip(f, w, strict=True)]
    r, found = fooled(net, net, picture, "fc3")
    nearest = min(feet, key=np.linalg.norm)
    np.testing.assert_allclose(r, nearest, rtol=1e-4)
    at_boundary = (1 + OVERSHOOT) * r
    assert scores_of(net, picture + at_boundary).argmax() != 0
    assert scores_of(net, picture + 0.98 * r).argmax() == 0
    assert scores_of(net, found).argmax() != 0
    for goal in (1, 2):
        found = fooled(net, net, picture, "fc3", goal)[1]
        assert scores_of(net, found).argmax() == goal


@pytest.mark.parametrize("away", [None, 1, 2])
def test_what_is_found_has_another_class(picture, away):
    net = classifier()
    scores = scores_of(net, picture)
    c = int(scores.argmax())
    goal = None if away is None else (c + away) % 3
    r, found = fooled(net, net, picture, "fc3", goal)
    now = scores_of(net, found).argmax()
    assert now != c
    assert goal in (None, now)
    assert np.abs(r).max() > 0


def test_a_class_that_cannot_be_reached_is_not_found(picture):
    net = classifier(("fc3", Linear(3)), ("prob", Softmax()))
    net.params["fc3.weight"][:] = 0
    net.params["fc3.bias"] = np.array([1.0, 0, 0])
    assert fooled(net, net, picture, "fc3")[1] is None


def test_the_verb_writes_a_picture_of_another_class(command):
    code, stdout, stderr = command(
        "fool", "-o", "out.png", "--sheet", "s.png", "--npz", "a.npz", "--json", "--quiet"
    )
    assert code == 0, stderr
    told = json.loads(stdout)
    assert told["before"]["class"] != told["after"]["class"]
    change = np.load("a.npz")["change"]
    assert told["largest"] == abs(change).max() > 0
    assert told["rms"] == pytest.approx(np.sqrt((change**2).mean()))
    assert load_image("out.png").pixels.shape == (64, 64, 3)


def test_the_class_that_it_has_is_refused(command):
    _, stdout, _ = command("fool", "-o", "out.png", "--json", "--quiet")
    c = json.loads(stdout)["before"]["class"]
    code, stdout, stderr = command("fool", "-o", "b.png", "--class", c)
    assert (code, stdout, stderr.count("\n")) == (1, "", 1)
    assert f"the picture is thing {c} already" in stderr
