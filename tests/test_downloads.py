"""Downloads from a real server that is slow, breaks off, lies and serves wrong files."""

import errno
import hashlib
import json
import multiprocessing
import socket

import pytest
import web_server
from web_server import Behaviour

from minicnn.downloads import download as module
from minicnn.downloads.download import download
from minicnn.downloads.partial_file import Digest, PartialFile
from minicnn.errors import MinicnnError

CONTENT = bytes(range(256)) * 1200  # 307,200 bytes
SHA256 = hashlib.sha256(CONTENT).hexdigest()
RIGHT = Digest("sha256", SHA256[:8])


@pytest.fixture
def server():
    with web_server.running() as server:
        yield server


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.01)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def get(server, tmp_path):
    """Download /file served by these behaviours; return the notes."""

    def run(*behaviours, digest=RIGHT, content=CONTENT, **options):
        notes = []
        url = server.serve("/file", content, *behaviours)
        sha256 = download(url, tmp_path / "file", digest, note=notes.append, **options)
        assert (tmp_path / "file").read_bytes() == content
        assert sha256 == hashlib.sha256(content).hexdigest()
        assert [path.name for path in tmp_path.iterdir()] == ["file"]
        return notes

    return run


def ranges(server):
    return [headers.get("Range") for _, headers in server.seen]


def refused(call, message):
    with pytest.raises(MinicnnError) as caught:
        call()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def partial_size(folder):
    part = folder / "file.part"
    return part.stat().st_size if part.exists() else 0


def interrupted(server, folder, at=100_000, **behaviour):
    """Leave a partial file of `at` bytes, as a command that was interrupted does."""

    def stop(done, total):
        if done == at:
            raise KeyboardInterrupt

    url = server.serve("/file", CONTENT, Behaviour(stall_after=at, **behaviour))
    with pytest.raises(KeyboardInterrupt):
        download(url, folder / "file", RIGHT, progress=stop)
    assert partial_size(folder) == at
    server.seen.clear()


# Good servers


@pytest.mark.smoke
def test_a_file_comes_whole(get, server):
    assert get() == []
    assert ranges(server) == [None]
    assert server.seen[0][1]["Accept-Encoding"] == "identity"


def test_an_empty_file_and_one_of_unknown_length_come_whole(get):
    get(digest=None, content=b"")
    get(Behaviour(length=None))


