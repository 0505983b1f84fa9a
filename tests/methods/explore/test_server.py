"""What the server of `explore` answers, and to whom."""

import http.client
import json
import socket
from contextlib import closing

import numpy as np
import pytest
from explore_testing import HOSTILE, Client, image, png, served, tiny, wide

from minicnn.errors import MinicnnError
from minicnn.methods.explore.answers import MOST, PICTURES
from minicnn.methods.explore.server import PageServer
from minicnn.methods.explore.texts import plain_name


@pytest.fixture(scope="module")
def server():
    with served(tiny()) as server:
        yield server


@pytest.fixture
def client(server):
    return Client(server)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", {}),
        ("/TOKEN", {"Host": "evil.example"}),
        ("/TOKEN/networks", {"Host": "evil.example:PORT"}),
        ("/TOKEN/networks", {"Host": "127.0.0.1"}),
        ("/WRONG/networks", {}),
        ("/%C3%A9/", {}),
        ("//[", {}),
        ("*", {}),
    ],
)
def test_nobody_else_gets_anything(server, path, headers):
    path = path.replace("TOKEN", server.token)
    headers = {key: value.replace("PORT", str(server.port)) for key, value in headers.items()}
    for method in ("GET", "POST"):
        status, _, body = Client(server).raw(path, method, b"", headers)
        assert status == 403
        assert server.token.encode() not in body


def test_the_page_loads_nothing_from_elsewhere(client, server):
    for name in ("", "page.js", "page.css"):
        status, headers, body = client.raw(f"/{server.token}/{name}")
        assert status == 200
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "http" not in body.decode().replace("http-equiv", "")
    assert headers["Referrer-Policy"] == "no-referrer"


def test_every_question_is_answered(client):
    status, told = client.ask("networks")
    assert status == 400  # it takes no picture
    told = client.raw_json("networks")
    assert [layer["name"] for layer in told["networks"][0]["layers"]] == tiny().layers
    status, overview = client.ask("overview")
    assert (status, len(overview["layers"])) == (200, len(tiny().layers))
    assert {one["name"] for one in overview["classes"]} == set(tiny().attrs["classes"])
    status, units = client.ask("units", layer="relu2", order="strength")
    assert units["peaks"] == sorted(units["peaks"], reverse=True)
    assert sorted(units["units"]) == list(range(6))
    own = image(client.ask("units", layer="relu2", scale="unit")[1])
    assert own.sum() > image(units).sum()  # nobody is darker than in the scale of the layer
    status, unit = client.ask("unit", layer="relu2", unit=units["units"][0])
    assert unit["value"] == unit["most"] == units["peaks"][0]
    status, view = client.ask("view", layer="relu2", unit=3, at="2,1", rule="guided")
    assert image(view).shape == (12, 12, 3)
    status, cam = client.ask("cam", wanted="goldfish")
    assert (status, cam["class"]) == (200, 0)


def test_a_fault_of_ours_is_told_and_the_server_goes_on(server, client, monkeypatch, capfd):
    monkeypatch.setattr(type(server.answers), "alive", lambda self: 1 / 0)
    assert "fault of minicnn itself: ZeroDivisionError" in client.raw_json("alive")["error"]
    assert "ZeroDivisionError" in capfd.readouterr().err
    assert client.ask("overview")[0] == 200


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("unit", {"layer": "relu9", "unit": 0}, "no layer named 'relu9'"),
        ("unit", {"layer": "relu2", "unit": -1}, "no unit '-1'"),
        ("unit", {"layer": "relu2", "unit": 0, "at": "a,b"}, "no row 'a'"),
        ("unit", {"layer": "relu2", "unit": 0, "at": "99,0"}, "its maps are 6 x 6"),
        ("unit", {"layer": "relu2"}, "missing a required argument: 'unit'"),
        ("units", {"layer": "relu2", "page": 1}, "it has 1"),
        ("view", {"layer": "relu2", "unit": 0, "at": "0,0", "rule": "x"}, "rule"),
        ("overview", {"net": 1}, "no network 1"),
        ("overview", {"picture": "../../etc/passwd"}, "choose it again"),
        ("top", {"layer": "relu2", "unit": 0, "picture": ""}, "unexpected keyword"),
        ("cam", {"wanted": HOSTILE[:300]}, "no class is called"),
        ("search", {"number": "7"}, "unexpected keyword"),
    ],
)
def test_a_bad_question_is_one_line(client, name, values, said):
    status, answer = client.ask(name, **values)
    assert status == 400
    assert said in answer["error"]
    assert "\n" not in answer["error"]


