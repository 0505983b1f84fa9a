"""`weights fetch`, `list`, `path`: public networks, from a real server, into a cache folder."""

import hashlib
import json
import re
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import web_server
from web_server import Behaviour

import minicnn
from minicnn.cli import main
from minicnn.network import build
from minicnn.runs.inputs import load_network
from minicnn.storage import cache_folder
from minicnn.weights import checkpoint, downloads, locations, manifest
from minicnn.weights import fetch as task


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("MINICNN_CACHE", str(folder))
    monkeypatch.delenv("MINICNN_MIRROR", raising=False)
    return folder


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(downloads, "PAUSE", 0.01)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with web_server.running() as server:
        yield server


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """A file with the weights of a squeezenet1_1 with 5 classes, under Caffe's names."""
    net = build.build("squeezenet1_1", classes=5)
    path = tmp_path_factory.mktemp("public") / "weights.npz"
    np.savez(path, **net.params)
    return path.read_bytes()


@pytest.fixture
def entries(monkeypatch, server, content):
    """A manifest of our own: {name: Entry}, all of them served as the right file."""
    sha256, sha1 = (hashlib.new(name, content).hexdigest() for name in ("sha256", "sha1"))
    rows = {}
    for name, algorithm, start in (
        ("whole", "sha256", sha256),
        ("start", "sha256", sha256[:8]),
        ("other", "sha1", sha1),
        ("unknown", "sha256", ""),
        ("vgg19", "sha256", sha256),
    ):
        network = "vgg19" if name == "vgg19" else "squeezenet1_1"
        url = server.serve(f"/{name}.npz", content)
        rows[name] = manifest.Entry(name, network, url, "free", algorithm, start, "known")
    monkeypatch.setattr(manifest, "entries", lambda: rows)
    return rows


@pytest.fixture
def run(cache, entries, capfd):
    """Run `minicnn weights ...`; return (code, stdout, stderr)."""

    def run(*arguments):
        code = main(["weights", *map(str, arguments)])
        return (code, *capfd.readouterr())

    return run


def test_fetch_brings_a_network_that_load_finds(run, cache, entries, content):
    code, out, err = run("fetch", "whole")
    assert code == 0
    sha256 = entries["whole"].hash_start
    assert (
        out
        == f"{cache / 'whole.h5'}: fetched; licence: free; the SHA-256 of its source is {sha256}\n"
    )
    assert f"{entries['whole'].url} -> " in err
    net = minicnn.load("whole")
    assert net.attrs["name"] == "squeezenet1_1"
    assert net.attrs["source"] == entries["whole"].url
    assert net.attrs["source_sha256"] == sha256
    assert net.attrs["licence"] == "free"
    np.testing.assert_array_equal(
        net.params["conv10.weight"],
        build.build("squeezenet1_1", classes=5).params["conv10.weight"],
    )
    assert [path.name for path in sorted(cache.rglob("*"))] == ["downloads", "whole.h5"]
    assert run("verify", "whole")[0] == 0
    assert run("path", "whole")[1] == f"{cache / 'whole.h5'}\n"


def test_what_is_there_is_not_fetched_again_without_force(run, server):
    run("fetch", "whole")
    count = len(server.seen)
    code, out, _ = run("fetch", "whole", "--json")
    assert code == 0
    assert json.loads(out)["already"] is True
    assert len(json.loads(out)["source_sha256"]) == 64
    assert len(server.seen) == count
    assert run("fetch", "whole", "--force")[0] == 0
    assert len(server.seen) == count + 1


@pytest.mark.parametrize("name", ["start", "other"])
def test_the_beginning_of_a_hash_or_another_hash_is_checked(run, server, name, content):
    server.serve(f"/{name}.npz", b"something else")
    code, _, err = run("fetch", name)
    assert code == 1
    assert "is not the file it should be" in err
    server.serve(f"/{name}.npz", content)
    assert run("fetch", name)[0] == 0


def test_an_unknown_hash_is_said_and_printed(run, content):
    code, _, err = run("fetch", "unknown")
    assert code == 0
    assert "knows no hash of unknown.npz" in err
    assert hashlib.sha256(content).hexdigest() in err


def test_a_wrong_file_of_unknown_hash_is_not_kept(run, cache, server, content):
    server.serve("/unknown.npz", b"<html>Log in</html>")
    code, out, err = run("fetch", "unknown")
    assert (code, out) == (1, "")
    assert "a web page in the place of the file" in err
    assert not any(path.is_file() for path in cache.rglob("*"))
    server.serve("/unknown.npz", content)
    assert run("fetch", "unknown")[0] == 0