def test_progress_counts_all_bytes_of_a_slow_server(get):
    told = []
    get(
        Behaviour(piece=30_720, pause=0.02),
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert len(told) >= 10
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_what_is_there_is_replaced_only_when_the_new_file_is_whole(get, server, tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    refused(lambda: get(Behaviour(status=404)), "404")
    assert (tmp_path / "file").read_bytes() == b"old"
    get()


@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
def test_any_length_of_a_hash_is_checked(get, algorithm):
    digest = hashlib.new(algorithm, CONTENT).hexdigest()
    for start in (digest, digest[:8]):
        get(digest=Digest(algorithm, start))


# Servers that break off


def test_a_broken_connection_is_continued_where_it_broke(get, server):
    notes = get(Behaviour(stop_after=100_000), Behaviour(stop_after=100_000), Behaviour())
    assert ranges(server) == [None, "bytes=100000-", "bytes=200000-"]
    assert server.seen[1][1]["If-Range"] == '"one"'
    assert notes[0] == "the connection broke off at 100,000 of 307,200 bytes; trying again"


def test_a_server_that_stops_sending_is_asked_again(get, server):
    notes = get(Behaviour(stall_after=100_000), Behaviour(), timeout=0.2)
    assert ranges(server) == [None, "bytes=100000-"]
    assert notes == ["the server stopped sending; trying again"]


def test_the_next_command_goes_on(server, get, tmp_path):
    interrupted(server, tmp_path)
    assert get() == ["going on at 0.10 MB"]
    assert ranges(server) == ["bytes=100000-"]


def test_a_last_modified_time_serves_as_well_as_an_etag(server, get, tmp_path):
    version = {"etag": 'W/"weak"', "modified": "Sat, 01 Jan 2022 00:00:00 GMT"}
    interrupted(server, tmp_path, **version)
    get(Behaviour(**version))
    assert server.seen[0][1]["If-Range"] == version["modified"]


@pytest.mark.parametrize("version", [{"etag": None}, {"etag": 'W/"weak"'}])
def test_a_file_without_a_version_starts_over(server, get, tmp_path, version):
    interrupted(server, tmp_path, **version)
    get(Behaviour(**version))
    assert ranges(server) == [None]


def test_another_version_starts_over(server, get, tmp_path):
    interrupted(server, tmp_path, etag='"old"')
    notes = get(Behaviour(etag='"new"'))
    assert ranges(server) == ["bytes=100000-"]
    assert notes == ["going on at 0.10 MB", "the server sends it from the beginning"]


def test_another_address_starts_over(server, get, tmp_path):
    interrupted(server, tmp_path)
    url = server.serve("/mirror/file", CONTENT)
    download(url, tmp_path / "file", RIGHT)
    assert ranges(server) == [None]


def test_a_server_without_ranges_starts_over(server, get, tmp_path):
    interrupted(server, tmp_path)
    get(Behaviour(ranges=False))
    get(Behaviour(stop_after=100_000, ranges=False), Behaviour(ranges=False))


def test_a_beginning_that_is_all_there_is_is_finished(server, get, tmp_path):
    interrupted(server, tmp_path)
    with open(tmp_path / "file.part", "ab") as part:
        part.write(CONTENT[100_000:])
    get()
    assert ranges(server) == ["bytes=307200-"]


def test_a_beginning_that_is_longer_than_the_file_starts_over(server, get, tmp_path):
    interrupted(server, tmp_path)
    with open(tmp_path / "file.part", "ab") as part:
        part.write(bytes(400_000))
    assert "not as long as what is here; starting over" in get()[1]


def test_a_damaged_beginning_is_found_by_the_hash(server, get, tmp_path):
    interrupted(server, tmp_path)
    (tmp_path / "file.part").write_bytes(bytes(100_000))
    notes = get()
    assert notes[1].startswith("the pieces do not fit: its SHA-256 is ")
    assert ranges(server) == ["bytes=100000-", None]


@pytest.mark.parametrize("state", ["", "[]", "{", '{"etag": 3}', "\x00"])
def test_a_damaged_note_of_the_version_starts_over(server, get, tmp_path, state):
    interrupted(server, tmp_path)
    (tmp_path / "file.part.json").write_text(state)
    get()
    assert ranges(server) == [None]


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (Behaviour(stop_after=0), "the connection broke off at 0 of 307,200 bytes"),
        (Behaviour(status=503), "the server answered 503"),
        (Behaviour(stall_after=0), "the server stopped sending"),
    ],
)
def test_a_server_that_never_sends_is_given_up(get, server, tmp_path, behaviour, message):
    refused(lambda: get(behaviour, timeout=0.05), message)
    assert len(server.seen) == module.ATTEMPTS
    assert list(tmp_path.iterdir()) == []


def test_what_has_come_is_kept_when_a_server_is_given_up(get, server, tmp_path):
    refused(lambda: get(Behaviour(stop_after=70_000), Behaviour(status=503)), "0.07 MB are kept")
    assert partial_size(tmp_path) == 70_000
    get()


def test_small_steps_do_not_go_on_for_ever(get, server):
    refused(lambda: get(Behaviour(stop_after=10)), "broke off at 50 of 307,200 bytes")
    assert len(server.seen) == module.ATTEMPTS


def test_a_busy_server_is_asked_again(get, server):
    assert get(Behaviour(status=503), Behaviour(status=429), Behaviour()) == [
        "the server answered 503 Service Unavailable; trying again",
        "the server answered 429 Too Many Requests; trying again",
    ]


# Servers that lie about lengths


def test_a_length_that_is_too_long(get, server):
    refused(lambda: get(Behaviour(length=400_000, ranges=False)), "at 307,200 of 400,000 bytes")


def test_a_length_that_is_too_short_gives_the_wrong_hash(get, tmp_path):
    refused(lambda: get(Behaviour(length=200_000)), "is not the file it should be: its SHA-256 is")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", ["-5", "many", "1e9", "", "9" * 40])
def test_a_length_that_is_no_number_is_not_believed(get, length):
    get(Behaviour(length=length))


def test_an_enormous_length_is_refused_at_once(get, server, tmp_path):
    refused(lambda: get(Behaviour(length=10**15)), "announces 1,000,000,000,000,000 bytes")
    assert len(server.seen) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_stream_without_end_is_given_up(get, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "MAX_BYTES", 200_000)
    refused(lambda: get(Behaviour(length=None)), "sends more than 200,000 bytes")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_foreseen(get, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10}))
    refused(lambda: get(), "needs 0.31 MB more, 0.00 MB are free")


def test_a_disk_that_fills_up_is_reported(get, monkeypatch):
    def full(self, chunk):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PartialFile, "append", full)
    refused(lambda: get(), "No space left on device")


