"""Bad input of `minicnn style`: one clear line, exit code 1 or 2, nothing written, nothing lost."""

import json
import os
import struct
import zlib

import h5py
import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn.cli import main
from minicnn.pictures.reader import load_image
from minicnn.pictures.writer import read_metadata, save_image

SIZE = 48  # relu4_1 needs 32


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A folder with pictures and weights that work."""
    folder = tmp_path_factory.mktemp("good")
    rng = np.random.default_rng(0)
    for name, shape in (("content.png", (40, 48, 3)), ("style.png", (44, 36, 3))):
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(folder / name)
    net = minicnn.build("minivgg", seed=0)
    minicnn.save(net, folder / "minivgg.h5")
    return folder


@pytest.fixture
def style(good, tmp_path, monkeypatch, capfd):
    """Run `minicnn style` with some arguments changed; return (code, stderr) and check the rest."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir(exist_ok=True)

    def run(*options, content=None, painted=None, weights=None, out="out/picture.png"):
        command = [content or good / "content.png", painted or good / "style.png", "-o", out]
        command += ["--size", SIZE, "--iterations", 1, "--quiet"]
        command += ["--weights", weights or good / "minivgg.h5", *options]
        before = snapshot(tmp_path)
        code = main(["style", *map(str, command)])
        stdout, stderr = capfd.readouterr()
        if code:
            assert snapshot(tmp_path) == before, "something was written"
            assert stdout == ""
            assert stderr.count("\n") == 1
            assert stderr.startswith("minicnn")
            assert ": error: " in stderr
        return code, stderr

    return run


