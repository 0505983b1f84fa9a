"""The figures of the notes: drawn, captioned with what was computed, walked through by a page."""

import json
import re

import numpy as np
import pytest

from minicnn.cli import main
from minicnn.data import drawn
from minicnn.figures import page
from minicnn.figures.verb import NUMBERS
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


def test_the_page_has_a_place_for_every_figure():
    assert sorted(number for *_, numbers in page.SECTIONS for number in numbers) == NUMBERS


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--only", "1"], "no figure 1 is drawn here"),
        (["--only", "3", "--picture", "absent.png"], "absent.png"),
        (["--only", "3", "--data", "absent"], "no data set at 'absent'"),
    ],
)
def test_what_cannot_be_drawn_is_told_first(tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.chdir(tmp_path)
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
