"""What torch exports as ONNX, read by us: against torch, and against onnxruntime."""

import numpy as np
import onnx_files as write
import pytest
from onnx_models import NAMES, SHAPE, models

import minicnn
from minicnn.cli import main
from minicnn.network.layers import Add
from minicnn.weights.conversion import convert_graph


@pytest.fixture(params=NAMES)
def exported(request, tmp_path):
    """A module of torch, ready to be asked, and its file."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    model, opset = models()[request.param]
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for array in (module.weight, module.bias, module.running_mean, module.running_var):
                torch.nn.init.uniform_(array, 0.5, 1.5)
    write.exported(tmp_path / "a.onnx", model, SHAPE, opset_version=opset)
    return model.eval(), tmp_path / "a.onnx"


def assert_close(found, expected, share):
    """Compare to a share of the largest value."""
    largest = np.abs(expected).max()
    np.testing.assert_allclose(found, expected.reshape(found.shape), atol=share * largest, rtol=0)


def output(net, x):
    return net.forward(x, net.layers[-1:])[net.layers[-1]]


def test_values_and_gradients_are_torchs(exported, rng):
    torch = pytest.importorskip("torch")
    model, path = exported
    minicnn.save(convert_graph(path, preprocess="torchvision"), path.with_suffix(".h5"))
    net = minicnn.load(path.with_suffix(".h5"))
    assert net.input_shape == SHAPE
    x = rng.standard_normal((2, *SHAPE), dtype="float32")
    given = torch.from_numpy(x).requires_grad_()
    theirs = model(given)
    ours = output(net, x)
    assert_close(ours, theirs.detach().numpy(), 1e-5)
    dy = rng.standard_normal(ours.shape, dtype="float32")
    theirs.backward(torch.from_numpy(dy.reshape(theirs.shape)))
    assert_close(net.backward({net.layers[-1]: dy}), given.grad.numpy(), 1e-5)


def of_onnxruntime(path, x):
    """Return what onnxruntime makes of pictures."""
    runtime = pytest.importorskip("onnxruntime", reason="no onnxruntime here: pip install it")
    runtime.set_default_logger_severity(3)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def test_values_are_those_of_onnxruntime(exported, rng):
    _, path = exported
    x = rng.standard_normal((1, *SHAPE), dtype="float32")
    expected = of_onnxruntime(path, x)
    assert_close(output(convert_graph(path, preprocess="torchvision"), x), expected, 1e-4)


def test_names_are_those_of_the_modules(tmp_path):
    write.exported(tmp_path / "a.onnx", models()["residual"][0], SHAPE)
    net = convert_graph(tmp_path / "a.onnx", preprocess="torchvision")
    assert net.layers[:3] == ["stem/Conv", "Relu", "conv1/Conv"]
    assert isinstance(net.layer("Add"), Add)
    assert net.attrs["name"] == "a"


def test_by_the_command(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write.exported(tmp_path / "vgg16.onnx", models()["norms"][0], SHAPE)
    command = ["weights", "convert", "vgg16.onnx", "-o", "a.h5"]
    assert main(command) in (1, 2)
    assert "does not say how its pictures are prepared: give --preprocess" in capfd.readouterr().err
    assert main(["weights", "convert", "none.onnx", "-o", "a.h5"]) == 1
    assert "cannot read none.onnx" in capfd.readouterr().err
    assert main([*command, "--preprocess", "tf", "--until", "1/Conv"]) == 0
    assert "vgg16-onnx" in capfd.readouterr().out
    net = minicnn.load("a.h5")
    assert net.layers[-1] == "1/Conv"
    assert net.attrs["preprocess"]["scale"] == 2 / 255
    assert main([*command, "--preprocess", "tf", "--eps", "1", "--fold", "--force"]) == 2
    assert "leave out --eps, --order" in capfd.readouterr().err
