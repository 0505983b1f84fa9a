"""The figures of the notes: drawn, captioned with what was computed, walked through by a page."""

import json
import re

import numpy as np
import pytest

import minicnn
from minicnn.cli import main
from minicnn.data import drawn
from minicnn.figures import page
from minicnn.figures.verb import NUMBERS
from minicnn.network import Network
from minicnn.network.architectures import TORCHVISION
from minicnn.network.layers import Conv2d, MaxPool2d, ReLU
from minicnn.pictures.lettering import DARK
from minicnn.pictures.reader import load_image
from minicnn.pictures.writer import read_metadata


def test_some_figures_and_the_page(tmp_path, capsys):
    folder = tmp_path / "made"
    words = ["figures", "-o", str(folder), "--only", "3,10", "--size", "48", "--json", "--quiet"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert [path.rpartition("/")[2] for path in told["figures"]] == [
        "figure-03.png",
        "figure-10.png",
    ]
    caption = read_metadata(folder / "figure-10.png")["caption"]
    assert "n_C = 32 maps of n_H x n_W = 18 x 24" in caption  # pool1 of a style of 48 x 36
    text = (folder / "index.html").read_text()
    assert re.findall(r'<img src="([^"]+)"', text) == ["figure-03.png", "figure-10.png"]
    assert "1.1 Architecture" in text
    assert "1.3" not in text, "a section without a figure"
    assert main(words) == 1
    assert "exists already" in capsys.readouterr().err


def test_dark_figures_and_their_page(tmp_path):
    assert main(["figures", "-o", str(tmp_path / "made"), "--only", "3", "--dark", "--quiet"]) == 0
    pixels = load_image(tmp_path / "made" / "figure-03.png").pixels
    on_paper = (pixels == DARK.ground).all(axis=2)
    assert on_paper.mean() > 0.5
    assert on_paper[:20].all(), "the margin"
    assert "color-scheme: dark;" in (tmp_path / "made" / "index.html").read_text()


def own_network(path):
    """Write a network of two layers, and return it."""
    layers = [
        ("c1", Conv2d(4, 5)), ("r1", ReLU()), ("p1", MaxPool2d(2)),
        ("c2", Conv2d(6, 3)), ("r2", ReLU()),
    ]  # fmt: skip
    attrs = {"name": "two", "preprocess": TORCHVISION}
    net = Network(layers, {}, (3, 32, 32), attrs)
    net.initialise(seed=0)
    minicnn.save(net, path)


def test_figures_look_into_a_network_of_the_readers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own_network("own.h5")
    words = ["--inside", "own.h5", "--beside", "minizfnet", "--only", "2,4,7", "--quiet"]
    for number in range(4):
        label = drawn.CLASSES["shapes"].index("waves")
        (tmp_path / f"{number}.png").write_bytes(drawn.png("shapes", "val", label, number))
    assert main(["figures", "-o", "made", *words, "--data", str(tmp_path)]) == 0
    captions = [read_metadata(f"made/figure-0{n}.png")["caption"] for n in (2, 4, 7)]
    assert captions[0].startswith("The first layer of own.h5")
    assert "of own.h5, drawn at random" in captions[1]
    assert "r1 sees 5 pixels" in captions[1]
    assert "r2 sees 10 pixels" in captions[1]
    assert "5 x 5, stride 1" in captions[2]
    assert "--weights own.h5 --layers r1,r2" in (tmp_path / "made" / "index.html").read_text()


def test_the_page_has_a_place_for_every_figure():
    assert sorted(number for *_, numbers in page.SECTIONS for number in numbers) == NUMBERS


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--only", "1"], "no figure 1 is drawn here"),
        (["--only", "3", "--picture", "absent.png"], "absent.png"),
        (["--only", "3", "--data", "absent"], "no data set at 'absent'"),
        (
            ["--inside", "minivgg", "--only", "2"],
            "figure 2 is of a network that begins",
        ),
        (
            ["--inside", "own.h5", "--only", "4,5"],
            "figure 5 is of the fourth layer and",
        ),
        (["--inside", "own.h5", "--only", "6"], "Figure 6 takes files by --snapshots"),
        (["--beside", "absent", "--only", "8"], "absent"),
    ],
)
def test_what_cannot_be_drawn_is_told_first(tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.chdir(tmp_path)
    own_network("own.h5")
    assert main(["figures", "-o", "made", *words]) == 1
    assert told in capsys.readouterr().err
    assert not list(tmp_path.glob("made/*"))


@pytest.mark.slow
def test_all_figures_from_own_pictures(tmp_path):
    for name in ("waves", "disc", "ring", "dots"):
        label = drawn.CLASSES["shapes"].index(name)
        (tmp_path / f"{name}.png").write_bytes(drawn.png("shapes", "val", label, 0))
    own = ["--picture", str(tmp_path / "disc.png"), "--style", str(tmp_path / "waves.png")]
    small = ["--size", "48", "--iterations", "2", "--quiet", "--data", str(tmp_path)]
    assert main(["figures", "-o", str(tmp_path / "made"), *own, *small]) == 0
    for number in NUMBERS:
        pixels = load_image(tmp_path / "made" / f"figure-{number:02}.png").pixels
        assert pixels.shape[1] >= 720
        assert np.ptp(pixels) == 255
