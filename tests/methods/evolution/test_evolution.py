"""Snapshots of a made-up run: after epoch 1 the fifth convolution changes, after 2 nothing."""

import csv
import json

import numpy as np
import pytest
from features_testing import write_set

import minicnn
from minicnn.cli import main
from minicnn.data.picture_set import PictureSet
from minicnn.methods.evolution import distances, report, snapshots
from minicnn.methods.evolution.evolution import arrivals, evolve
from minicnn.methods.evolution.settings import EvolutionSettings
from minicnn.pictures.arrays import preprocess
from minicnn.pictures.reader import load_image
from minicnn.pictures.writer import read_metadata
from minicnn.runs import plots

LAYERS = ["relu1", "relu4", "relu5"]


def save(path, net, epoch, **training):
    told = {"history": [{"epoch": i + 1} for i in range(epoch)], "settings": {"seed": 0}}
    net.attrs["training"] = {**told, **training}
    minicnn.save(net, path)
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("evolution")
    write_set(home / "set.h5", np.random.default_rng(1), 12, broken=(3,))
    net = minicnn.build("minizfnet", seed=0, classes=3)
    save(home / "one.h5", net, 1)
    w = net.params["conv5.weight"]
    w[...] = np.random.default_rng(2).standard_normal(w.shape) * w.std()
    save(home / "two.h5", net, 2)
    save(home / "three.h5", net, 3)
    return home


def asked(**options):
    """The settings of an evolution whose snapshots and pictures are open already."""
    return EvolutionSettings([], data="", threads=1, **options)


@pytest.fixture(scope="module")
def found(home):
    files = snapshots.read_snapshots([home / f"{name}.h5" for name in ("three", "one", "two")])
    pictures = PictureSet(home / "set.h5")
    return evolve(files, pictures, asked(layers=LAYERS, units=3, sample=5, patch=16))


def test_snapshots_are_sorted_by_their_epochs(found):
    assert found.epochs == [1, 2, 3]
    assert [row["epoch"] for row in found.rows] == [1] * 3 + [2] * 3 + [3] * 3


@pytest.mark.parametrize("name", ["minialexnet", "minizfnet"])
def test_the_snapshots_of_the_repository_are_of_one_run(name):
    found = snapshots.read_snapshots([name])
    assert [s.epoch for s in found] == [1, 2, 5, 10, 20, 30, 40, 64]
    assert {s.architecture for s in found} == {name}


def test_distances_are_those_of_what_has_changed(found):
    rows = {(row["layer"], row["epoch"]): row for row in found.rows}
    for layer, epoch in rows:
        far = [rows[layer, epoch][name] for name in distances.NAMES]
        if (layer, epoch) == ("relu5", 1):
            assert all(distance > 0.05 for distance in far)
        else:
            assert np.allclose(far, 0, atol=1e-6)
    assert [rows[layer, 1]["changed"] for layer in LAYERS] == [None] * 3
    assert [rows[layer, 2]["changed"] > 0 for layer in LAYERS] == [False, False, True]
    assert [rows[layer, 3]["changed"] for layer in LAYERS] == [0] * 3
    assert arrivals(found) == {"relu1": 1, "relu4": 1, "relu5": 2}


def test_the_pictures_are_the_strongest_ones(found, home):
    pictures = PictureSet(home / "set.h5")
    good = [n for n in range(12) if n != 3]
    assert found.pictures == len(good)
    peaks = []
    for name in ("one", "two"):
        net = minicnn.load(home / f"{name}.h5")
        x = [preprocess(pictures.picture(n, 64), net.attrs["preprocess"]) for n in good]
        peaks.append(net.forward(np.concatenate(x), LAYERS))
    for layer in LAYERS:
        first, second = (acts[layer].max(axis=(2, 3)) for acts in peaks)
        for unit in found.units[layer]:
            wanted = [good[p[:, unit].argmax()] for p in (first, second, second)]
            tiles = found.found[layer][unit]
            assert [t.picture for t in tiles if t] == [
                n for n, t in zip(wanted, tiles, strict=True) if t
            ]
            assert found.changed[layer][unit][2] is False
            if tiles[0] and tiles[1]:
                assert found.changed[layer][unit][1] == (wanted[0] != wanted[1])
        dead = [int((p.max(axis=0) <= 0).sum()) for p in (first, second, second)]
        assert [r["dead"] for r in found.rows if r["layer"] == layer] == dead