@pytest.mark.parametrize("lie", [{"range_start": 0}, {"range_start": 99_999}, {"total": 99}])
def test_another_part_than_was_asked_for_starts_over(get, server, lie):
    notes = get(Behaviour(stop_after=100_000), Behaviour(**lie), Behaviour())
    assert ranges(server) == [None, "bytes=100000-", None]
    assert "; starting over" in notes[1]


def test_a_wrong_part_is_found_by_the_hash(get, server):
    wrong = Behaviour(content=CONTENT[::-1], etag='"one"')
    notes = get(Behaviour(stop_after=100_000), wrong, Behaviour())
    assert notes[1].startswith("the pieces do not fit")


# Wrong files


@pytest.mark.smoke
def test_a_wrong_file_is_refused_and_deleted(get, tmp_path):
    refused(
        lambda: get(Behaviour(content=b"<html>Log in to the network</html>")),
        f"the right one begins with {SHA256[:8]}; it was deleted",
    )
    assert list(tmp_path.iterdir()) == []
    get()


def test_a_wrong_file_with_a_known_hash_is_refused(get):
    refused(
        lambda: get(Behaviour(content=CONTENT[:-1]), digest=Digest("sha256", SHA256)),
        f"the right one is {SHA256}",
    )


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_file_that_is_not_there(get, server, status):
    refused(lambda: get(Behaviour(status=status)), "give another address with --url")
    assert len(server.seen) == 1


def test_packed_content_is_refused(get):
    refused(lambda: get(Behaviour(headers={"Content-Encoding": "gzip"})), "packed (gzip)")


# Addresses and connections


def test_redirects_are_followed(get, server, tmp_path):
    away = server.serve("/away", b"", Behaviour(status=302, headers={"Location": "/file"}))
    get()
    download(away, tmp_path / "file", RIGHT)
    assert server.seen[-1][0] == "/file"


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "/away"])
def test_redirects_out_of_the_web_or_in_a_circle_are_not_followed(server, tmp_path, target):
    behaviour = Behaviour(status=302, headers={"Location": target})
    with pytest.raises(MinicnnError) as caught:
        download(server.serve("/away", b"", behaviour), tmp_path / "file")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    ["", "vgg19", "file:///etc/passwd", "ftp://a/b", "http://", "http:///x", "https://a b/c",
     "http://a/\n", "http://[::1", "http://a:99999/", "http://ü.de/"],
)  # fmt: skip
def test_what_is_no_address_of_the_web(tmp_path, url):
    refused(lambda: download(url, tmp_path / "file"), "is not a web address")


def test_nobody_listens(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/file"
        refused(lambda: download(url, tmp_path / "file"), "Connection refused")


def test_no_such_host(tmp_path, monkeypatch):
    def fail(*args, **options):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    refused(
        lambda: download("http://nowhere.invalid/file", tmp_path / "file"),
        "no host 'nowhere.invalid' can be found",
    )


def test_a_proxy_of_the_environment_is_asked(server, tmp_path, monkeypatch):
    server.serve("http://weights.invalid/file", CONTENT)
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", server.url(""))
    download("http://weights.invalid/file", tmp_path / "file", RIGHT)
    assert server.seen[0][0] == "http://weights.invalid/file"


def test_what_does_not_speak_http(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        pipe = multiprocessing.get_context("fork")
        speaker = pipe.Process(target=_speak, args=(listening,), daemon=True)
        speaker.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/file"
        refused(lambda: download(url, tmp_path / "file", timeout=2), "the connection failed")
        speaker.terminate()
        speaker.join()


def _speak(listening):
    while True:
        connection, _ = listening.accept()
        with connection:
            connection.sendall(b"220 mail.example ESMTP\r\n")


# Two commands at once


def test_two_commands_do_not_write_the_same_file(server, tmp_path):
    url = server.serve("/file", CONTENT)
    with PartialFile(tmp_path / "file", url):
        refused(lambda: download(url, tmp_path / "file"), "is being written by another command")
    download(url, tmp_path / "file", RIGHT)


def test_a_folder_that_cannot_be_written(server, tmp_path):
    url = server.serve("/file", CONTENT)
    refused(lambda: download(url, tmp_path / "none" / "file"), "No such file or directory")


def test_the_note_of_the_version_says_where_the_file_comes_from(server, tmp_path):
    interrupted(server, tmp_path)
    state = json.loads((tmp_path / "file.part.json").read_text())
    assert state == {
        "url": server.url("/file"),
        "etag": '"one"',
        "modified": None,
        "total": len(CONTENT),
    }
