"""Networks that end before their architecture does: files without a classifier, and --until."""

import foreign_files as write
import h5py
import numpy as np
import pytest
from PIL import Image
from test_convert_networks import (
    CONVS,
    KERAS_VGG19,
    TORCHVISION_VGG19,
    narrow_networks,  # noqa: F401 - a fixture, for all tests here
    random_layers,
    renamed,
    save_torch,
    state_dict,
)

from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.methods.classes.scores import scores_layer
from minicnn.network import build, folding
from minicnn.network.architectures import CAFFE, TORCHVISION
from minicnn.weights import checkpoint
from minicnn.weights.conversion import convert_file

# {what: (file name, writer(path, layers), preprocessing)}, as such files are found
FILES = {
    "vgg_conv": ("vgg_conv.pth", lambda p, L: save_torch(p, state_dict(L, CONVS)), CAFFE),
    "features": (
        "vgg19.pth",
        lambda p, L: save_torch(p, state_dict(L, TORCHVISION_VGG19[:16]), legacy=True),
        TORCHVISION,
    ),
    "normalised": (
        "vgg_normalised.caffemodel",
        lambda p, L: write.caffemodel(p, L, version=1),
        CAFFE,
    ),
    "caffe-v2": ("a.caffemodel", lambda p, L: write.caffemodel(p, L), CAFFE),
    "notop": (
        "vgg19_notop.h5",
        lambda p, L: write.keras2(p, renamed(L, KERAS_VGG19[:16]), old=True),
        CAFFE,
    ),
    "notop-3": (
        "a.weights.h5",
        lambda p, L: write.keras3(p, renamed(L, KERAS_VGG19[:16])),
        CAFFE,
    ),
    "npy": ("a.npy", lambda p, L: write.npy_dict(p, L), CAFFE),
}


@pytest.fixture
def vgg():
    """The layers of a narrow VGG-19, and those of its convolutions."""
    layers, net, _ = random_layers("vgg19")
    return layers, {name: layers[name] for name in CONVS}, net


@pytest.mark.parametrize("what", FILES)
def test_files_without_a_classifier(what, vgg, tmp_path, rng):
    (name, writer, preprocess), (_, convs, whole) = FILES[what], vgg
    writer(tmp_path / name, convs)
    net = convert_file(tmp_path / name, "vgg19")
    assert (net.layers[-1], net.attrs["last"], net.attrs["classes"]) == ("pool5", "pool5", None)
    assert net.attrs["note"].startswith("the file has no fc6, fc7, fc8: converted up to pool5")
    assert net.attrs["left_out"] == []
    assert net.attrs["preprocess"] == preprocess
    assert list(net.params) == [key for key in whole.params if key.startswith("conv")]
    for key, array in net.params.items():
        np.testing.assert_array_equal(array, whole.params[key], err_msg=key)
    checkpoint.save(net, tmp_path / "ours.h5")
    found = checkpoint.load(tmp_path / "ours.h5", pool="average")
    assert found.layers == net.layers
    assert checkpoint.verify(tmp_path / "ours.h5")["last_layer"] == "pool5"
    x = rng.standard_normal((1, 3, 64, 64)).astype("f4")
    same = checkpoint.load(tmp_path / "ours.h5").forward(x, ["pool5"])["pool5"]
    np.testing.assert_array_equal(same, whole.forward(x, ["pool5"])["pool5"])


def test_style_works_with_it_and_classify_says_why_not(vgg, tmp_path, rng, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    save_torch(tmp_path / "vgg_conv.pth", state_dict(vgg[1], CONVS))
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(name)
    assert main(["weights", "convert", "vgg_conv.pth", "--network", "vgg19", "-o", "vgg.h5"]) == 0
    said = capfd.readouterr()
    assert "last_layer       pool5" in said.out
    assert "the file has no fc6, fc7, fc8: converted up to pool5" in said.err
    command = ["style", "a.png", "b.png", "-o", "out.png", "--weights", "vgg.h5", "--size", "64"]
    assert main([*command, "--iterations", "1", "--network", "vgg19"]) == 0
    assert main(["rerun", "out.png", "-o", "again.png"]) == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "out.png").read_bytes()
    capfd.readouterr()
    for verb in (["classify", "a.png"], ["saliency", "a.png", "-o", "map.png"]):
        assert main([*verb, "--weights", "vgg.h5"]) == 1
        said = capfd.readouterr()
        assert said.err.count("\n") == 1
        assert "this vgg19 ends at pool5: its weight file goes no further" in said.err


def test_until_leaves_out_what_is_behind(vgg, tmp_path):
    layers, _, whole = vgg
    save_torch(tmp_path / "a.pth", state_dict(layers, TORCHVISION_VGG19))
    net = convert_file(tmp_path / "a.pth", "vgg19", until="relu4_2")
    assert net.layers == whole.layers[: whole.layers.index("relu4_2") + 1]
    assert net.attrs["left_out"][0] == "features.23.weight"
    assert net.attrs["left_out"][-1] == "classifier.6.bias"
    checkpoint.save(net, tmp_path / "a.h5")
    assert checkpoint.load(tmp_path / "a.h5").layers == net.layers
    assert "note" not in net.attrs
    whole = convert_file(tmp_path / "a.pth", "vgg19", until="prob")
    assert whole.attrs["last"] is None
    assert scores_layer(whole) == "fc8"
    hidden = convert_file(tmp_path / "a.pth", "vgg19", until="relu7")
    checkpoint.save(hidden, tmp_path / "b.h5")
    assert checkpoint.info(tmp_path / "b.h5")["outputs"] == 24
    with pytest.raises(MinicnnError, match="this vgg19 ends at relu7"):
        scores_layer(checkpoint.load(tmp_path / "b.h5"))
    with pytest.raises(MinicnnError, match="no layer 'relu6_1' in vgg19; its layers are conv1_1,"):
        convert_file(tmp_path / "a.pth", "vgg19", until="relu6_1")


