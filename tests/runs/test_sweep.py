"""Sweeps, frames, animations and fine pictures of the command line."""

import json
import signal

import numpy as np
import pytest
from PIL import Image
from png16_decoder import decode

from minicnn.cli import main
from minicnn.methods.style import run as style_run
from minicnn.pictures.gif import colours_of
from minicnn.pictures.overlays import magnified
from minicnn.pictures.writer import read_metadata
from minicnn.runs.estimate import sample_run
from minicnn.runs.frames import Frames

SMALL = ("--size", "48", "--scales", "1", "--iterations", "2", "--quiet")


@pytest.fixture
def folder(tmp_path, rng, monkeypatch):
    """The current folder, with content.png and style.png."""
    monkeypatch.chdir(tmp_path)
    for name, shape in (("content.png", (40, 48, 3)), ("style.png", (44, 40, 3))):
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(name)
    return tmp_path


def style(*options):
    return main(["style", "content.png", "style.png", "-o", "out.png", *SMALL, *options])


def pixels(path):
    with Image.open(path) as image:
        return np.array(image)


def test_a_sweep_makes_every_picture_and_the_table(folder, capfd):
    options = ("--sweep", "style-weight=1,100", "--sweep", "tv-weight=0,2", "--json")
    assert style(*options) == 0
    names = [f"out-style-weight-{a}-tv-weight-{b}.png" for a in (1, 100) for b in (0, 2)]
    assert sorted(path.name for path in folder.glob("out*")) == sorted(["out.png", *names])
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["output"] for line in lines if line["event"] == "result"] == [*names, "out.png"]
    kept = read_metadata(names[1])["settings"]
    assert (kept["style_weight"], kept["tv_weight"]) == (1.0, 2.0)
    # each cell of the sheet is the picture of its file
    sheet, pictures = pixels("out.png"), [pixels(name) for name in names]
    places = []
    for picture in map(magnified, pictures):
        windows = np.lib.stride_tricks.sliding_window_view(sheet[..., 0], picture.shape[:2])
        corners = np.argwhere((windows[:, :, ::7, ::7] == picture[::7, ::7, 0]).all(axis=(2, 3)))
        height, width = picture.shape[:2]
        places.append(
            {
                (top, left)
                for top, left in corners
                if np.array_equal(sheet[top : top + height, left : left + width], picture)
            }
        )
    rows, columns = (sorted({at[axis] for found in places for at in found}) for axis in (0, 1))
    assert (len(rows), len(columns)) == (2, 2)
    for number, found in enumerate(places):  # a row for each style weight
        assert (rows[number // 2], columns[number % 2]) in found
    # a picture of a sweep is like any other
    assert main(["rerun", names[3], "-o", "again.png", "--quiet"]) == 0
    np.testing.assert_array_equal(pixels("again.png"), pixels(names[3]))


@pytest.mark.parametrize("number", [1, 2])
def test_a_signal_before_a_picture_leaves_a_sheet_of_those_before(folder, monkeypatch, number):
    usual, calls = style_run.style_objective, []

    def signalled(*arguments, **options):
        calls.append(arguments)
        if len(calls) == number:
            signal.raise_signal(signal.SIGTERM)
        return usual(*arguments, **options)

    monkeypatch.setattr(style_run, "style_objective", signalled)
    assert style("--sweep", "style-weight=1,100") == 143
    made = ["out-style-weight-1.png", "out.png"] if number == 2 else []
    assert sorted(path.name for path in folder.glob("out*")) == made


def test_layers_are_added_one_by_one(folder):
    layers = ("--style-layers", "relu1_1,relu2_1=0.5", "--content-layers", "relu2_2")
    assert style("--sweep", "style-layers", *layers) == 0
    assert read_metadata("out-relu1_1.png")["settings"]["style_layers"] == {"relu1_1": 1.0}
    deeper = read_metadata("out-relu2_1.png")["settings"]["style_layers"]
    assert deeper == {"relu1_1": 1.0, "relu2_1": 0.5}


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--sweep", "style-weight"], 2, "'style-weight' sweeps nothing; write style-weight=1"),
        (["--sweep", "colour=1,2"], 2, "'colour=1,2' sweeps nothing"),
        (["--sweep", "style-weight=1,x"], 2, "style-weight = 'x'; use a finite number"),
        (["--sweep", "style-weight=1,1.0"], 2, "has a value twice"),
        (["--sweep", "seed=1,2", "--sweep", "seed=3"], 1, "two different ones for a table"),
        (["--sweep", "seed=1,2", "--sheet", "s.png"], 1, "leave out --sheet"),
        (["--sweep", "seed=1,2", "--gif", "s.gif"], 1, "leave out --gif"),
        (["--sweep", "size=48,9"], 1, "too small for the layers"),
        (["--every", "2"], 1, "--every is for --frames and --gif"),
        (["--gif", "x.png"], 1, "unknown suffix '.png'; use one of .gif"),
        (["--frames", "content.png"], 1, "cannot make the folder 'content.png'"),
        (["--frames", "content.png/way"], 1, "cannot make the folder 'content.png/way'"),
        (["--frames", "way", "--size", "9"], 1, "too small for the layers"),
        (["--bits", "16", "-o", "out.jpg"], 1, "only .png holds them"),
        (["--bits", "12"], 2, "'12' is not 8 or 16"),
        (["--tile", "0"], 2, "'0' is not a whole number from 1 to 10000"),
    ],
)
def test_what_cannot_be_says_so_and_writes_nothing(folder, capfd, options, code, message):
    before = sorted(folder.iterdir())
    assert style(*options) == code
    error = capfd.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert sorted(folder.iterdir()) == before


