"""How `tools/same_pictures.py` reduces results and compares them; the commands are not run."""

import json
import struct
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

TOOLS = Path(__file__).resolve().parents[1] / "tools"


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import same_pictures

    yield same_pictures
    for name in ("same_pictures", "picture_commands", "reduced_results"):
        sys.modules.pop(name, None)


@pytest.fixture
def reduced(tool):
    return tool.reduced


def test_a_picture_is_its_pixels_whatever_its_settings_say(reduced, tmp_path):
    from PIL.PngImagePlugin import PngInfo

    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    for name, level in (("a.png", 0), ("b.png", 9)):
        info = PngInfo()
        info.add_text("minicnn", name)
        Image.fromarray(pixels).save(tmp_path / name, pnginfo=info, compress_level=level)
        assert np.array_equal(reduced(tmp_path / name)["pixels"], pixels)


def test_all_frames_of_an_animation(reduced, tmp_path):
    frames = [Image.fromarray(np.full((4, 4, 3), grey, np.uint8)) for grey in (0, 90, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    found = reduced(tmp_path / "a.gif")
    assert [int(found[f"frame {i}"][0, 0, 0]) for i in range(3)] == [0, 90, 200]


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_png_samples_are_those_of_pillow(tool, mode, tmp_path):
    from reduced_results import png_samples

    y, x = np.mgrid[:40, :50]
    smooth = np.stack([x * 3, y * 4, x + y, 255 - x], axis=-1).astype(np.uint8)
    image = Image.fromarray(smooth).convert(mode)
    image.save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    assert np.array_equal(np.squeeze(png_samples(data)), np.asarray(image))


@pytest.mark.parametrize("kind", range(5))
def test_all_sixteen_bits_count_under_every_filter(reduced, kind, tmp_path):
    rng = np.random.default_rng(kind)
    line, above = (rng.integers(0, 1 << 16, (6, 3)).astype(">u2").tobytes() for _ in range(2))
    coded = bytearray()
    for i, value in enumerate(line):
        left, up = (line[i - 6] if i >= 6 else 0), above[i]
        corner = above[i - 6] if i >= 6 else 0
        # the Paeth predictor as the specification words it
        pa, pb, pc = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
        paeth = left if pa <= pb and pa <= pc else up if pb <= pc else corner
        coded.append((value - (0, left, up, (left + up) // 2, paeth)[kind]) % 256)

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", 6, 2, 16, 2, 0, 0, 0)
    body = zlib.compress(b"\0" + above + bytes([kind]) + coded)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(png)
    expected = np.frombuffer(above + line, ">u2").reshape(2, 6, 3)
    assert np.array_equal(reduced(tmp_path / "a.png")["pixels"], expected)


def test_hdf5_by_datasets_and_numbers_without_text_attributes(reduced, tmp_path):
    for name, said in (("a.h5", "at noon"), ("b.h5", "at night")):
        with h5py.File(tmp_path / name, "w") as file:
            file["conv/weight"] = np.arange(6.0).reshape(2, 3)
            file["names"] = ["one", "two"]
            file.attrs.update({"made": said, "mean": [1.0, 2.0], "format_version": len(said)})
    found, other = reduced(tmp_path / "a.h5"), reduced(tmp_path / "b.h5")
    assert set(found) == {"conv/weight", "@mean"}
    assert all(np.array_equal(found[key], other[key]) for key in found)


def test_npz_by_arrays_without_text(reduced, tmp_path):
    np.savez(tmp_path / "a.npz", map=np.eye(2), metadata="made by version 1")
    found = reduced(tmp_path / "a.npz")
    assert set(found) == {"map"}
    assert np.array_equal(found["map"], np.eye(2))


def test_tables_without_times_and_text(reduced, tmp_path):
    (tmp_path / "a.csv").write_text("epoch,layer,loss,seconds\n1,relu1,0.5,3.1\n2,relu2,,3.2\n")
    found = reduced(tmp_path / "a.csv")
    assert set(found) == {"epoch", "loss"}
    np.testing.assert_array_equal(found["loss"], [0.5, np.nan])


def test_json_by_keys(reduced, tmp_path):
    value = {"a": {"b": [1, 2.5, {"c": True}]}, "output": "/tmp/x", "seconds": 3, "memory_mib": 4}
    (tmp_path / "a.json").write_text(json.dumps(value))
    found = {name: list(array) for name, array in reduced(tmp_path / "a.json").items()}
    assert found == {"a.b": [1, 2.5], "a.b.c": [1]}


def test_json_lines_join_by_key(tool):
    from reduced_results import json_numbers

    found = json_numbers('{"loss": 1}\nwords\n{"loss": 2}\n')
    assert list(found["loss"]) == [1, 2]


def test_what_is_printed_without_progress(tool):
    progress = '{"event": "progress", "rate": 4.1}'
    found = tool.printed(f'words\n{progress}\n{{"event": "result", "units": 3}}\n')
    assert {name: list(array) for name, array in found.items()} == {"units": [3]}
    assert tool.printed("") == {}


def test_pages_by_what_is_seen_and_by_their_data(reduced, tmp_path):
    (tmp_path / "a.html").write_text(
        "<style>p { margin: 7px }</style><p class='x9'>1,234 filters, 12.5%, -3e-2 and 11.48 ms, "
        "20 MiB, weights 67c23d in conv1_1</p>"
        '<script type="application/json" id="data">{"peak": [5, 6], "seconds": 8}</script>'
    )
    found = reduced(tmp_path / "a.html")
    assert set(found) == {"text", "peak"}
    assert list(found["text"]) == [1234, 12.5, -0.03]
    assert list(found["peak"]) == [5, 6]


@pytest.mark.parametrize(
    ("expected", "found", "difference"),
    [
        ([1.0, 4.0], [1.0, 4.0], 0),
        ([1.0, 4.0], [1.0, 3.0], 0.25),
        ([0.0], [0.0], 0),
        ([0.0], [1e-9], np.inf),
        ([1.0], [1.0, 1.0], np.inf),
        ([np.nan, 2.0], [np.nan, 1.0], 0.5),
        ([np.nan, 2.0], [1.0, 2.0], np.inf),
        ([2.0], [np.nan], np.inf),
        ([], [], 0),
    ],
)
def test_difference(tool, expected, found, difference):
    assert tool.difference(np.array(expected), np.array(found)) == difference


def test_unsigned_bytes_do_not_wrap(tool):
    one, two = np.array([100, 3], np.uint8), np.array([100, 5], np.uint8)
    assert tool.difference(one, two) == 0.02


def test_what_is_reported(tool, tmp_path):
    made = {"style": {"out.png": {"pixels": np.array([100, 50])}, "a.npz": {"x": np.ones(2)}}}
    tool.record(made, tmp_path / "r.json", True)
    hashes = json.loads((tmp_path / "r.json").read_text())
    with np.load(tmp_path / "r.npz") as file:
        arrays = dict(file)
    assert tool.compared(hashes, made) == []
    now = {"style": {"out.png": {"pixels": np.array([100, 51])}, "b.npz": {"x": np.ones(2)}}}
    rest = ["style: a.npz: missing", "style: b.npz: new"]
    assert sorted(tool.compared(hashes, now)) == [*rest, "style: out.png: differs"]
    lines = tool.compared(hashes, now, arrays)
    assert sorted(lines) == [*rest, "style: out.png: differs, pixels by 0.01"]
    assert sorted(tool.compared(hashes, now, arrays, 0.02)) == rest
    assert len(tool.compared(hashes, now, arrays, 0.005)) == 3


def test_an_array_more_or_less_is_within_no_tolerance(tool):
    made = {"style": {"a.npz": {"x": np.ones(2)}}}
    hashes = {"style": {"a.npz": tool.digest(made["style"]["a.npz"])}}
    now = {"style": {"a.npz": {"x": np.ones(2), "y": np.ones(2)}}}
    assert len(tool.compared(hashes, now, tool.flat(made), 0.5)) == 1


def test_every_verb_is_run(tool):
    import re

    from picture_commands import COMMANDS, command_lines

    from minicnn import cli

    text = cli.command_parser().format_help()
    verbs = set(re.search(r"\{(.*?)\}", text)[1].split(",")) if "{" in text else set()
    verbs |= set(re.findall(r"^ {4}([a-z-]+)\b", text, re.M))
    run = {line[0] for name in COMMANDS for line in command_lines(name)}
    # info is of the machine, completion of options; the teacher of distill has to be fetched, and
    # explore serves until it is stopped
    assert verbs - run == {"info", "distill", "completion", "explore"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name one record"),
        (["a.json", "--record", "b.json"], "name one record"),
        (["a.json", "--only", "nothing"], "no command nothing"),
        (["a.json"], "is no record"),
    ],
)
def test_bad_input_is_one_line(tool, words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        tool.main(words)
    assert said in capsys.readouterr().err
