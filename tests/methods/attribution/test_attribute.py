"""The verb `attribute`."""

import json

import numpy as np
import pytest

from minicnn.methods.attribution import run
from minicnn.methods.attribution.integrated import complete
from minicnn.methods.attribution.settings import METHODS
from minicnn.pictures.reader import load_image


@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_its_map(command, method):
    files = ("-o", "a.png", "--overlay", "b.png", "--sheet", "c.png", "--npz", "a.npz")
    options = (
        "--method",
        method,
        "--class",
        7,
        "--samples",
        3,
        "--steps",
        8,
        "--size",
        32,
        "--json",
    )
    code, stdout, stderr = command("attribute", *files, *options)
    assert code == 0, stderr
    told, raw = json.loads(stdout.splitlines()[-1]), np.load("a.npz")
    assert (told["method"], told["name"]) == (method, "thing 7")
    assert raw["map"].shape == (32, 32)
    assert raw["map"].min() >= 0 < raw["map"].max()
    assert load_image("b.png").pixels.shape == (224, 224, 3)  # 7 pixels a pixel
    assert told.get("maps") == ("relu4_3" if "cam" in method else None)
    if method == "integrated":
        sums = told["completeness"]
        assert sums["error"] < 0.01
        assert raw["attribution"].sum() == pytest.approx(sums["difference"], rel=0.011)
        np.testing.assert_allclose(raw["map"], abs(raw["attribution"].sum(axis=2)), atol=1e-5)
    elif method != "grad-cam":
        assert raw["attribution"].shape == (32, 32, 3)


def test_the_gradient_is_that_of_saliency(command):
    assert command("saliency", "-o", "a.png", "--class", 3, "--npz", "a.npz")[0] == 0
    options = ("--method", "gradient", "--class", 3, "--npz", "b.npz")
    assert command("attribute", "-o", "b.png", *options)[0] == 0
    a, b = np.load("a.npz"), np.load("b.npz")
    np.testing.assert_allclose(b["attribution"], a["gradient"], rtol=1e-5, atol=1e-9)
    np.testing.assert_array_equal(load_image("a.png").pixels, load_image("b.png").pixels)


def test_shares_are_over_the_baseline(command):
    sums = []
    for grey in (0, 255):
        options = ("--grey", grey, "--size", 32, "--json", "--quiet", "--force")
        code, stdout, _ = command("attribute", "-o", "a.png", *options)
        assert code == 0
        sums.append(json.loads(stdout)["completeness"]["difference"])
    assert sums[0] != sums[1]


def test_a_unit_of_a_layer(command):
    unit = ("--layer", "relu2_1", "--unit", 9, "--method", "gradient", "--json", "--quiet")
    found = {}
    for position in ("max", "all", "0,3"):
        options = (*unit, "--position", position, "--force", "--npz", "a.npz")
        code, stdout, stderr = command("attribute", "-o", "a.png", *options)
        assert code == 0, stderr
        found[position] = json.loads(stdout), np.load("a.npz")["map"]
    told, _ = found["max"]
    assert told["name"] == "relu2_1 unit 9"
    assert found["all"][0]["score"] > told["score"] >= found["0,3"][0]["score"]
    assert found["0,3"][0]["position"] == [0, 3]
    assert not found["0,3"][1][32:].any()  # it sees the upper edge alone


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--layer", "relu2_1"), "give both --layer and --unit, or neither for a class; the layer"),
        (("--unit", "3"), "give both --layer and --unit"),
        (("--layer", "relu2_1", "--unit", "3", "--class", "5"), "leave out --class or --unit"),
        (("--layer", "relu2_1", "--unit", "999"), "no unit 999 in layer relu2_1; use 0 to"),
        (("--layer", "relu9", "--unit", "9"), "no layer named 'relu9'"),
        (("--layer", "relu2_1", "--unit", "9", "--position", "99,0"), "no row 99 in layer relu2_1"),
        (
            ("--method", "grad-cam", "--layer", "relu2_1", "--unit", "3"),
            "--maps with a layer below",
        ),
        (("--method", "grad-cam", "--maps", "prob"), "does not depend on prob"),
        (("--class", "thing"), "200 classes have 'thing' in their name"),
    ],
)
def test_bad_input_is_one_line(command, options, message, tmp_path):
    code, stdout, stderr = command("attribute", "-o", "out.png", *options)
    assert (code, stdout, stderr.count("\n")) == (1, "", 1)
    assert message in stderr
    assert not (tmp_path / "out.png").exists()


def test_it_is_said_how_many_steps_would_do(command, monkeypatch):
    monkeypatch.setattr(
        run, "complete", lambda integrate, steps: complete(integrate, steps, most=1)
    )
    code, _, stderr = command(
        "attribute", "-o", "out.png", "--steps", 1, "--size", 32, "--grey", 255
    )
    assert code == 0
    assert "the shares sum to the score within" in stderr
    assert "steps would do for 1%" in stderr
