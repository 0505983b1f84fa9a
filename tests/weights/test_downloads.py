"""Downloads from a real server that is slow, breaks off, lies and serves wrong files."""

import errno
import hashlib
import http.client
import os
import socket
import threading
import time
import urllib.request

import pytest
import web_server
from web_server import Behaviour

from minicnn.errors import MinicnnError
from minicnn.weights import downloads, web
from minicnn.weights.downloads import download

CONTENT = bytes(range(256)) * 1200  # 307,200 bytes
SHA256 = hashlib.sha256(CONTENT).hexdigest()
RIGHT = ("sha256", SHA256[:8])
MOVED = "Sat, 01 Jan 2022 00:00:00 GMT"


@pytest.fixture
def server():
    with web_server.running() as server:
        yield server


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(downloads, "PAUSE", 0.01)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def get(server, tmp_path):
    """Download /file served by these behaviours; return the notes."""

    def run(*behaviours, known=RIGHT, content=CONTENT, **options):
        notes = []
        url = server.serve("/file", content, *behaviours)
        sha256 = download(url, tmp_path / "file", *known, note=notes.append, **options)
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
    assert str(caught.value).isprintable()


def interrupted(server, folder, at=100_000, **behaviour):
    """Leave a partial file of `at` bytes, as a command that was interrupted does."""

    def stop(done, total):
        if done == at:
            raise KeyboardInterrupt

    url = server.serve("/file", CONTENT, Behaviour(stall_after=at, **behaviour))
    with pytest.raises(KeyboardInterrupt):
        download(url, folder / "file", *RIGHT, progress=stop)
    assert not (folder / "file").exists()
    server.seen.clear()


def answering(data, pause=0.0):
    """Give the address of a server that answers every connection with `data`, byte for byte."""
    listening = socket.create_server(("127.0.0.1", 0))

    def speak():
        while True:
            try:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(1 << 16)
                    for i in range(len(data)):
                        connection.sendall(data[i : i + 1])
                        time.sleep(pause)
            except OSError:  # the client hangs up, or the test is over
                if listening.fileno() < 0:
                    return

    threading.Thread(target=speak, daemon=True).start()
    return listening, f"http://127.0.0.1:{listening.getsockname()[1]}/file"


# Good servers


def test_a_file_comes_whole_and_progress_counts_its_bytes(get, server):
    told = []
    assert get(Behaviour(piece=30_720, pause=0.02), progress=lambda *now: told.append(now)) == []
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert len(told) >= 10
    assert told == sorted(told)
    assert ranges(server) == [None]


def test_an_empty_file_and_one_of_unknown_length_come_whole(get):
    get(known=(), content=b"")
    get(Behaviour(length=None))


