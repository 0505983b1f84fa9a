"""`minicnn explore` from the command line: what it refuses, what it serves, how it ends."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from explore_testing import Client, image, png, served
from features_testing import LAYERS, SIZE, small_network, write_set

import minicnn
from minicnn.cli import command_parser, main
from minicnn.data.picture_set import PictureSet
from minicnn.methods.features import page, results_file, scan
from minicnn.methods.features.settings import DrawSettings

ROOT = Path(__file__).resolve().parents[3]
RANDOM = "random:minialexnet"


@pytest.mark.smoke
def test_without_a_network_it_is_the_embedded_one():
    (action,) = command_parser(["explore"])._subparsers._group_actions
    assert list(action.choices["explore"].parse_args([]).networks) == ["minivgg"]
    assert action.choices["explore"].parse_args(["a", "b"]).networks == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "no weights 'nowhere': there is no such file"),
        (["random:nothing"], "no network named 'nothing'"),
        ([RANDOM, RANDOM, RANDOM], "3 networks; give one, or 2 to compare them"),
        ([RANDOM, "--picture", "notes.txt"], "cannot read 'notes.txt': not a picture"),
        ([RANDOM, "--picture", "none.png"], "there is no file 'none.png'"),
        ([RANDOM, "--features", "notes.txt"], "notes.txt"),
        ([RANDOM, "--port", "PORT"], "cannot serve on port PORT of 127.0.0.1: "),
        ([RANDOM, "--size", "5"], "layer "),
    ],
    ids=["file", "name", "three", "picture", "no-picture", "features", "port", "size"],
)
def test_bad_input_is_one_line(arguments, said, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no picture, no scan\n" * 9)
    with served(small_network()) as server:
        port = str(server.port)
        code = main(["explore", *(word.replace("PORT", port) for word in arguments)])
    stdout, stderr = capfd.readouterr()
    assert (code, stdout, stderr.count("\n")) == (1, "", 1)
    assert said.replace("PORT", port) in stderr


def test_it_serves_until_ctrl_c_and_leaves_nothing(tmp_path):
    command = [sys.executable, "-m", "minicnn", "explore", RANDOM, "--json", "--threads", "1"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            url = json.loads(process.stdout.readline())["url"]
            with urllib.request.urlopen(f"{url}networks") as answer:
                told = json.load(answer)
            assert told["networks"][0]["name"] == RANDOM
            assert told["picture"]["size"] == [512, 384]
            assert [path.name.partition("-explore-")[0] for path in tmp_path.iterdir()] == [
                "minicnn"
            ]
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
            assert process.stderr.read() == ""
        finally:
            process.kill()  # else leaving the context waits for it
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def scanned(tmp_path, rng):
    """A scan of a small network with its drawings: (network, Features, folder)."""
    net, pictures = small_network(), PictureSet(write_set(tmp_path / "set.h5", rng))
    settings = scan.settings_for(net, pictures, LAYERS, top=4, size=SIZE)
    features = scan.begin(net, settings)
    scan.scan(features, net, pictures, threads=1)
    features.names = {number: pictures.name(number) for number in range(len(pictures))}
    page.draw(features, net, pictures, tmp_path, DrawSettings(threads=1))
    results_file.save(features, tmp_path / "features.h5")
    return net, features, tmp_path


def test_the_strongest_of_a_scan_are_shown(scanned, rng):
    net, features, folder = scanned
    with served(net, scans=[(features, folder)], picture=png(rng)) as server:
        client = Client(server)
        told = client.raw_json("top", net=0, layer="relu2", unit=1)
        records = features.layers["relu2"]
        assert [value for _, value in told["hits"]] == records.value[1].tolist()
        assert told["hits"][0][0] == features.names[int(records.picture[1, 0])]
        assert image(told).shape[1] > image(told).shape[0]  # reconstructions beside patches
        dead = client.raw_json("top", net=0, layer="relu2", unit=3)
        assert (dead["hits"], dead.get("image")) == ([], None)
        assert (
            "has not been scanned" in client.raw_json("top", net=0, layer="conv1", unit=0)["error"]
        )
        assert "no unit 99" in client.raw_json("top", net=0, layer="relu2", unit=99)["error"]


def test_a_scan_of_other_weights_is_refused(scanned, capfd):
    _, _, folder = scanned
    minicnn.save(small_network(seed=1), folder / "other.h5")
    code = main(["explore", str(folder / "other.h5"), "--features", str(folder / "features.h5")])
    assert code == 1
    assert "is a scan of small with other weights than" in capfd.readouterr().err
