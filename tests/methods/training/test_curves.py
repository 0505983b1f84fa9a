"""Histories of training runs, from logs and weight files, and the curves drawn of them."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.methods.training.history import read_history
from minicnn.methods.training.state import write_log

HISTORY = [
    {"epoch": 1, "rate": 0.1, "loss": 5.0, "accuracy": 0.1},
    {"epoch": 2, "rate": 0.1, "loss": 4.0, "accuracy": 0.2, "val_loss": 4.5, "val_accuracy": 0.15},
]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "new").mkdir()
    write_log(HISTORY, tmp_path / "run" / "log.csv")
    net = minicnn.build("minizfnet", classes=2)
    minicnn.save(net, "silent.h5")
    net.attrs["training"] = {"history": HISTORY}
    minicnn.save(net, "told.h5")
    (tmp_path / "other.csv").write_text("name,size\na,1\n")
    (tmp_path / "bad.csv").write_text("epoch,loss\n1,5.0\nx,4.0\n")
    return tmp_path


@pytest.mark.parametrize("path", ["run", "run/log.csv", "told.h5"])
def test_a_history_is_read_from_where_it_is(home, path):
    assert read_history(path) == HISTORY


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("new", "new has no log.csv yet"),
        ("absent.csv", "cannot read absent.csv"),
        ("absent", "no weights 'absent'"),
        ("other.csv", "holds no epochs"),
        ("bad.csv", "line 3 is no record"),
        ("silent.h5", "does not say how it was trained"),
    ],
)
def test_what_has_no_history(home, path, message, capfd):
    with pytest.raises(MinicnnError, match=message):
        read_history(path)
    assert main(["curves", path, "-o", "out.png"]) == 1
    assert capfd.readouterr().err.count("\n") == 1
    assert not (home / "out.png").exists()


def test_curves_of_two_runs(home, capfd):
    pytest.importorskip("matplotlib", reason="curves are drawn by matplotlib")
    assert main(["curves", "run", "told.h5", "-o", "out.png", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["runs"]["run"] == HISTORY[-1]
    with Image.open("out.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 20
    before = (home / "out.png").read_bytes()
    assert main(["curves", "run", "-o", "out.png"]) == 1
    assert main(["curves", "run", "told.h5", "-o", "out.png", "--force"]) == 0
    assert (home / "out.png").read_bytes() == before
    assert main(["curves", "run", "-o", "out.jpg"]) == 1


def test_without_matplotlib_it_says_what_to_install(home, monkeypatch, capfd):
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["curves", "run", "-o", "out.png"]) == 1
    assert "pip install matplotlib" in capfd.readouterr().err


@pytest.mark.smoke
def test_the_embedded_network_has_a_history():
    assert len(read_history("minivgg")) > 1
