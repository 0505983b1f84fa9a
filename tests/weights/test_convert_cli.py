"""`minicnn weights convert`."""

import json

import h5py
import numpy as np
import pytest

import minicnn
from minicnn.cli import main
from minicnn.weights import checkpoint


@pytest.fixture(scope="module")
def packed(shared_data):
    return str(shared_data / "squeezenet" / "compressed_SqueezeNet.net")


def test_convert_then_classify_as_before(packed, shared_data, tmp_path, capfd):
    out = tmp_path / "squeezenet.h5"
    assert main(["weights", "convert", packed, "--network", "squeezenet", "-o", str(out)]) == 0
    said = capfd.readouterr().out
    assert "source_names     Deep Compression" in said
    assert checkpoint.verify(out)["channel_order"] == "BGR"
    net = minicnn.load(out)
    with h5py.File(shared_data / "squeezenet" / "squeezenet_v1.0_oracle.h5") as file:
        picture = file["input_rgb_uint8"][:1].astype("float32")
        x = (picture[..., ::-1] - np.float32([104, 117, 123])).transpose(0, 3, 1, 2)
        expected = file["logits"][:1]
    found = net.forward(x, ["pool10"], keep=False)["pool10"][:, :, 0, 0]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)


def test_json_is_one_object(packed, tmp_path, capfd):
    out = tmp_path / "squeezenet.h5"
    command = ["weights", "convert", packed, "--network", "squeezenet", "-o", str(out), "--json"]
    assert main(command) == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["architecture"], found["left_out"]) == ("squeezenet", [])
    assert found["source_file"] == "compressed_SqueezeNet.net"


@pytest.mark.smoke
def test_list(shared_data, capfd):
    path = str(shared_data / "weights" / "torch" / "mtcnn_pnet.legacy.pt")
    assert main(["weights", "convert", "--list", path]) == 0
    out = capfd.readouterr().out
    assert "conv2.weight    16 x 10 x 3 x 3  float32" in out
    assert out.endswith("format: pytorch-legacy\n")
    assert main(["weights", "convert", "--list", path, "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["arrays"]["conv2.bias"] == {"shape": [16], "dtype": "float32"}


def test_what_is_left_out_is_said(tmp_path, capfd):
    net = minicnn.build("minivgg", classes=3)
    np.savez(tmp_path / "a.npz", **net.params, mean_image=np.zeros(3))
    out = tmp_path / "out.h5"
    command = ["weights", "convert", str(tmp_path / "a.npz"), "--network", "minivgg", "-o"]
    assert main([*command, str(out)]) == 0
    said = capfd.readouterr()
    assert "left out 1 arrays of the file: mean_image" in said.err
    assert checkpoint.info(out)["outputs"] == 3
    assert main([*command, str(out)]) == 1
    assert "exists already" in capfd.readouterr().err
    assert main([*command, str(out), "--force", "--preprocess", "caffe"]) == 0
    assert checkpoint.info(out)["channel_order"] == "BGR"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["x.pth"], 2, "give --network NAME and -o OUT, or --list"),
        (["x.pth", "--network", "vgg19"], 2, "give --network NAME and -o OUT"),
        (["--list", "x.pth"], 1, "cannot read x.pth: No such file"),
        (["x.pth", "--network", "vgg19", "-o", "a.h5"], 1, "cannot read x.pth: No such file"),
        (["x.pth", "--network", "vgg", "-o", "a.h5"], 1, "no network named 'vgg'; the networks"),
        (["x.pth", "--network", "vgg19", "-o", "a.pth"], 1, "unknown suffix '.pth'; use one of"),
        (["x.pth", "--network", "vgg19", "-o", "no/a.h5"], 1, "there is no folder 'no'"),
    ],
)
def test_wrong_usage_is_one_line(arguments, code, message, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main(["weights", "convert", *arguments]) == code
    said = capfd.readouterr()
    assert said.out == ""
    assert message in said.err
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_does_not_fit_leaves_nothing_behind(shared_data, tmp_path, capfd):
    path = str(shared_data / "weights" / "torch" / "cifar_net_zip.pth")
    out = str(tmp_path / "a.h5")
    assert main(["weights", "convert", path, "--network", "vgg16", "-o", out]) == 1
    assert "has no layer of vgg16 under any name known for it" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []
