"""The verb `classify`: classes of pictures, in order; bad pictures named and counted."""

import json

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn.cli import main
from minicnn.methods.classes import classify
from minicnn.network import build
from minicnn.pictures.arrays import centre, preprocess
from minicnn.runs.inputs import load_network
from minicnn.weights.conversion import convert_file

NAMES = ["ash", "beech", "crab apple"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A minivgg with three classes that have names."""
    path = tmp_path_factory.mktemp("weights") / "minivgg.h5"
    net = build.build("minivgg", seed=0, classes=len(NAMES))
    net.attrs["classes"] = NAMES
    minicnn.save(net, path)
    return path


@pytest.fixture
def folder(tmp_path, rng, monkeypatch):
    """The current folder, with two pictures and two files that are none."""
    monkeypatch.chdir(tmp_path)
    for name, shape in (("a.png", (80, 96, 3)), ("b.png", (50, 70, 3))):
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(name)
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    return tmp_path


@pytest.fixture
def run(folder, weights, capfd):
    """Run `minicnn classify`; return (code, stdout, stderr)."""

    def run(*arguments, net=("--weights", weights)):
        code = main(["classify", *map(str, (*arguments, *net))])
        return (code, *capfd.readouterr())

    return run


def expected(weights, path):
    """The probabilities of the classes, by the layers themselves."""
    net = minicnn.load(weights)
    x = preprocess(centre(np.asarray(Image.open(path)), 64), net.attrs["preprocess"])
    return net.forward(x, ["prob"])["prob"][0, :, 0, 0]


def test_classes_come_in_the_order_of_their_probability(run, weights):
    code, out, err = run("a.png")
    assert (code, err) == (0, "")
    p = expected(weights, "a.png")
    lines = out.splitlines()
    assert lines[0] == "a.png:"
    for line, i in zip(lines[1:], np.argsort(-p), strict=True):
        percent, rest = line.strip().split("%")
        assert float(percent) / 100 == pytest.approx(p[i], abs=1e-5)
        assert rest.split()[:-2] == NAMES[i].split()
        assert int(rest.split()[-2]) == i


def test_the_pooling_of_choice_is_used(run):
    given, own = (run("a.png", "--json", *pool)[1] for pool in (("--pool", "average"), ()))
    assert json.loads(given)["classes"][0]["score"] != json.loads(own)["classes"][0]["score"]


def test_json_gives_a_line_for_every_picture(run, weights):
    code, out, _ = run("a.png", "b.png", "--top", 1, "--json")
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["image"] for line in lines] == ["a.png", "b.png"]
    for line in lines:
        p = expected(weights, line["image"])
        (first,) = line["classes"]
        assert first["class"] == p.argmax()
        assert first["name"] == NAMES[p.argmax()]
        assert first["probability"] == pytest.approx(p.max(), abs=1e-5)


@pytest.mark.parametrize("as_json", [False, True])
def test_bad_pictures_are_named_and_counted_after_the_good_ones(run, as_json):
    images = ("text.png", "a.png", "missing.png", "empty.png", ".", "b.png")
    code, out, err = run(*images, *(["--json"] if as_json else []))
    assert code == 1
    for name in ("'text.png'", "'missing.png'", "'empty.png'", "'.' is a folder"):
        assert name in err
    assert err.splitlines()[-1] == "minicnn: error: 4 of 6 pictures could not be classified"
    if as_json:
        events = [json.loads(line) for line in out.splitlines()]
        assert [e["event"] for e in events] == ["error", "result", *["error"] * 3, "result"]
        assert [e["image"] for e in events] == list(images)
    else:
        assert "a.png:" in out
        assert "b.png:" in out


def test_what_was_done_to_a_picture_is_said(run, folder):
    Image.new("RGBA", (80, 80), (255, 0, 0, 99)).save("c.png")
    assert "c.png: transparent parts composited on white" in run("c.png")[2]


def test_a_network_without_class_names_says_so(run):
    code, out, err = run("a.png", net=("--network", "minivgg", "--weights", "random"))
    assert code == 0
    assert "this minivgg has no class names: classes go by their numbers" in err
    assert "random weights: the classes mean nothing" in err
    assert out.count("class ") == 5


def test_pooling_is_that_of_the_training(weights):
    """Style transfer pools by the mean, which a classifier was not trained with."""
    assert load_network(weights=weights, pool="average").attrs["pool"] == "average"
    for pool in (None, "own"):
        assert load_network(weights=weights, pool=pool).attrs["pool"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "required: IMAGE"),
        (("a.png", "--top", "0"), 2, "at least 1"),
        (("a.png", "--side", "63"), 1, "a side of 63 is too small: the network's input has 64"),
        (("a.png", "--network", "vgg20"), 1, "holds weights of minivgg, not of vgg20"),
        (("a.png", "--network", "vgg19"), 1, "holds weights of minivgg, not of vgg19"),
        (("a.png", "--engine", "slow"), 2, "invalid choice: 'slow'"),
    ],
)
def test_bad_requests_get_one_clear_line(run, arguments, code, message):
    found, out, err = run(*arguments)
    assert (found, out) == (code, "")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("name", "shape", "cut"),
    [
        ("squeezenet", (256, 256), np.s_[14:241, 14:241]),
        ("squeezenet", (256, 301), np.s_[14:241, 36:263]),
        ("vgg19", (300, 256), np.s_[38:262, 16:240]),
        ("minivgg", (64, 80), np.s_[:, 8:72]),
    ],
)
def test_the_cut_is_the_centre(name, shape, cut, rng):
    net = build.skeleton(name)
    rgb = rng.integers(0, 256, (*shape, 3), np.uint8)
    x = classify.network_input(rgb, net)
    np.testing.assert_array_equal(x, preprocess(rgb[cut], net.attrs["preprocess"]))


def test_a_converted_network_has_names_and_knows_a_panda(shared_data, folder, capfd):
    import h5py

    net = convert_file(shared_data / "squeezenet" / "compressed_SqueezeNet.net", "squeezenet")
    minicnn.save(net, "squeezenet.h5")
    with h5py.File(shared_data / "squeezenet" / "squeezenet_v1.0_oracle.h5") as file:
        Image.fromarray(file["input_rgb_uint8"][1]).save("panda.png")
    command = ["classify", "panda.png", "--weights", "squeezenet.h5", "--side", "227"]
    assert main([*command, "--top", "1", "--json"]) == 0
    (first,) = json.loads(capfd.readouterr().out)["classes"]
    assert (first["class"], first["name"]) == (388, "giant panda")
    assert first["probability"] > 0.99
