"""Style and texture started from the page: watched, stopped, saved as the verbs save."""

import time

import numpy as np
import pytest
from explore_testing import HOSTILE, Client, image, png, served, tiny

from minicnn.cli import main
from minicnn.pictures.writer import read_metadata

QUICK = {"net": "0", "verb": "texture", "iterations": "3", "width": "40x32"}


@pytest.fixture
def client(rng):
    with served(tiny(), picture=png(rng, (48, 40))) as server:
        yield Client(server)


def ended(client, number):
    """Return what is told of a search that has ended."""
    for _ in range(3000):
        told = client.raw_json("search", number=number)
        if told["ended"]:
            return told
        time.sleep(0.02)
    raise AssertionError("it does not end")


def test_what_is_saved_is_what_the_verb_writes(client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, started = client.post("start", {**QUICK, "content": client.picture, "seed": "5"})
    assert (status, started["iterations"]) == (200, 3)
    told = ended(client, started["number"])
    assert (told["failed"], len(told["losses"])) == (False, 3)
    assert told["terms"]["total"] == told["losses"][-1]
    assert image(told).shape == (32, 40, 3)
    saved = client.raw(f"/{client.server.token}/saved?number={started['number']}")
    assert saved[1]["Content-Disposition"].startswith("attachment")
    (tmp_path / "saved.png").write_bytes(saved[2])
    settings = read_metadata("saved.png")["settings"]
    assert (settings["seed"], settings["sources"], settings["width"]) == (5, ["first.png"], 40)
    # where the picture lies beside it, it is made again to the byte
    source = client.server.answers.folder / client.picture
    (tmp_path / "first.png").write_bytes(source.read_bytes())
    assert main(["rerun", "saved.png", "-o", "again.png"]) == 0
    assert (tmp_path / "again.png").read_bytes() == saved[2]


def test_a_style_takes_two_pictures(client):
    style = client.post("upload", png(np.random.default_rng(9), (40, 40)), name=HOSTILE)[1]["id"]
    asked = {"net": "0", "verb": "style", "content": client.picture, "size": "48"}
    asked |= {"iterations": "2", "optimizer": "adam"}
    status, told = client.post("start", {**asked, "style": ""})
    assert (status, told["error"]) == (400, "choose a style picture first")
    status, started = client.post("start", {**asked, "style": style})
    assert status == 200
    told = ended(client, started["number"])
    assert {"total", "content", "style"} <= set(told["terms"])


def test_a_search_is_stopped_with_the_best_so_far(client):
    endless = {**QUICK, "content": client.picture, "iterations": "100000"}
    number = client.post("start", endless)[1]["number"]
    status, told = client.post("start", endless)
    assert (status, told["error"]) == (400, "a picture is being made already; stop it first")
    status, told = client.raw(f"/{client.server.token}/saved?number={number}")[::2]
    assert (status, b"no finished picture" in told) == (400, True)
    while not (going := client.raw_json("search", number=number))["losses"]:
        time.sleep(0.02)
    assert "image" not in client.raw_json("search", number=number, since=100000)
    assert client.post("stop", {"number": number})[0] == 200
    told = ended(client, number)
    assert "interrupted" in told["ended"]
    assert len(going["losses"]) <= len(told["losses"]) < 100000
    assert client.raw(f"/{client.server.token}/saved?number={number}")[0] == 200
    assert client.post("start", {**QUICK, "content": client.picture})[0] == 200


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"verb": "paint"}, "no search 'paint'; use style, texture"),
        ({"width": "8"}, "too small for the layers"),
        ({"width": "wide"}, "width = 'wide'; use a size"),
        ({"iterations": "0"}, "iterations = 0; use a whole number of at least 1"),
        ({"init": "/etc/passwd"}, "texture has no setting 'init' here"),
        ({"content": "none"}, "choose the picture again"),
        ({"net": "3"}, "no network 3"),
        ({"tv_weight": 3}, "a JSON object of texts"),
    ],
)
def test_a_bad_start_is_one_line(client, changed, said):
    status, told = client.post("start", {**QUICK, "content": client.picture, **changed})
    assert status == 400
    assert said in told["error"]


def test_a_message_names_the_file_as_its_owner_does(client, rng):
    flat = client.post("upload", png(rng, (20, 20)), name="small one.png")[1]["id"]
    told = client.post("start", {**QUICK, "content": flat})[1]
    assert told["error"].startswith("'small one.png' is too small: 20 x 20 pixels")


def test_a_search_that_breaks_tells_why(client, monkeypatch):
    monkeypatch.setattr("minicnn.methods.texture.run.search", lambda *_, **__: 1 / 0)
    number = client.post("start", {**QUICK, "content": client.picture})[1]["number"]
    told = ended(client, number)
    assert (told["failed"], told["ended"]) == (True, "ZeroDivisionError: division by zero")
    assert client.raw(f"/{client.server.token}/saved?number={number}")[0] == 400