def test_what_is_there_is_replaced_only_when_the_new_file_is_whole(get, tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    refused(lambda: get(Behaviour(status=404)), "404")
    refused(lambda: get(Behaviour(content=b"wrong")), "is not the file it should be")
    assert (tmp_path / "file").read_bytes() == b"old"
    get()


def test_redirects_are_followed(server, tmp_path):
    server.serve("/file", CONTENT)
    away = server.serve("/away", b"", Behaviour(status=302, headers={"Location": "/file"}))
    download(away, tmp_path / "file", *RIGHT)
    assert [path for path, _ in server.seen] == ["/away", "/file"]


def test_a_proxy_of_the_environment_is_asked(server, tmp_path, monkeypatch):
    server.serve("http://weights.invalid/file", CONTENT)
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", server.url(""))
    download("http://weights.invalid/file", tmp_path / "file", *RIGHT)
    assert server.seen[0][0] == "http://weights.invalid/file"


# Servers that break off


def test_a_broken_connection_is_continued_where_it_broke(get, server):
    notes = get(Behaviour(stop_after=100_000), Behaviour(stop_after=100_000), Behaviour())
    assert ranges(server) == [None, "bytes=100000-", "bytes=200000-"]
    assert server.seen[1][1]["If-Range"] == '"one"'
    assert notes[0] == "the connection broke off at 100,000 of 307,200 bytes; trying again"


@pytest.mark.parametrize(
    ("version", "asked"),
    [({}, '"one"'), ({"etag": 'W/"weak"', "modified": MOVED}, MOVED)],
)
def test_the_next_command_goes_on(server, get, tmp_path, version, asked):
    interrupted(server, tmp_path, **version)
    assert (tmp_path / "file.part").stat().st_size == 100_000
    assert get(Behaviour(**version)) == ["going on at 0.10 MB"]
    assert ranges(server) == ["bytes=100000-"]
    assert server.seen[0][1]["If-Range"] == asked


@pytest.mark.parametrize("version", [{"etag": None}, {"etag": 'W/"weak"'}, {"etag": '"a\x01"'}])
def test_a_file_without_a_usable_version_starts_over(server, get, tmp_path, version):
    interrupted(server, tmp_path, **version)
    assert list(tmp_path.iterdir()) == []
    get(Behaviour(stop_after=100_000, **version), Behaviour(**version))
    assert ranges(server) == [None, None]


@pytest.mark.parametrize("now", [{"etag": '"new"'}, {"ranges": False}])
def test_another_version_or_a_server_without_ranges_starts_over(server, get, tmp_path, now):
    interrupted(server, tmp_path)
    get(Behaviour(**now))
    assert ranges(server) == ["bytes=100000-"]


def test_another_address_starts_over(server, tmp_path):
    interrupted(server, tmp_path)
    download(server.serve("/mirror/file", CONTENT), tmp_path / "file", *RIGHT)
    assert ranges(server) == [None]


@pytest.mark.parametrize("state", [b"", b"one line\n", b"\xff\xfe", b"\n\n\n"])
def test_a_damaged_note_of_the_version_starts_over(server, get, tmp_path, state):
    interrupted(server, tmp_path)
    (tmp_path / "file.part.version").write_bytes(state)
    get()
    assert ranges(server) == [None]


def test_a_beginning_that_is_longer_than_the_file_starts_over(server, get, tmp_path):
    interrupted(server, tmp_path)
    (tmp_path / "file.part").write_bytes(bytes(400_000))
    assert "the server answered 416" in get()[1]
    assert ranges(server) == ["bytes=400000-", None]


def test_a_damaged_beginning_is_found_by_the_hash_and_deleted(server, get, tmp_path):
    interrupted(server, tmp_path)
    (tmp_path / "file.part").write_bytes(bytes(100_000))
    refused(get, "is not the file it should be: its sha256 is ")
    assert list(tmp_path.iterdir()) == []
    get()


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (Behaviour(stop_after=0), "the connection broke off at 0 of 307,200 bytes"),
        (Behaviour(status=503), "the server answered 503 Service Unavailable"),
        (Behaviour(stall_after=0), "timed out"),
        (Behaviour(stop_after=10), "broke off at 50 of 307,200 bytes"),
        (Behaviour(piece=10, pause=0.02), "bytes in 0.05 s"),
    ],
)
def test_a_server_that_sends_next_to_nothing_is_given_up(get, server, behaviour, message):
    refused(lambda: get(behaviour, timeout=0.05), message)
    assert len(server.seen) == downloads.ATTEMPTS


def test_a_server_that_starts_over_for_ever_is_given_up(get, server):
    """What came before once more is no progress, however much it is."""
    lie = Behaviour(range_start=0)
    cut = Behaviour(stop_after=100_000)
    refused(lambda: get(*[cut, lie] * 20), "another part than it was asked for")
    assert len(server.seen) == 1 + downloads.ATTEMPTS


def test_what_has_come_is_kept_when_a_server_is_given_up(get, server, tmp_path):
    refused(lambda: get(Behaviour(stop_after=70_000), Behaviour(status=503)), "0.07 MB are kept")
    assert (tmp_path / "file.part").stat().st_size == 70_000
    get()
    assert ranges(server)[-1] == "bytes=70000-"


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"a" * 1000,
    ],
    ids=["header", "chunk"],
)
def test_one_byte_now_and_then_is_given_up_wherever_it_stands(tmp_path, data):
    listening, url = answering(data, pause=0.02)
    with listening:
        refused(lambda: download(url, tmp_path / "file", timeout=0.2), "bytes in 0.2 s")


# Servers that lie


def test_a_length_that_is_too_long_or_too_short(get, tmp_path):
    refused(lambda: get(Behaviour(length=400_000, ranges=False)), "at 307,200 of 400,000 bytes")
    refused(lambda: get(Behaviour(length=200_000)), "is not the file it should be")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", ["-5", "many", "1e9", "", "9" * 40])
def test_a_length_that_is_no_number_is_not_believed(get, length):
    get(Behaviour(length=length))


@pytest.mark.parametrize("length", [10**15, None])
def test_more_than_is_allowed_is_refused(get, server, monkeypatch, tmp_path, length):
    monkeypatch.setattr(downloads, "MAX_BYTES", 200_000)
    refused(lambda: get(Behaviour(length=length)), "more than the 200,000 bytes")
    assert len(server.seen) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lie", [{"range_start": 0}, {"range_start": 99_999}, {"total": "*"}])