def test_a_right_file_that_does_not_fit_is_kept_for_a_newer_version(run, cache, server):
    code, _, err = run("fetch", "vgg19")
    assert code == 1
    assert "has no layer of vgg19 under any name" in err
    assert not (cache / "vgg19.h5").exists()
    count = len(server.seen)
    assert run("fetch", "vgg19")[0] == 1
    assert len(server.seen) == count


def test_a_kept_file_that_was_damaged_is_fetched_again(run, cache, server):
    run("fetch", "vgg19")
    (cache / "downloads" / "vgg19.npz").write_bytes(b"damaged")
    count = len(server.seen)
    run("fetch", "vgg19")
    assert len(server.seen) == count + 1


def test_keep_keeps_the_public_file(run, cache, content):
    assert run("fetch", "whole", "--keep")[0] == 0
    assert (cache / "downloads" / "whole.npz").read_bytes() == content


def test_url_and_mirror(run, cache, server, content, monkeypatch):
    elsewhere = server.serve("/elsewhere?key=1", content)
    server.serve("/elsewhere", content)
    assert run("fetch", "whole", "--from", elsewhere)[0] == 0
    assert checkpoint.info("whole")["source"] == elsewhere
    server.serve("/mirror/start.npz", content)
    monkeypatch.setenv("MINICNN_MIRROR", server.url("/mirror/"))
    assert run("fetch", "start")[0] == 0
    assert server.seen[-1][0] == "/mirror/start.npz"
    listed = [json.loads(line) for line in run("list", "--json")[1].splitlines()]
    assert {row["url"] for row in listed if row["name"] == "other"} == {
        server.url("/mirror/other.npz")
    }


