"""Weights that overflow: every verb ends in one line of its own, without a warning of NumPy's."""

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn.cli import main

VERBS = {
    "classify a.png": "scores of minivgg are NaN or infinite",
    "saliency a.png -o out.png": "scores of minivgg are NaN or infinite",
    "occlusion a.png -o out.png --window 32 --step 32": "scores of minivgg are NaN or infinite",
    "deconv a.png -o out.png --layer relu3_3": "layer relu3_3 has activations that are NaN",
    "invert a.png -o out.png --layer relu3_3 --iterations 2": "layer relu3_3 has activations",
    "style a.png a.png -o out.png --iterations 2": "no picture: the value is not a number",
    "texture a.png -o out.png --size 48 --iterations 2": "has activations that are NaN or infinite",
    "features data/val -o out --layers relu3_3": "relu3_3: unit 0 is nan on picture 0",
    "compare minivgg big.h5 --data data/val -o out --layers relu3_3": "unit 0 is nan on picture 0",
    "weights normalize big.h5 data/val -o out.h5": "the activations are NaN or infinite",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a picture, a data set of two and weights that are far too large."""
    folder = tmp_path_factory.mktemp("big")
    net = minicnn.build("minivgg", seed=0)
    net.params = {name: np.float32(1e12) * values for name, values in net.params.items()}
    minicnn.save(net, folder / "big.h5")
    (folder / "data" / "val" / "a").mkdir(parents=True)
    pixels = np.random.default_rng(1).integers(0, 256, (2, 48, 48, 3), np.uint8)
    for number, rgb in enumerate(pixels):
        Image.fromarray(rgb).save(folder / "data" / "val" / "a" / f"{number}.png")
    Image.fromarray(pixels[0]).save(folder / "a.png")
    return folder


@pytest.mark.parametrize("command", VERBS)
def test_weights_that_overflow_are_told_in_one_line(command, folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    arguments = command.split()
    if command.partition(" ")[0] not in ("compare", "weights"):
        arguments += ["--weights", "big.h5", "--threads", "1"]
    assert main(arguments) == 1
    said = capfd.readouterr().err
    assert VERBS[command] in said.splitlines()[-1 - command.startswith("classify")]
    assert "Warning" not in said
    assert not (folder / "out.png").exists()


def test_a_style_scale_that_makes_no_picture(folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    command = "style a.png a.png -o out.png --size 64 --style-scale"
    for scale in ("1e30", "1e308"):
        assert main([*command.split(), scale]) == 1
        assert "use at most 156.25" in capfd.readouterr().err