def test_what_is_said_of_the_network_is_said_once_and_not_with_quiet(folder, capfd):
    arguments = ["style", "content.png", "style.png", *SMALL, "--sweep", "seed=1,2"]
    assert main([*arguments, "-o", "quiet.png"]) == 0
    assert "fetch vgg19" not in capfd.readouterr().err
    arguments.remove("--quiet")
    assert main([*arguments, "-o", "loud.png"]) == 0
    assert capfd.readouterr().err.count("`minicnn weights fetch vgg19`") == 1


def test_frames_and_an_animation_of_the_search(folder):
    assert style("--frames", "way", "--gif", "way.gif", "--every", "1", "--coarse-iterations",
                 "2", "--scales", "2", "--iterations", "5", "--style-layers", "relu1_1,relu2_1",
                 "--content-layers", "relu2_2") == 0  # fmt: skip
    files = sorted(path.name for path in (folder / "way").iterdir())
    assert files == [f"{i:04d}.png" for i in range(1, 6)]
    result = pixels("out.png")
    assert all(pixels(f"way/{name}").shape == result.shape for name in files)
    np.testing.assert_array_equal(pixels("way/0005.png"), result)
    assert not np.array_equal(pixels("way/0004.png"), result)
    with Image.open("way.gif") as animation:
        assert (animation.n_frames, animation.size) == (5, result.shape[1::-1])
        assert animation.info["loop"] == 0
        animation.seek(4)
        last = np.array(animation.convert("RGB"))
    np.testing.assert_array_equal(last, colours_of(result, result.shape[:2]).convert("RGB"))


def test_frames_are_counted_from_the_whole_run():
    assert Frames("x").steps(400) == [*range(10, 400, 10), 400]
    assert Frames("x", every=150).steps(400) == [150, 300, 400]
    assert Frames("x").steps(3) == [1, 2, 3]


def test_a_fine_picture_is_the_coarse_one_between_its_levels(folder):
    assert style() == 0
    coarse = pixels("out.png").astype(float)
    assert style("--bits", "16", "--force") == 0
    assert read_metadata("out.png")["settings"]["bits"] == 16
    fine = (folder / "out.png").read_bytes()
    assert fine[24] == 16  # the depth in the header
    levels = decode(fine)[0] / 257
    assert np.abs(levels - coarse).max() <= 0.5 + 1e-9
    assert len(np.unique(levels)) > 256
    assert main(["rerun", "out.png", "-o", "again.png", "--quiet"]) == 0
    assert (folder / "again.png").read_bytes() == fine


def test_tiles_change_the_rounding_alone(folder):
    assert style() == 0
    whole = pixels("out.png").astype(float)
    assert style("--tile", "16", "--force") == 0
    assert np.abs(pixels("out.png") - whole).mean() < 0.5


def test_a_sweep_is_estimated_as_all_its_pictures(folder, monkeypatch, capfd):
    """Pictures that differ in a weight alone are measured once."""
    before, asked = sorted(folder.iterdir()), []

    def sample(verb, settings, files, iterations):
        asked.append(settings)
        shape = (settings.size * 40 // 48, settings.size)
        pixels = shape[0] * shape[1]
        return {"pixels": pixels, "shape": shape, "seconds": 0.5, "setup": 1.0, "peak": 1e8,
                "iterations": 3, "runs": 1}  # fmt: skip

    monkeypatch.setattr(sample_run, "picture", sample)
    monkeypatch.setattr(sample_run, "measured", lambda work, *args, patience: list(work(*args)))
    axes = ("--sweep", "style-weight=1,10,100", "--sweep", "size=40,48", "--estimate", "--json")
    assert style(*axes) == 0
    found = json.loads(capfd.readouterr().out)
    assert sorted(s.size for s in asked) == [40, 48]
    assert found["seconds"] == pytest.approx(6 * (1.0 + (1 + 2 * 1.04) * 0.5), abs=0.05)
    assert sorted(folder.iterdir()) == before


def test_too_many_pictures_are_refused(folder, capfd):
    values = [",".join(map(str, range(1, 12))), ",".join(map(str, range(1, 11)))]
    options = (f"seed={values[0]}", f"iterations={values[1]}")
    assert style(*(word for text in options for word in ("--sweep", text))) == 1
    assert "asks for 110 pictures; use at most 100" in capfd.readouterr().err