def test_what_is_no_picture_is_one_line(client):
    status, answer = client.post("upload", b"no picture", name="notes.txt")
    assert status == 400
    assert answer["error"].startswith("cannot read 'notes.txt': not a picture")
    status, answer = client.post("upload", b"", name="")
    assert (status, "cannot read 'picture'" in answer["error"]) == (400, True)


def test_a_post_to_nowhere_spoils_no_connection(server):
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as line:
        for name, status in (("nowhere", 404), ("alive", 404), ("stop", 400), ("", 404)):
            line.request("POST", f"/{server.token}/{name}", b'{"GET / HTTP/1.1": "x"}')
            answer = line.getresponse()
            assert (answer.status, "error" in json.loads(answer.read())) == (status, True)


def test_an_upload_that_is_too_large_is_not_read(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as line:
        head = f"POST /{server.token}/upload?name=x HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        line.sendall(f"{head}Content-Length: {MOST + 1}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: line.recv(65536), b"")).decode()
    assert " 400 " in answer
    assert "at most 64 MiB" in answer


def test_hostile_names_are_text(client, rng):
    status, told = client.post("upload", png(rng), name=HOSTILE)
    assert status == 200
    assert len(told["name"]) <= 120
    assert told["name"].isprintable()
    assert plain_name("../../a/b\\c.png") == "c.png"
    with served(wide()) as server:
        _, told = Client(server).ask("overview")
        assert {one["name"] for one in told["classes"]} == set(wide().attrs["classes"])


def test_ten_thousand_units_come_by_pages():
    with served(wide()) as server:
        client = Client(server)
        _, first = client.ask("units", layer="relu2")
        assert (len(first["units"]), first["pages"]) == (256, 40)
        _, last = client.ask("units", layer="relu2", page=39)
        assert last["units"] == list(range(9984, 10_000))
        assert max(image(first).shape) < 1000
        assert client.ask("unit", layer="relu2", unit=9999)[0] == 200


def test_a_network_without_classes_says_so(client):
    net = tiny()
    del net.nodes[-2:]  # to the ReLU: a map
    with served(net) as server:
        status, told = Client(server).ask("overview")
        assert (status, told["classes"]) == (200, [])
        assert "has no classes" in told["without"]
        status, told = Client(server).ask("cam", wanted="1")
        assert (status, "has no classes" in told["error"]) == (400, True)


def test_two_tabs_do_not_know_of_each_other(server):
    one, other = Client(server), Client(server)
    other.picture = other.post("upload", png(np.random.default_rng(1)), name="other.png")[1]["id"]
    asked = {"layer": "conv2", "unit": 3, "at": "1,1", "rule": "gradient"}
    answers = [tab.ask("view", **asked)[1] for tab in (one, other, one, other)]
    assert answers[0] == answers[2] != answers[1] == answers[3]


def test_the_pictures_used_last_are_kept(server, rng):
    client = Client(server)
    for _ in range(PICTURES - 1):
        client.post("upload", png(rng), name="more.png")
        assert client.ask("overview")[0] == 200  # the first stays in use
    client.post("upload", png(rng), name="more.png")
    client.post("upload", png(rng), name="more.png")
    assert len(list(server.answers.folder.iterdir())) == PICTURES
    assert client.ask("overview")[0] == 200


def test_two_networks_see_one_picture():
    with served(tiny(), tiny(names=None)) as server:
        client = Client(server)
        answers = [client.ask("view", net=n, layer="relu2", unit=1, at="2,2", rule="deconvnet")
                   for n in (0, 1)]  # fmt: skip
        assert answers[0] == answers[1]


def test_a_port_in_use_is_one_line(server):
    with pytest.raises(MinicnnError, match=f"cannot serve on port {server.port} .* --port"):
        PageServer(server.answers, server.port)


def test_a_killed_connection_harms_nobody(server, client, capfd):
    for part in (b"", b"GET / HT", f"POST /{server.token}/upload HTTP/1.1\r\n".encode()):
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as line:
            line.sendall(part)
    assert client.ask("overview")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_pictures_of_every_shape_become_square(client, rng):
    for size in ((1, 1), (3, 200), (200, 3)):
        status, told = client.post("upload", png(rng, size), name="thin.png")
        assert (status, told["size"]) == (200, list(size[::-1]))
        client.picture = told["id"]
        assert image(client.ask("overview")[1]).shape == np.zeros((12, 12, 3)).shape