def test_another_part_than_was_asked_for_starts_over(get, server, lie):
    notes = get(Behaviour(stop_after=100_000), Behaviour(**lie), Behaviour())
    assert ranges(server) == [None, "bytes=100000-", None]
    assert notes[1] == "the server sends another part than it was asked for; trying again"


@pytest.mark.smoke
@pytest.mark.parametrize("start", [SHA256, SHA256[:8]])
def test_a_wrong_file_is_refused_and_deleted(get, tmp_path, start):
    wrong = Behaviour(content=b"<html>Log in to the network</html>")
    message = f"the right one begins with {start}; it was deleted"
    refused(lambda: get(wrong, known=("sha256", start)), message)
    assert list(tmp_path.iterdir()) == []
    get(known=("sha1", hashlib.sha1(CONTENT).hexdigest()))


@pytest.mark.parametrize("status", [204, 401, 404, 410, 999])
def test_a_file_that_is_not_there(get, server, status):
    words = f"answered {status} {http.client.responses.get(status, '')}".strip()
    refused(lambda: get(Behaviour(status=status)), f"{words}; give another address with --from")
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"220 mail.example ESMTP\r\n",
        b"\x1b[31mEVIL\x07\r\n\r\n",
        b"HTTP/1.1 404 \x1b[31mEVIL\x9b\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: x:\x1b[31mEVIL\r\n\r\n",
        b"HTTP/1.1 206 \x1b\r\nContent-Range: bytes \x1b[31m/5\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\x1b[31m\r\n",
    ],
)
def test_what_a_server_says_reaches_no_terminal_raw(tmp_path, data):
    listening, url = answering(data)
    notes = []
    with listening:
        refused(lambda: download(url, tmp_path / "file", note=notes.append, timeout=2), "")
    assert all(note.isprintable() for note in notes)


# Addresses and connections


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "/away", "", "http://[::1",
     "http://127.0.0.1:99999/", "http://127.0.0.1:abc/", "http://a..b/"],
)  # fmt: skip
def test_redirects_to_nowhere_or_in_a_circle_are_not_followed(server, tmp_path, target):
    behaviour = Behaviour(status=302, headers={"Location": target})
    refused(lambda: download(server.serve("/away", b"", behaviour), tmp_path / "file"), "")
    assert list(tmp_path.iterdir()) == []


def test_https_is_not_left_for_http():
    request = urllib.request.Request("https://a/file")
    handler = next(one for one in web.opener().handlers if hasattr(one, "redirect_request"))
    with open(os.devnull) as body, pytest.raises(ValueError, match="which is not followed"):
        handler.redirect_request(request, body, 302, "", {}, "http://a/file")


@pytest.mark.parametrize(
    "url",
    ["", "vgg19", "file:///etc/passwd", "ftp://a/b", "http://", "http:///x", "https://a b/c",
     "http://a/\n", "http://[::1", "http://a:99999/", "http://ü.de/"],
)  # fmt: skip
def test_what_is_no_address_of_the_web(tmp_path, url):
    refused(lambda: download(url, tmp_path / "file"), "is not a web address")


def test_nobody_listens_or_no_such_host(tmp_path, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/file"
        refused(lambda: download(url, tmp_path / "file"), "Connection refused")

    def fail(*args, **options):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    url = "http://nowhere.invalid/file"
    refused(lambda: download(url, tmp_path / "file"), "not known; check address and connection")


# Disks, and two commands at once


def test_a_folder_that_cannot_be_written_and_a_disk_that_is_full(get, server, tmp_path):
    url = server.serve("/file", CONTENT)
    refused(lambda: download(url, tmp_path / "none" / "file"), "No such file or directory")

    def full(done, total):
        raise OSError(errno.ENOSPC, "No space left on device")

    refused(lambda: get(progress=full), "No space left on device")


def test_two_commands_do_not_write_the_same_file(get, server, tmp_path):
    def second(done, total):
        refused(lambda: download(server.url("/file"), tmp_path / "file"), "by another command")

    get(progress=second)


def test_a_file_that_is_renamed_before_it_is_locked_is_left_alone(get, tmp_path, monkeypatch):
    """The first command is done between the second's opening and locking."""

    def late(file):
        os.replace(tmp_path / "file.part", tmp_path / "file")

    monkeypatch.setattr(downloads, "_lock", late)
    (tmp_path / "file.part").write_bytes(CONTENT)
    refused(get, "by another command")
    assert (tmp_path / "file").read_bytes() == CONTENT
