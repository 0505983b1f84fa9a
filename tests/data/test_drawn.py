import io

import numpy as np
import pytest
from PIL import Image

from minicnn.cli import main
from minicnn.data import drawn
from minicnn.data.datasets import open_dataset


@pytest.mark.parametrize(("kind", "shape"), [("shapes", (64, 64, 3)), ("digits", (28, 28))])
def test_every_class_is_drawn_by_number(kind, shape):
    seen = set()
    for label in range(len(drawn.CLASSES[kind])):
        data = drawn.png(kind, "train", label, 3)
        assert data == drawn.png(kind, "train", label, 3)
        pixels = np.asarray(Image.open(io.BytesIO(data)))
        assert pixels.shape == shape
        assert pixels.std() > 8, "nothing to see"
        seen |= {data, drawn.png(kind, "val", label, 3), drawn.png(kind, "train", label, 3, seed=1)}
    assert len(seen) == 3 * len(drawn.CLASSES[kind])


def test_edges_are_where_they_should_be():
    x, y = np.array([0.0, 0.74, 0.74]), np.array([0.0, 0.0, 0.74])
    inside = {name: (edge(x, y) < 0).tolist() for name, edge in drawn.EDGES.items()}
    assert inside == {
        "disc": [True, True, False],
        "ring": [False, True, False],
        "square": [True, True, True],
        "triangle": [True, False, False],
        "cross": [True, True, False],
    }


def test_clouds_are_the_sum_of_their_waves():
    across, lengths = np.linspace(-1, 1, 5), np.array([2.0, 5.0])
    found = drawn._clouds(across, np.random.default_rng(0), lengths)
    along, phases = np.random.default_rng(0).uniform(0, 2 * np.pi, (2, 2))
    y, x = np.meshgrid(across, across, indexing="ij")
    wanted = sum(
        np.cos(k * (x * np.cos(a) + y * np.sin(a)) + p) / k
        for k, a, p in zip(lengths, along, phases, strict=True)
    )
    assert np.allclose(found, wanted / np.sqrt((1 / 4 + 1 / 25) / 2))


def test_a_set_is_drawn_and_trained_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "shapes", "-o", "mine", "--count", "4", "--quiet"]) == 0
    assert "minicnn train mine -o run" in capsys.readouterr().out
    data = open_dataset("mine", "train")
    assert (len(data), data.class_names) == (40, sorted(drawn.CLASSES["shapes"]))
    assert len(open_dataset("mine", "val")) == 10
    assert main(["data", "shapes", "-o", "mine"]) == 1
    assert "exists already" in capsys.readouterr().err
    options = "--network minizfnet --epochs 1 --batch 8 --group 8 --crop 64 --quiet".split()
    assert main(["train", "mine", "-o", "run", *options]) == 0


def test_pictures_with_their_labels():
    pictures, labels = drawn.labelled("digits", "train", 2)
    assert pictures.shape == (20, 28, 28, 3)
    assert labels.tolist() == [k for k in range(10) for _ in range(2)]
    wanted = Image.open(io.BytesIO(drawn.png("digits", "train", 4, 1))).convert("RGB")
    assert np.array_equal(pictures[9], np.asarray(wanted))