@pytest.mark.parametrize(
    ("missing", "advice"),
    [("conv3_2", "relu3_1"), ("fc7", "relu6"), ("fc8", "relu7"), ("conv5_4", "relu5_3")],
)
def test_other_gaps_are_errors_that_say_how_far_the_file_goes(missing, advice, vgg, tmp_path):
    layers = {name: own for name, own in vgg[0].items() if name != missing}
    save_torch(tmp_path / "a.pth", state_dict(layers, list(layers)))
    with pytest.raises(MinicnnError, match=f"layer {missing} .*; --until {advice} converts"):
        convert_file(tmp_path / "a.pth", "vgg19")
    assert convert_file(tmp_path / "a.pth", "vgg19", until=advice).attrs["last"] == advice


def test_a_file_with_a_part_of_the_convolutions_needs_until(vgg, tmp_path):
    """One that goes to relu4_1, as those of feed-forward style transfer do."""
    some = dict(list(vgg[1].items())[: CONVS.index("conv4_1") + 1])
    save_torch(tmp_path / "a.pth", state_dict(some, list(some)))
    with pytest.raises(MinicnnError, match=r"layer conv4_2 needs .* --until relu4_1 converts"):
        convert_file(tmp_path / "a.pth", "vgg19")
    assert convert_file(tmp_path / "a.pth", "vgg19", until="relu4_1").layers[-1] == "relu4_1"


@pytest.mark.parametrize("classifier", [True, False])
def test_vgg19_is_no_vgg16(classifier, vgg, tmp_path):
    """All layers of VGG-16 are in it, under the same names: the rest must not go in silence."""
    layers = vgg[0] if classifier else vgg[1]
    save_torch(tmp_path / "a.pth", state_dict(layers, list(layers)))
    with pytest.raises(MinicnnError, match=r"more layers than vgg16 \(conv3_4.bias, .*like vgg19"):
        convert_file(tmp_path / "a.pth", "vgg16")


def test_squeezenet_without_its_last_convolution(tmp_path):
    net = build.build("squeezenet1_1")
    arrays = {key: a for key, a in net.params.items() if not key.startswith("conv10")}
    np.savez(tmp_path / "a.npz", **arrays)
    found = convert_file(tmp_path / "a.npz", "squeezenet1_1")
    assert found.layers[-1] == "fire9/concat"
    assert "has no conv10: converted up to fire9/concat" in found.attrs["note"]


def test_our_own_files_are_cut_and_folded(tmp_path, rng):
    net = build.build("minivgg-bn")
    for key, array in net.params.items():
        if not key.endswith("weight"):
            array += rng.uniform(0.1, 1, array.shape).astype("f4")
    checkpoint.save(net, tmp_path / "a.h5")
    cut = convert_file(tmp_path / "a.h5", "minivgg-bn", until="bn3_1")
    checkpoint.save(cut, tmp_path / "b.h5")
    folded = folding.fold_batch_norm(checkpoint.load(tmp_path / "b.h5"))
    assert (folded.layers[-1], folded.attrs["last"]) == ("conv3_1", "conv3_1")
    checkpoint.save(folded, tmp_path / "c.h5")
    x = rng.standard_normal((1, 3, 64, 64)).astype("f4")
    found = checkpoint.load(tmp_path / "c.h5").forward(x, ["conv3_1"])["conv3_1"]
    expected = net.forward(x, ["bn3_1"])["bn3_1"]
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize(
    ("value", "message"),
    [("relu9", "no layer 'relu9' in vgg19"), (7, "no layer 7 in vgg19")],
)
def test_a_last_layer_that_is_not_there(value, message, vgg, tmp_path):
    save_torch(tmp_path / "a.pth", state_dict(vgg[1], CONVS))
    checkpoint.save(convert_file(tmp_path / "a.pth", "vgg19"), tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file.attrs["last_layer"] = value
    with pytest.raises(MinicnnError, match=message) as caught:
        checkpoint.load(tmp_path / "a.h5")
    assert "\n" not in str(caught.value)


def test_wrong_usage_of_the_options_is_one_line(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    command = ["weights", "convert", "x.pth", "--network", "vgg19", "-o", "a.h5"]
    assert main([*command, "--eps", "1e-4"]) == 2
    assert "--eps is the epsilon of the batch normalisations that --fold" in capfd.readouterr().err
    assert main([*command, "--fold", "--eps", "-1"]) == 2
    assert "'-1' is not a finite number that is not negative" in capfd.readouterr().err
    assert main([*command, "--until", "relu9_9"]) == 1
    assert "no layer 'relu9_9' in vgg19; its layers are" in capfd.readouterr().err
