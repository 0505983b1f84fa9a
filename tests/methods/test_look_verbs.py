"""What the verbs that look at pictures and classes share: examples, reruns, files, bad input."""

import shutil

import pytest

import minicnn
from minicnn.cli import main
from minicnn.cli.register import verb_of
from minicnn.pictures.lettering import DARK
from minicnn.pictures.reader import load_image
from minicnn.pictures.writer import read_metadata
from minicnn.weights import checkpoint

DECONV = ("--layer", "relu3_3", "-o", "out.png")
QUICK = ("--window", "32", "--step", "32", "-o", "out.png")
MODEL = ("--class", "7", "--noise", "9", "--iterations", "2", "-o", "out.png")
VERBS = {
    "deconv": DECONV,
    "saliency": ("-o", "out.png"),
    "attribute": ("--method", "vargrad", "--samples", "2", "-o", "out.png"),
    "fool": ("-o", "out.png"),
    "occlusion": QUICK,
    "class-model": MODEL,
}


@pytest.mark.parametrize("verb", VERBS)
def test_the_example_works_with_the_embedded_network(verb, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for line in verb_of(verb).example.strip().splitlines():
        words = line.split()
        if "--iterations" in words:
            words[words.index("--iterations") + 1] = "1"
        assert main(words[1:]) == 0
    told = read_metadata(words[words.index("-o") + 1])
    assert told["weights"]["sha256"] == checkpoint.weights_hash(minicnn.load("minivgg"))


@pytest.mark.parametrize("verb", VERBS)
def test_rerun_gives_the_same_bytes(command, verb, tmp_path):
    assert command(verb, *VERBS[verb])[0] == 0
    (tmp_path / "picture.png").rename(tmp_path / "moved.png")
    shutil.copy(tmp_path / "moved.png", tmp_path / "picture.png")
    (tmp_path / "first.png").write_bytes((tmp_path / "out.png").read_bytes())
    code = main(["rerun", "first.png", "-o", "again.png"])
    assert code == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "first.png").read_bytes()


def test_sheets_are_dark_where_wanted_and_what_is_fed_back_is_never_enlarged(command, tmp_path):
    assert command("fool", "-o", "out.png", "--sheet", "sheet.png", "--dark")[0] == 0
    assert load_image("out.png").pixels.shape == (64, 64, 3)
    sheet = load_image("sheet.png").pixels
    assert (sheet[[0, -1]] == DARK.ground).all()
    assert (sheet == DARK.ink).all(axis=2).any()


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_is_overwritten_unasked(command, verb, tmp_path):
    (tmp_path / "out.png").write_text("mine")
    code, _, stderr = command(verb, *VERBS[verb])
    assert code == 1
    assert "'out.png' exists already" in stderr
    (tmp_path / "a.npz").write_text("mine")
    code, _, stderr = command(verb, *VERBS[verb][:-1], "new.png", "--npz", "a.npz")
    assert (code, (tmp_path / "a.npz").read_text()) == (1, "mine")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("deconv", *DECONV, "--unit", "200"), "no unit 200 in layer relu3_3; use 0 to 127"),
        (("deconv", *DECONV, "--unit", "-1"), "no unit -1 in layer relu3_3"),
        (("deconv", *DECONV, "--position", "16,0"), "no row 16 in layer relu3_3; use 0 to 15"),
        (("deconv", "--layer", "relu9", "-o", "out.png"), "no layer named 'relu9'; the layers are"),
        (("deconv", *DECONV, "--npz", "a.npy"), "unknown suffix '.npy'; use one of .npz"),
        (("deconv", *DECONV, "--npz", "no/a.npz"), "there is no folder 'no'"),
        (("deconv", *DECONV, "--overlay", "out.png"), "already to be written by this run"),
        (("deconv", "--layer", "relu1_1", "-o", "picture.png"), "it is an input of this run"),
        (("saliency", "-o", "out.png", "--class", "200"), "no class 200; use 0 to 199"),
        (("saliency", "-o", "out.png", "--class", "thing"), "200 classes have 'thing' in their"),
        (("saliency", "-o", "out.png", "--class", "dog"), "no class is called 'dog'"),
        (("occlusion", "-o", "out.png", "--window", "65"), "window = 65; use 1 to 64 pixels"),
        (("class-model", *MODEL, "--optimizer", "lbfgs", "--jitter", "2"), "use adam"),
        (("class-model", "--class", "x", "-o", "out.png"), "no class is called 'x'"),
        (("class-model", *MODEL, "--size", "4"), "pooling|window|fit"),
    ],
)
def test_bad_input_ends_in_one_line_and_writes_nothing(command, options, message, tmp_path):
    code, stdout, stderr = command(*options)
    assert (code, stdout, stderr.count("\n")) == (1, "", 1)
    assert any(part in stderr for part in message.split("|")), stderr
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("verb", ["saliency", "attribute", "fool", "occlusion", "class-model"])
def test_a_network_without_classes(command, verb, tmp_path, capfd):
    cut = "weights convert minivgg --network minivgg --until relu1_2 -o cut.h5"
    assert main(cut.split()) == 0
    capfd.readouterr()
    picture = [] if verb == "class-model" else ["picture.png"]
    assert main([verb, *picture, *VERBS[verb], "--weights", "cut.h5"]) == 1
    stdout, stderr = capfd.readouterr()
    assert (stdout, stderr.count("\n")) == ("", 1)
    assert "this minivgg ends at relu1_2" in stderr
    assert "it has no classes" in stderr
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("deconv", "-o", "out.png"), "required: --layer"),
        (("deconv", *DECONV, "--rule", "x"), "argument --rule: invalid choice: 'x'"),
        (("deconv", *DECONV, "--unit", "best"), "'best' is not max, max:9, a number from 0, or"),
        (("deconv", *DECONV, "--unit", "max:0"), "'max:0' is not max, max:9, a number"),
        (("deconv", *DECONV, "--position", "1"), "'1' is not max, all, or row,column as 3,4"),
        (("deconv", *DECONV, "--clip", "1"), "'1' is not a share from 0 to below 1"),
        (("saliency", "-o", "out.png", "--size", "9999"), "'9999' is not a whole number from 1 to"),
        (("occlusion", "-o", "out.png", "--unit", "x"), "'x' is not max or a number from 0"),
        (("occlusion", "-o", "out.png", "--grey", "256"), "'256' is not a level from 0 to 255"),
        (("class-model", "-o", "out.png"), "required: --class"),
    ],
)
def test_wrong_usage_exits_with_2_after_one_line(command, options, message, tmp_path):
    code, stdout, stderr = command(*options)
    assert (code, stdout, stderr.count("\n")) == (2, "", 1)
    assert message in stderr
    assert not (tmp_path / "out.png").exists()
