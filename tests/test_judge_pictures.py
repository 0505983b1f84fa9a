"""The judge of pictures: what it measures, and its table, with a teacher of random weights."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicnn.methods import network_defaults
from minicnn.network.build import random_params, skeleton
from minicnn.weights import checkpoint

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def judge():
    spec = importlib.util.spec_from_file_location("judge", ROOT / "tools/judge_pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def teacher():
    net = skeleton("vgg19", last="relu5_1", pool="average")
    net.params = random_params(net.param_shapes(), 1)
    return net


@pytest.fixture
def pictures(rng):
    return [rng.integers(0, 256, shape, np.uint8) for shape in ((32, 40, 3), (36, 32, 3))]


def test_the_losses_of_the_content_and_of_the_style_themselves(judge, teacher, pictures):
    content, style = pictures
    far, content_loss = judge.judged(teacher, content, content, style)
    assert content_loss == 0 < far
    style_loss, content_loss = judge.judged(teacher, style, style[::-1], style)
    assert style_loss < 1e-6 * far
    assert content_loss > 0


def test_gradients_of_networks_with_other_pixels_can_be_compared(judge, teacher, pictures):
    """The same network, but for RGB in 0..2: other numbers go in, the same gradient comes out."""
    twin = teacher.replica()
    twin.params = dict(teacher.params)
    old = teacher.attrs["preprocess"]
    new = {"channel_order": "RGB", "std": [1.0, 1.0, 1.0], "scale": 1 / 128}
    new["mean"] = [m / 128 for m in old["mean"][::-1]]
    twin.attrs = {**teacher.attrs, "preprocess": new}
    twin.params["conv1_1.weight"] = teacher.params["conv1_1.weight"][:, ::-1] * np.float32(128)
    row = network_defaults.STYLE["vgg19"]
    one, other = (judge.style_gradient(net, *pictures, row) for net in (teacher, twin))
    assert np.abs(one - other).max() < 1e-3 * np.abs(one).max()
    assert judge.cosine(one, other) == pytest.approx(1)
    assert judge.cosine(one, -other) == pytest.approx(-1)


def test_the_table(judge, teacher, pictures, tmp_path, capsys):
    checkpoint.save(teacher, tmp_path / "teacher.h5", compression=False)
    for name, rgb in zip(("content", "style"), pictures, strict=True):
        Image.fromarray(rgb).resize((80, 64)).save(tmp_path / f"{name}.png")
    where = {"--contents": "content.png", "--styles": "style.png", "-o": "out"}
    argv = [str(tmp_path / "teacher.h5"), "minizfnet", "--teacher", str(tmp_path / "teacher.h5")]
    for option, name in where.items():
        argv += [option, str(tmp_path / name)]
    judge.main([*argv, "--size", "80", "--iterations", "1"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    (first,) = {tuple(row[:4]) for row in rows if row[1:2] == ["teacher"]}
    assert (first[0], first[3]) == ("content-style", "1.00")
    assert {row[1] for row in rows if row[0] == "content-style"} == {"teacher", "minizfnet"}
    assert (tmp_path / "out" / "sheet.png").exists()