def test_a_slow_server_that_breaks_off_is_waited_for(run, server, content, monkeypatch):
    monkeypatch.setattr("minicnn.cli.verbs.weights_fetch.PAUSE", 0.05)
    half = len(content) // 2
    server.serve(
        "/whole.npz",
        content,
        Behaviour(stop_after=half, piece=half // 4, pause=0.05),
        Behaviour(piece=half // 4, pause=0.05),
    )
    code, _, err = run("fetch", "whole")
    assert code == 0
    assert f"broke off at {half:,} of {len(content):,} bytes; trying again" in err
    assert re.search(rf"\d\.\d of {len(content) / 1e6:.1f} MB", err)
    assert [headers.get("Range") for _, headers in server.seen] == [None, f"bytes={half}-"]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
def test_an_interrupted_fetch_goes_on(run, cache, server, content, monkeypatch):
    server.serve("/whole.npz", content, Behaviour(stall_after=500_000), Behaviour())
    part = cache / "downloads" / "whole.npz.part"

    def interrupt():
        for _ in range(2000):
            if part.exists() and part.stat().st_size >= 400_000:
                break
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    monkeypatch.setattr(downloads, "CHUNK", 1 << 14)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        code, out, err = run("fetch", "whole", "--timeout", 20)
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert (code, out) == (130, "")
    assert "the same command goes on with it" in err
    kept = part.stat().st_size
    assert kept >= 400_000
    assert run("fetch", "whole")[0] == 0
    assert server.seen[-1][1]["Range"] == f"bytes={kept}-"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fetch", "vgg20"), "no public network 'vgg20'; there are whole, start, other, unknown"),
        (("fetch", "whole", "--from", "no/file"), "--from takes a file, an address"),
        (("fetch", "whole", "--from", "http://127.0.0.1:9/x y"), "is not a web address"),
        (("path", "whole"), "get it by `minicnn weights fetch whole`"),
        (("path", "vgg20"), "no network 'vgg20' at hand"),
        (("info", "whole"), "`minicnn weights list` tells what can be fetched"),
    ],
)
def test_bad_requests_get_one_clear_line(run, cache, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert message in err
    assert err.count("\n") == 1
    assert not any(path.is_file() for path in cache.rglob("*"))


def test_a_cache_that_cannot_be_made(run, cache):
    cache.write_text("a file")
    code, _, err = run("fetch", "whole")
    assert code == 1
    assert "cannot make the cache folder" in err
    assert "set MINICNN_CACHE to another" in err


def test_a_damaged_network_in_the_cache_is_fetched_again(run, cache):
    run("fetch", "whole")
    (cache / "whole.h5").write_bytes((cache / "whole.h5").read_bytes()[:-100])
    code, _, err = run("fetch", "whole")
    assert code == 0
    assert "truncated or damaged" in err
    assert run("verify", "whole")[0] == 0


def test_list_tells_what_is_there(run, cache):
    run("fetch", "start")
    code, out, _ = run("list")
    assert code == 0
    rows = {line.split()[0]: line for line in out.splitlines() if line}
    assert "in the cache" in rows["start"]
    assert "can be fetched" in rows["whole"]
    assert "all digits of its SHA-256" in rows["whole"]
    assert "8 digits of its SHA-256" in rows["start"]
    assert rows["unknown"].split()[-2:] == ["unknown", "free"]
    assert out.endswith(f"cache folder: {cache}\n")
    listed = {row["name"]: row for row in map(json.loads, run("list", "--json")[1].splitlines())}
    assert listed["start"]["path"] == str(cache / "start.h5")
    assert listed["whole"]["path"] is None


def test_tasks_find_a_fetched_network_by_its_name(run, cache):
    with pytest.raises(minicnn.MinicnnError, match="minicnn weights fetch squeezenet1_1"):
        load_network("squeezenet1_1")
    cache.mkdir(exist_ok=True)
    minicnn.save(build.build("squeezenet1_1", classes=3), cache / "squeezenet1_1.h5")
    assert load_network("squeezenet1_1").attrs["name"] == "squeezenet1_1"
    assert main(["models"]) == 0


# Where things are


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/var/x"}, "/var/x/minicnn"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/minicnn"),
        ("linux", {}, "/home/me/.cache/minicnn"),
        ("darwin", {"XDG_CACHE_HOME": "/var/x"}, "/home/me/Library/Caches/minicnn"),
        ("win32", {"LOCALAPPDATA": "/c/Local"}, "/c/Local/minicnn/Cache"),
        ("win32", {}, "/home/me/AppData/Local/minicnn/Cache"),
        ("win32", {"MINICNN_CACHE": "/own"}, "/own"),
        ("linux", {"MINICNN_CACHE": "~/own"}, "/home/me/own"),
    ],
)
def test_the_cache_folder_is_where_the_platform_wants_it(
    monkeypatch, platform, variables, expected
):
    for name in ("MINICNN_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cache_folder.sys, "platform", platform)
    assert cache_folder.cache() == Path(expected)


def test_without_a_home_embedded_networks_are_found_and_the_cache_is_asked_for(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    for name in ("MINICNN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cache_folder.Path, "home", homeless)
    assert locations.available() == locations.embedded()
    with pytest.raises(minicnn.MinicnnError, match="no home folder; set MINICNN_CACHE"):
        cache_folder.cache()


# The manifest


@pytest.mark.smoke
def test_the_manifest_holds_no_hash_that_was_not_seen():
    for name, entry in manifest.entries().items():
        assert entry.network in build.names()
        assert re.fullmatch(r"[a-z0-9_-]+", name)
        assert re.fullmatch(r"[0-9a-f]*", entry.hash_start)
        if "file name" in entry.hash_source:
            assert f"-{entry.hash_start}." in entry.file
        elif entry.hash_start:
            assert len(entry.hash_start) == manifest.DIGITS[entry.algorithm]
        else:
            assert "unknown" in entry.hash_source
        assert entry.licence


def test_the_hash_of_squeezenet_is_that_of_the_real_file(shared_data):
    data = (shared_data / "squeezenet" / "compressed_SqueezeNet.net").read_bytes()
    assert hashlib.sha256(data).hexdigest() == manifest.entry("squeezenet").hash_start


def test_class_names_are_those_of_the_pictures(shared_data):
    import h5py

    path = shared_data / "imagenet" / "imagenet_sample1000_256_q90.h5"
    with h5py.File(path) as file:
        labels = [label.decode().replace("_", " ") for label in file["label_text"][:]]
    names = manifest.class_names(1000)
    assert len(set(names)) == 1000
    assert [name.partition(" (")[0] for name in names] == labels
    assert manifest.class_names(10) is None


def test_squeezenet_is_fetched_from_its_real_file(cache, server, shared_data, capfd):
    data = (shared_data / "squeezenet" / "compressed_SqueezeNet.net").read_bytes()
    url = server.serve("/compressed_SqueezeNet.net", data)
    assert main(["weights", "fetch", "squeezenet", "--from", url]) == 0
    net = minicnn.load("squeezenet")
    assert net.attrs["classes"][388] == "giant panda"
    assert task.path_of("squeezenet") == cache / "squeezenet.h5"
