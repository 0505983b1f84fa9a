"""The verb `occlusion`, and the maps that it shows."""

import json

import numpy as np
import pytest
from look_testing import classifier

from minicnn.errors import MinicnnError
from minicnn.methods.classes.occlusion import occlude
from minicnn.methods.classes.settings import OcclusionSettings
from minicnn.network.layers import Linear, Softmax

QUICK = ("--window", "32", "--step", "32", "-o", "out.png")


def test_occlusion_equals_covering_by_hand(rng):
    net = classifier()
    x, cover = rng.standard_normal((1, 3, 12, 12)), np.full((1, 3, 1, 1), 0.5)
    activation, probability, label = occlude(net, x, cover, 5, 4, "relu2", 3, "fc3", 1)
    assert label.shape == (3, 3)
    for (i, j), top, left in (((0, 0), 0, 0), ((1, 2), 4, 8)):
        copy = x.copy()
        copy[:, :, top : 4 * i + 5, left : 4 * j + 5] = 0.5
        acts = net.forward(copy, ["relu2", "prob"])
        assert activation[i, j] == pytest.approx(acts["relu2"][0, 3].sum())
        assert probability[i, j] == pytest.approx(acts["prob"][0, 1, 0, 0])
        assert label[i, j] == acts["prob"].argmax()


def test_occlusion_finds_what_the_score_hangs_on():
    net = classifier(("fc1", Linear(3)), ("prob", Softmax()))
    net.params["fc1.weight"] = np.zeros((3, 3, 12, 12))
    net.params["fc1.weight"][1, :, 8:, :4] = 1
    net.params["fc1.weight"] = net.params["fc1.weight"].reshape(3, -1)
    x = np.ones((1, 3, 12, 12))
    _, p, label = occlude(net, x, 0 * x[:, :, :1, :1], 4, 4, "fc1", 1, "fc1", 1)
    assert np.unravel_index(p.argmin(), p.shape) == (2, 0)
    assert (p[2, 0], label[2, 0], label[0, 0]) == (pytest.approx(1 / 3), 0, 1)


def test_occlusion_writes_the_three_maps(command):
    code, stdout, _ = command("occlusion", *QUICK, "--npz", "a.npz", "--json", "--sheet", "s.png")
    found, raw = json.loads(stdout.splitlines()[-1]), np.load("a.npz")
    assert code == 0
    assert (found["rows"], found["columns"], found["layer"]) == (2, 2, "relu4_3")
    for name in ("activation", "probability", "label"):
        assert raw[name].shape == (2, 2)
    np.testing.assert_array_equal(raw["rows"], [16, 48])
    assert sum(found["labels"].values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"unit": "x"}, "unit = x; use max or a number from 0"),
        ({"unit": "-1"}, "unit = -1; use max or a number from 0"),
        ({"grey": 256}, "grey = 256; use a level from 0 to 255"),
        ({"step": 0}, "step = 0; use a whole number of at least 1"),
    ],
)
def test_settings_that_mean_nothing(values, message):
    with pytest.raises(MinicnnError, match=message):
        OcclusionSettings("a.png", **values).check()