def test_units_are_drawn_by_the_seed_and_alive_where_possible(found, home):
    files = found.snapshots[1:]
    pictures = PictureSet(home / "set.h5", limit=3)
    chosen = [
        evolve(files, pictures, asked(layers=["relu5"], units=20, seed=seed, sample=2))
        for seed in (0, 0, 1)
    ]
    assert chosen[0].units == chosen[1].units != chosen[2].units
    alive = 64 - chosen[0].rows[-1]["dead"]
    assert sum(t[-1] is not None for t in chosen[0].found["relu5"].values()) == min(20, alive)


def test_a_coloured_frame_marks_a_jump(found):
    picture, scales = report.sheet(found, "set.h5")
    marks = (picture == report.JUMP).all(axis=2).any()
    assert marks == any(any(c) for units in found.changed.values() for c in units.values())
    for layer in LAYERS:
        for unit, tiles in found.found[layer].items():
            assert [s is not None for s in scales[layer][unit]] == [t is not None for t in tiles]
    cell, _ = report.cell(None, True, (16, 34, 3))
    assert cell[0, cell.shape[1] // 2].tolist() == list(report.JUMP)


@pytest.mark.smoke
def test_linear_cka(rng):
    x = rng.standard_normal((50, 7))
    rotation = np.linalg.qr(rng.standard_normal((7, 7)))[0]
    assert distances.linear_cka(x, 3 * x @ rotation + 5) == pytest.approx(1)
    y = x[:, :4] + rng.standard_normal((50, 4))
    H = np.eye(50) - 1 / 50  # by the kernels, as in the paper: HSIC(K, L) = tr(K H L H)
    K, L = x @ x.T, y @ y.T
    hsic = [np.trace(a @ H @ b @ H) for a, b in ((K, L), (K, K), (L, L))]
    assert distances.linear_cka(x, y) == pytest.approx(hsic[0] / np.sqrt(hsic[1] * hsic[2]))
    assert distances.linear_cka(x, np.ones((50, 2))) == 0


def test_units_and_filters_compare_one_with_one(rng):
    x, y = rng.standard_normal((2, 40, 3))
    x[:, 1], y[:, 2] = 4, 4  # constant before: 0; constant in the end: not counted
    wanted = (np.corrcoef(x[:, 0], y[:, 0])[0, 1] + 0) / 2
    assert distances.unit_correlation(x, y) == pytest.approx(wanted)
    w, v = rng.standard_normal((2, 5, 2, 3, 3))
    cosines = [(a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()) for a, b in zip(w, v)]  # noqa: B905
    assert distances.filter_cosine([w], [v]) == pytest.approx(np.mean(cosines))
    assert distances.relative_change([2 * v], [v]) == pytest.approx(1)
    assert distances.distances(x, y, [], [])["filters"] is None


@pytest.mark.smoke
def test_features_are_read_at_their_places(home, rng):
    net = minicnn.load(home / "one.h5")
    pictures = list(rng.integers(0, 256, (3, 64, 64, 3), np.uint8))
    shapes = net.shapes()
    places = distances.choose_places(shapes, ["relu1", "fc6"], 3, seed=1)
    assert places["relu1"].shape == (3, distances.PLACES)
    assert places["fc6"].tolist() == [[0]] * 3
    found = distances.sampled(net, net, pictures, places)
    x = np.concatenate([preprocess(p, net.attrs["preprocess"]) for p in pictures])
    y = net.forward(x, ["relu1"])["relu1"]
    row, column = divmod(int(places["relu1"][1, 2]), y.shape[3])
    np.testing.assert_array_equal(found["relu1"][distances.PLACES + 2], y[1, :, row, column])
    assert found["fc6"].shape == (3, 160)


@pytest.fixture
def command(home, monkeypatch, capfd):
    monkeypatch.chdir(home)

    def run(*arguments, data="set.h5"):
        options = ["--layers", "relu1,relu5", "--units", "2", "--sample", "4", "--patch", "16"]
        code = main(["evolution", *map(str, arguments), "--data", data, *options, "--threads", "1"])
        return (code, *capfd.readouterr())

    return run


def test_command_line(command, home):
    code, stdout, _ = command("two.h5", "one.h5", "-o", "out", "--json", "--quiet")
    assert code == 0
    told = json.loads(stdout.splitlines()[-1])
    assert told["epochs"] == [1, 2]
    assert told["low_layers_first"] is True
    with open(home / "out" / "evolution.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(r["layer"], r["epoch"]) for r in rows][:2] == [("relu1", "1"), ("relu5", "1")]
    assert float(rows[1]["features"]) > 0.05 > float(rows[0]["features"]) == 0
    saved = json.loads((home / "out" / "evolution.json").read_text())
    assert saved["within"]["epoch"] == {"relu1": 1, "relu5": 2}
    assert len(saved["units"]["relu5"]) == 2
    assert read_metadata(home / "out" / "evolution.png")["policy"]["rule"] == "deconvnet"
    assert load_image(home / "out" / "evolution.png").pixels.ndim == 3
    assert (home / "out" / "convergence.png").exists() == plots.available()
    before = (home / "out" / "evolution.png").read_bytes()
    assert "--force" in command("two.h5", "one.h5", "-o", "out")[2]
    assert command("one.h5", "two.h5", "-o", "out", "--force", "--quiet")[0] == 0
    assert (home / "out" / "evolution.png").read_bytes() == before


@pytest.fixture(scope="module")
def broken(home):
    net = minicnn.build("minizfnet", seed=0, classes=3)
    minicnn.save(net, home / "silent.h5")
    save(home / "again.h5", net, 2)
    save(home / "seed.h5", net, 4, settings={"seed": 1})
    save(home / "alex.h5", minicnn.build("minialexnet", classes=3), 5)
    save(home / "four.h5", minicnn.build("minizfnet", classes=4), 5)
    data = (home / "one.h5").read_bytes()
    (home / "half.h5").write_bytes(data[: len(data) // 2])
    return home


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["one.h5"], "at least two snapshots"),
        (["one.h5", "absent.h5"], "no weights 'absent.h5'"),
        (["one.h5", "half.h5"], "half.h5 is truncated or damaged"),
        (["one.h5", "silent.h5"], "does not say after which epoch"),
        (["two.h5", "again.h5"], "both of epoch 2; give each epoch once"),
        (["one.h5", "alex.h5"], "alex.h5 is minialexnet with 3 outputs"),
        (["one.h5", "four.h5"], "four.h5 is minizfnet with 4 outputs"),
        (["one.h5", "seed.h5"], "different training runs: seed differ"),
        (["one.h5", "two.h5", "--layers", "relu9"], "no layer 'relu9' in minizfnet"),
        (["one.h5", "two.h5", "--size", "5"], "do not fit minizfnet"),
        (["one.h5", "two.h5", "--split", "test"], "no split 'test'"),
    ],
)
def test_bad_input_is_one_line(broken, monkeypatch, capfd, arguments, message):
    monkeypatch.chdir(broken)
    code = main(["evolution", *arguments, "--data", "set.h5", "-o", "bad", "--quiet"])
    stdout, stderr = capfd.readouterr()
    assert (code, stdout) == (1, "")
    assert message in stderr
    assert stderr.count("\n") == 1
    assert not list((broken / "bad").glob("*"))
