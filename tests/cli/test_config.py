"""Options from a file: after the command line, before everything else."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicnn.cli import command_parser, main

CONFIG = """
[style]
output = "a.png"
size = 64
threads = 2
style-layers = {relu1_1 = 1, "relu2_1" = 0.5}
blend = [1, 3]
style-mask = ["m.png"]
engine = "fast"
seed = 7
json = true
[train]
no-flip = true
layer = 3
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Write a file of options, and return its name; the current folder is its."""
    if sys.version_info < (3, 11):
        pytest.importorskip("tomli")
    monkeypatch.chdir(tmp_path)

    def write(text):
        Path("c.toml").write_text(text)
        return "c.toml"

    return write


def parsed(*words):
    return command_parser(words).parse_args(words)


def test_the_command_line_comes_first(config):
    file = config(CONFIG.replace("layer = 3\n", ""))
    args = parsed("style", "content.png", "style.png", "--config", file, "--seed", "0")
    assert (args.output, args.size, args.seed, args.threads) == ("a.png", 64, 0, 2)
    assert args.style_layers == {"relu1_1": 1.0, "relu2_1": 0.5}
    assert (args.blend, args.style_masks) == ([1.0, 3.0], ["m.png"])
    assert (args.engine, args.json, args.force) == ("fast", True, False)
    words = ["-o", "b.png", "--style-mask", "n.png", "--low-memory", f"--config={file}"]
    args = parsed("style", "content.png", "style.png", *words)
    assert (args.output, args.style_masks, args.engine) == ("b.png", ["n.png"], "low-memory")
    assert parsed("train", "data", "--output", "run", "--config", file).flip is False


def test_the_environment_comes_behind(config, monkeypatch, rng):
    from minicnn.pictures.writer import read_metadata

    monkeypatch.setenv("MINICNN_THREADS", "1")
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save("a.png")
    file = config("[saliency]\nthreads = 2\n")
    assert main(["saliency", "a.png", "-o", "b.png", "--config", file, "--quiet"]) == 0
    assert read_metadata("b.png")["versions"]["threads"] == 2
    assert main(["saliency", "a.png", "-o", "c.png", "--quiet"]) == 0
    assert read_metadata("c.png")["versions"]["threads"] == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[style]\nsiez = 3", "[style]: no option 'siez' of style; did you mean size?"),
        ("[style]\ncontent = 'a.png'", "[style]: no option 'content' of style"),
        ("[style]\nsize = 0", "[style]: size = 0; use a whole number from 1 to 10000"),
        ("[style]\njson = 1", "[style]: json = 1; use true or false"),
        ("[sytle]\nsize = 3", "c.toml: 'sytle' is no table of a verb; did you mean [style]?"),
        ("size = 3", "c.toml: 'size' is no table of a verb"),
        ("[style\n", "cannot read the configuration 'c.toml': Expected ']'"),
    ],
)
def test_a_wrong_file(config, capfd, text, said):
    assert main(["style", "a.png", "b.png", "-o", "c.png", "--config", config(text)]) == 1
    told = capfd.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1


def test_no_file(config, capfd):
    assert main(["style", "a.png", "b.png", "--config", "absent.toml"]) == 1
    assert "cannot read the configuration 'absent.toml': No such file" in capfd.readouterr().err
