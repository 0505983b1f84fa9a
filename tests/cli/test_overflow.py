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
    "deconv a.png -o out.png --layer relu3_3": "activations of layer relu3_3 are NaN",
    "deconv a.png -o out.png --layer relu1_2": "the projections of layer relu1_2 are NaN",
    "invert a.png -o out.png --layer relu3_3 --iterations 2": "layer relu3_3 are NaN",
    "style a.png a.png -o out.png --iterations 2": "no picture: the value is not a number",
    "texture a.png -o out.png --size 48 --iterations 2": "the Gram products of layer pool1 are NaN",
    "features data/val -o out --layers relu3_3": "relu3_3: unit 0 is nan on picture 0",
    "features data/val -o out --layers relu1_2": "the projections of layer relu1_2 are NaN",
    "compare minivgg big.h5 --data data/val -o out --layers relu3_3": "unit 0 is nan on picture 0",
    "class-model -o out.png --class 1 --noise 30": "the scores of minivgg are NaN or infinite",
    "evolution small.h5 big.h5 --data data -o out --layers relu3_3": "with big.h5: layer relu3_3",
    "evolution big.h5 end.h5 --data data -o out --layers relu1_2": "with big.h5: the projections",
    "weights normalize big.h5 data/val -o out.h5": "the activations of layer relu2_2 are NaN",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a picture, a data set of two and weights that are far too large."""
    folder = tmp_path_factory.mktemp("big")
    net = minicnn.build("minivgg", seed=0)
    start = net.params
    for epoch, (name, factor) in enumerate({"small": 1, "big": 1e12, "end": 1}.items()):
        net.params = {key: np.float32(factor) * values for key, values in start.items()}
        net.attrs["training"] = {"epoch": epoch}
        minicnn.save(net, folder / f"{name}.h5")
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
    if command.partition(" ")[0] not in ("compare", "evolution", "weights"):
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
