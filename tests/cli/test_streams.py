"""What cannot be said costs no result: streams that are closed, full, or of another encoding."""

import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from minicnn.cli import main
from minicnn.pictures.reader import load_image
from minicnn.pictures.writer import read_metadata
from minicnn.runs import plots
from minicnn.terminal.report import Stream, streams

ROOT = Path(__file__).resolve().parents[2]
LATIN = os.fsdecode(b"caf\xe9")  # in Latin-1, which is no UTF-8
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="/dev/full, names of any bytes")
needs_plots = pytest.mark.skipif(not plots.available(), reason="needs matplotlib")


@pytest.fixture
def folder(tmp_path, rng, monkeypatch):
    """The current folder, with a.png and テスト.png."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "テスト.png"):
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), "uint8")).save(name)
    return tmp_path


def shell(command, **env):
    env = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    command = command.replace("minicnn", f"{shlex.quote(sys.executable)} -m minicnn", 1)
    return subprocess.run(["bash", "-c", command], env=env, capture_output=True, check=False)


@needs_linux
@pytest.mark.parametrize(
    ("streams", "code", "said"),
    [
        (">&- 2>&-", 0, b""),
        ("--json <&- >&- 2>&-", 0, b""),
        ("2>&-", 0, b""),
        ("2> /dev/full", 0, b""),
        ("> /dev/full 2>&1", 1, b""),
        ("--json > /dev/full", 1, b"minicnn: error: cannot write to stdout: No space left"),
    ],
)
def test_a_picture_is_made_whatever_becomes_of_the_streams(folder, streams, code, said):
    done = shell(f"minicnn saliency a.png -o out.png {streams}")
    assert (done.returncode, done.stderr[: len(said)]) == (code, said)
    assert b"Traceback" not in done.stderr
    assert b"ignored" not in done.stderr
    assert read_metadata("out.png")["result"]["status"] == "done"


@needs_linux
def test_output_that_is_lost_is_told_once(folder):
    for verb in ("--help", "models minivgg"):
        done = shell(f"minicnn {verb} > /dev/full")
        text = b"minicnn: error: cannot write to stdout: No space left on device\n"
        assert (done.returncode, done.stderr) == (1, text)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-16"])
def test_names_that_an_encoding_lacks_are_spelt(folder, encoding):
    done = shell("minicnn classify テスト.png --top 1", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    name = "テスト.png" if encoding == "utf-16" else r"\u30c6\u30b9\u30c8.png"
    assert done.stdout.decode(encoding).startswith(f"{name}:\n")


@needs_linux
@needs_plots
def test_names_that_are_no_utf_8_go_in_and_come_out(folder, capfd):
    os.rename("a.png", f"{LATIN}.png")
    small = ["--size", "40", "--iterations", "1", "--force"]
    command = ["texture", f"{LATIN}.png", "-o", f"{LATIN}.jpg", "--plot", f"$a$_{LATIN}.png"]
    assert main([*command, "--source-size", "40", *small]) == 0
    assert main(["rerun", f"{LATIN}.jpg", "-o", "again.jpg", "--json"]) == 0
    assert Path("again.jpg").read_bytes() == Path(f"{LATIN}.jpg").read_bytes()
    assert load_image(f"$a$_{LATIN}.png").pixels.shape[2] == 3
    result = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert result["output"] == "again.jpg"
    assert main(["classify", os.fsdecode(b"nix\xe9.png")]) == 1
    assert r"no file 'nix\udce9.png'" in capfd.readouterr().err


def test_no_file_takes_the_place_of_a_stream_that_is_closed():
    script = (
        "import os\n"
        "from minicnn.terminal.report import streams\n"
        "os.close(2)\n"
        "with streams():\n"
        f"    assert os.open({str(ROOT / 'README.md')!r}, os.O_RDONLY) > 2\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script], env=env, check=True)


@pytest.mark.smoke
def test_a_stream_takes_no_more_once_it_has_failed(monkeypatch):
    stream = Stream(io.StringIO())
    print("one", file=stream)
    assert stream.getvalue() == "one\n"
    stream.close()
    print("two", file=stream, flush=True)  # no ValueError
    assert isinstance(stream.lost, ValueError)
    assert not stream.isatty()
    monkeypatch.setattr(sys, "stderr", None)
    with streams():
        print("three", file=sys.stderr, flush=True)
        assert not sys.stderr.isatty()
    assert sys.stderr is None


def test_a_picture_goes_from_stdin_to_stdout(folder):
    assert main("saliency a.png -o out.png --npz out.npz --quiet".split()) == 0
    done = shell("minicnn saliency - -o - --json < a.png")
    assert done.returncode == 0, done.stderr
    Path("piped.png").write_bytes(done.stdout)
    assert (load_image("piped.png").pixels == load_image("out.png").pixels).all()
    found, wanted = (read_metadata(name)["inputs"]["image"] for name in ("piped.png", "out.png"))
    assert (found["path"], found["sha256"]) == ("-", wanted["sha256"])
    assert json.loads(done.stderr.splitlines()[-1])["output"] == "-"  # nothing else on stdout
    assert shell("minicnn rerun piped.png -o again.png --check < a.png").returncode == 0
    done = shell("minicnn rerun piped.png -o other.png < テスト.png")
    assert (done.returncode, b"another SHA-256" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("saliency - -o out.png < /dev/null", "it is empty"),
        ("saliency - -o out.png <&-", "pipe one in"),
        ("style - - -o out.png < a.png", "stdin has one picture; content and style cannot both"),
        ("style a.png - -o out.png --estimate < a.png", "save the one on stdin first"),
        ("saliency a.png -o - --overlay - < a.png", "cannot write '-': it is already to be"),
        ("rerun a.png -o -", "rerun compares the file that it writes; give -o FILE"),
        ("saliency a.png -o out.png --log-file no/log.txt", "No such file or directory: no/log"),
    ],
)
def test_what_cannot_be_piped(folder, command, said):
    done = shell(f"minicnn {command}")
    assert (done.returncode, done.stdout) == (1, b"")
    assert said in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_the_log_has_what_is_said_with_its_time(folder):
    for picture in ("a.png", "absent.png"):
        main(["saliency", picture, "-o", "out.png", "--force", "--log-file", "log.txt"])
    lines = Path("log.txt").read_text().splitlines()
    told = [re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (.*)", line)[1] for line in lines]
    assert told[0].startswith("minicnn saliency a.png -o out.png")
    assert any("out.png: 256 x 256" in line for line in told)
    assert told[-1] == "minicnn: error: there is no file 'absent.png'; check its name"
