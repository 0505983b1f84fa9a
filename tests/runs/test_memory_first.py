"""A run that does not fit is refused before it computes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn.cli import main
from minicnn.engine import memory, picture_walk
from minicnn.methods.training import training
from minicnn.network import build
from minicnn.optimizers import resumable
from minicnn.runs.estimate import option

SMALL = ["--threads", "1", "--quiet"]


@pytest.fixture
def folder(tmp_path, rng, monkeypatch):
    """The current folder, with a picture and a labelled set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(minicnn.__file__).parents[1]))  # of short runs
    for name in ("train/a", "train/b", "val/a", "val/b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(2):
            rgb = rng.integers(0, 256, (64, 64, 3), np.uint8)
            Image.fromarray(rgb).save(tmp_path / "set" / name / f"{i}.png")
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save("a.png")
    return tmp_path


def not_to_be_called(*_, **__):
    raise AssertionError("it computes")


def test_outputs_are_those_of_all_layers():
    net = build.build("minivgg", seed=0)
    count = sum(
        y.size for y in net.forward(np.zeros((2, 3, 40, 48), "f4"), net.layers[:9]).values()
    )
    assert memory.outputs(net, (2, 3, 40, 48), net.layers[8:9]) == 4 * count


def test_a_search_says_what_would_fit(folder, monkeypatch, capfd):
    monkeypatch.setattr(memory, "available", lambda: 200 << 20)
    monkeypatch.setattr(option, "PATIENCE", 600)  # however busy the machine is
    monkeypatch.setattr(resumable, "minimize", not_to_be_called)
    command = ["style", "a.png", "a.png", "-o", "out.png", "--size", "512", *SMALL]
    assert main([*command, "--iterations", "3"]) == 1
    said = capfd.readouterr().err
    assert "the run needs about" in said
    assert "and there are 200 MiB; --size" in said
    assert "would fit" in said
    with pytest.raises(AssertionError, match="it computes"):  # small: not even measured
        main(["style", "a.png", "a.png", "-o", "out.png", "--size", "64", *SMALL])


@pytest.mark.parametrize(
    ("command", "cure"),
    [
        ("deconv a.png --layer relu2_2 -o out.png --size 512", "use a --size of 54 or less"),
        ("saliency a.png -o out.png", "use a --size of 46 or less"),
        ("occlusion a.png -o out.png", "use a --size of 46 or less"),
        ("classify a.png", "free some, or use a smaller network"),
        ("weights normalize minivgg set -o out.h5", "use a smaller --size"),
        ("features set -o out --layers relu1_2", "use a smaller --size"),
        ("compare minivgg minivgg --data set -o out --layers relu1_2", "use a smaller --size"),
        ("train set -o out --size 64 --crop 64 --batch 4 --group 4", "use a smaller --group"),
    ],
)
def test_all_verbs_look_first(folder, monkeypatch, capfd, command, cure):
    monkeypatch.setattr(memory, "available", lambda: 1 << 20)
    monkeypatch.setattr(picture_walk, "looked_at", not_to_be_called)
    monkeypatch.setattr(training._Run, "one_epoch", not_to_be_called)
    takes_small = command.partition(" ")[0] not in ("classify", "weights")
    assert main([*command.split(), *(SMALL if takes_small else [])]) == 1
    said = capfd.readouterr().err.splitlines()[-1]
    assert said.startswith("minicnn: error: the run needs about ")
    assert f" of memory and there are 1 MiB; {cure}" in said


def test_the_size_that_is_named_fits(folder, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 1 << 20)
    assert (
        main(["deconv", "a.png", "-o", "out.png", "--layer", "relu2_2", "--size", "54", *SMALL])
        == 0
    )