def snapshot(folder):
    return {p: p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def test_good_input_is_good(style, tmp_path):
    assert style() == (0, "")
    with Image.open(tmp_path / "out/picture.png") as image:
        assert image.size == (48, 40)


def make_bomb(path):
    """A PNG of 30,000 x 30,000 pixels by its header."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunks = b"IHDR" + header, b"IDAT" + zlib.compress(b"\0" * 1000), b"IEND"
    parts = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def make_missing(path):
    pass


def make_folder(path):
    path.mkdir()


def make_text(path):
    path.write_text("this is no picture\n" * 50)


def make_truncated_jpeg(path):
    pixels = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    Image.fromarray(pixels).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:5000])


def make_empty(path):
    path.write_bytes(b"")


def make_one_pixel(path):
    Image.new("RGB", (1, 1), "red").save(path, "PNG")


def make_eight_pixels(path):
    Image.new("RGB", (8, 8), "red").save(path, "PNG")


PICTURES = {
    "missing": (make_missing, "there is no file"),
    "folder": (make_folder, "is a folder"),
    "text": (make_text, "not a picture"),
    "truncated-jpeg": (make_truncated_jpeg, "truncated"),
    "0-bytes": (make_empty, "0 bytes"),
    "bomb": (make_bomb, "900,000,000 pixels"),
}
TOO_SMALL = {
    "1x1": (make_one_pixel, "1 x 1 pixels, the layers of minivgg need at least 32 x 32"),
    "8x8": (make_eight_pixels, "8 x 8 pixels, the layers of minivgg need at least 32 x 32"),
}


def words_of(kinds):
    return pytest.mark.parametrize(("make", "words"), kinds.values(), ids=kinds)


@pytest.mark.parametrize("role", ["content", "painted"])
@words_of(PICTURES | TOO_SMALL)
def test_pictures(style, tmp_path, make, words, role):
    path = tmp_path / "bad.jpg"
    make(path)
    code, stderr = style(**{role: path})
    assert (code, words in stderr, "bad.jpg" in stderr) == (1, True, True), stderr


@words_of(PICTURES)
def test_pictures_to_start_from(style, tmp_path, make, words):
    path = tmp_path / "bad.jpg"
    make(path)
    code, stderr = style("--init", path)
    assert (code, words in stderr, "bad.jpg" in stderr) == (1, True, True), stderr


OPTIONS = {
    "unknown-layer": (1, "no layer named 'relu9_9'; the layers are", "--content-layers=relu9_9"),
    "unknown-style-layer": (1, "no layer named 'nix'", "--style-layers=relu1_1,nix"),
    "whole-picture-layer": (1, "fc5", "--content-layers=fc5"),
    "layer-twice": (2, "'relu1_1,relu1_1:2' is not layers, each once",
                    "--style-layers=relu1_1,relu1_1:2"),
    "layer-empty": (2, "'relu1_1,,relu2_1' is not layers", "--style-layers=relu1_1,,relu2_1"),
    "layer-weight-negative": (2, "weights that are not negative", "--style-layers=relu1_1:-1"),
    "layer-weight-nan": (2, "'relu1_1:nan' is not layers", "--content-layers=relu1_1:nan"),
    "all-weights-0": (1, "nothing to minimise", "--content-weight=0", "--style-weight=0",
                      "--tv-weight=0"),
    "layer-weights-0": (1, "weight other than 0", "--style-layers=relu1_1:0"),
    "content-negative": (2, "'-1' is not a finite number", "--content-weight=-1"),
    "style-nan": (2, "'nan' is not a finite number", "--style-weight=nan"),
    "tv-infinite": (2, "'inf' is not a finite number", "--tv-weight=inf"),
    "tv-word": (2, "'much' is not a finite number", "--tv-weight=much"),
    "iterations-0": (2, "'0' is not a whole number of at least 1", "--iterations=0"),
    "iterations-half": (2, "'2.5' is not a whole number", "--iterations=2.5"),
    "size-0": (2, "'0' is not a whole number", "--size=0"),
    "size-too-large": (2, "'100000' is not a whole number from 1 to 10000", "--size=100000"),
    "size-too-small": (1, "use --size 39 or more", "--size=20"),
    "style-size-too-small": (1, "use --style-size 40 or more", "--style-size=38"),
    "style-scale-0": (2, "'0' is not a positive", "--style-scale=0"),
    "seed-negative": (2, "'-1' is not a whole number", "--seed=-1"),
    "optimizer": (2, "invalid choice: 'newton'", "--optimizer=newton"),
    "rate-of-lbfgs": (1, "lbfgs-device takes no learning rate", "--learning-rate=1"),
    "pairs-0": (2, "'0' is not a whole number of at least 1", "--pairs=0"),
    "pairs-of-adam": (1, "adam remembers no pairs", "--optimizer=adam", "--pairs=5"),
    "rate-negative": (2, "is not a positive", "--optimizer=adam", "--learning-rate=-1"),
    "pool": (2, "invalid choice", "--pool=median"),
    "device": (1, "no device 'gpu'; use auto, cpu, cuda", "--device=gpu"),
    "engine": (2, "invalid choice: 'steam' (choose from 'auto', 'explicit'", "--engine=steam"),
    "threads": (2, "whole number", "--threads=0"),
    "unknown-option": (2, "no option --brush; did you mean", "--brush=7"),
    "abbreviated-option": (2, "no option --iter; did you mean", "--iter=7"),
    "save-every": (2, "whole number", "--save-every=0"),
    "sheet-is-output": (1, "already to be written", "--sheet=out/picture.png"),
    "sheet-kind": (1, "unknown suffix", "--sheet=out/sheet.doc"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("code", "words", "options"),
    [(code, words, options) for code, words, *options in OPTIONS.values()],
    ids=OPTIONS,
)
def test_options(style, code, words, options):
    found, stderr = style(*options)
    assert (found, words in stderr) == (code, True), stderr


@pytest.mark.smoke
def test_unknown_network(good, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    pictures = [str(good / "content.png"), str(good / "style.png")]
    assert main(["style", *pictures, "-o", "o.png", "--network", "vgg99"]) == 1
    assert "no network named 'vgg99'; the networks are vgg16, vgg19" in capfd.readouterr().err
    assert main(["style", *pictures, "-o", "o.png", "--network", "vgg19"]) == 1
    assert "without weights of vgg19; give --weights FILE" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_output_exists(style, tmp_path):
    (tmp_path / "out/picture.png").write_bytes(b"precious")
    code, stderr = style()
    assert (code, "exists already" in stderr) == (1, True)
    assert style("--force")[0] == 0
    assert (tmp_path / "out/picture.png").read_bytes() != b"precious"


@pytest.mark.parametrize("name", ["out/picture-0001.png", "sheet.png"])
def test_another_output_exists(style, tmp_path, name):
    (tmp_path / name).write_bytes(b"precious")
    code, stderr = style("--iterations", 3, "--save-every", 1, "--sheet", "sheet.png")
    assert (code, "exists already" in stderr) == (1, True)


def test_output_is_an_input(style, good, tmp_path):
    mine = tmp_path / "mine.png"
    mine.write_bytes((good / "content.png").read_bytes())
    code, stderr = style("--force", content=mine, out="mine.png")
    assert (code, "it is an input of this run" in stderr) == (1, True)


OUTPUTS = {
    "no-folder": ("nowhere/picture.png", "there is no folder 'nowhere'"),
    "folder": ("out", "is a folder"),
    "suffix": ("out/picture.doc", "unknown suffix '.doc'"),
    "no-suffix": ("out/picture", "unknown suffix"),
}


@pytest.mark.smoke
@pytest.mark.parametrize(("out", "words"), OUTPUTS.values(), ids=OUTPUTS)
def test_output(style, out, words):
    code, stderr = style(out=out)
    assert (code, words in stderr) == (1, True), stderr


def test_unwritable_folder(style, tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    out = "locked/picture.png"
    if os.geteuid() == 0:  # nothing is locked for root, but not even root writes here
        out = "/proc/picture.png"
    folder.chmod(0o500)
    code, stderr = style(out=out)
    folder.chmod(0o700)
    assert (code, "cannot write" in stderr) == (1, True), stderr


def bad_weights(kind, good, path):
    """Write a bad weight file and return its path."""
    data = (good / "minivgg.h5").read_bytes()
    if kind == "missing":
        return path
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("no weights\n" * 100)
    elif kind == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif kind == "other-network":
        minicnn.save(minicnn.build("squeezenet"), path)
    else:
        path.write_bytes(data)
        with h5py.File(path, "r+") as file:
            if kind == "nan":
                file["conv2_1/weight"][3, 2, 1, 0] = np.nan
            elif kind == "shape":
                del file["conv2_1/weight"]
                file["conv2_1/weight"] = np.zeros((64, 32, 5, 5), np.float32)
            elif kind == "no-layer":
                del file["conv3_1"]
            elif kind == "foreign":
                del file.attrs["format"]
    return path


WEIGHTS = {
    "missing": "there is no such file",
    "folder": "bad.h5",
    "empty": "bad.h5",
    "text": "bad.h5",
    "truncated": "bad.h5",
    "other-network": "holds weights of squeezenet, not of minivgg",
    "nan": "layer conv2_1: weight has 1 values that are NaN",
    "shape": "layer conv2_1: weight is (64, 32, 5, 5), minivgg wants (64, 32, 3, 3)",
    "no-layer": "layer conv3_1: weight is missing",
    "foreign": "not a weight file of minicnn",
}


@pytest.mark.parametrize(("kind", "words"), WEIGHTS.items(), ids=WEIGHTS)
def test_weights(style, good, tmp_path, kind, words):
    path = bad_weights(kind, good, tmp_path / "bad.h5")
    code, stderr = style("--network", "minivgg", weights=path)
    assert (code, words in stderr) == (1, True), stderr


def test_rerun_of_what_minicnn_has_not_made(good, tmp_path, capfd):
    assert main(["rerun", str(good / "content.png"), "-o", str(tmp_path / "new.png")]) == 1
    assert "carries no minicnn metadata" in capfd.readouterr().err
    assert main(["rerun", str(tmp_path / "none.png")]) == 1
    assert "there is no file" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


TAMPERED = {
    "verb": ({"settings": None}, "the settings are not those"),
    "unknown": ({"brush": 7}, "the settings are not those"),
    "gone": ({"carry": True}, "the setting carry = True is no longer there; use minicnn style"),
    "no-picture": ({"content": ""}, "the settings are not those"),
    "type": ({"size": "large"}, "the setting size = 'large' makes no sense"),
    "layers": ({"style_layers": {"relu1_1": "much"}}, "the setting style_layers"),
    "range": ({"iterations": 0}, "use a whole number of at least 1"),
    "device": ({"device": "gpu"}, "no device 'gpu'"),
}


@pytest.mark.parametrize(("change", "words"), TAMPERED.values(), ids=TAMPERED)
def test_rerun_of_settings_that_make_no_sense(style, tmp_path, capfd, change, words):
    assert style()[0] == 0
    metadata = read_metadata(tmp_path / "out/picture.png")
    metadata["settings"].update(change)
    if "content" in change:
        del metadata["settings"]["content"]
    if None in change.values():
        metadata["settings"] = None
    path = tmp_path / "changed.png"
    save_image(path, np.zeros((9, 9, 3), np.uint8), metadata=metadata)
    assert main(["rerun", str(path), "-o", "new.png"]) == 1
    stderr = capfd.readouterr().err
    assert (stderr.count("\n"), words in stderr) == (1, True), stderr
    assert not (tmp_path / "new.png").exists()


def test_rerun_with_a_setting_that_is_gone_and_changed_nothing(style, tmp_path, capfd):
    assert style()[0] == 0
    pixels, _ = load_image(tmp_path / "out/picture.png")
    metadata = read_metadata(tmp_path / "out/picture.png")
    metadata["settings"]["carry"] = False
    path, again = tmp_path / "changed.png", tmp_path / "again.png"
    save_image(path, pixels, metadata=metadata)
    assert main(["rerun", str(path), "-o", str(again)]) == 0
    np.testing.assert_array_equal(load_image(again).pixels, pixels)
    assert "carry" not in read_metadata(again)["settings"]


def test_rerun_of_another_verb(tmp_path, capfd):
    path = tmp_path / "other.png"
    save_image(path, np.zeros((9, 9, 3), np.uint8), metadata={"verb": "texture"})
    assert main(["rerun", str(path)]) == 1
    assert "the settings in" in capfd.readouterr().err


@pytest.mark.smoke
def test_no_verb_and_unknown_verb(capfd):
    assert main([]) == 2
    assert main(["paint"]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "invalid choice: 'paint'" in lines[1]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["rerun", "none.png"], 1, "no file 'none.png'"),
        (["models", "--lines"], 2, "no option --lines"),
        (["paint"], 2, "invalid choice"),
    ],
)
def test_an_error_is_an_object_too(tmp_path, monkeypatch, capfd, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--json"]) == code
    stdout, stderr = capfd.readouterr()
    found = json.loads(stdout)
    assert found["event"] == "error"
    assert words in found["message"]
    assert stderr.endswith(f": error: {found['message']}\n")
    assert main(arguments) == code
    assert capfd.readouterr().out == ""
