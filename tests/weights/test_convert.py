"""The readers: real files, and what PyTorch, h5py, SciPy and NumPy write."""

import importlib.util
from pathlib import Path

import foreign_files as write
import h5py
import numpy as np
import pytest

from minicnn.errors import MinicnnError
from minicnn.network.folding import fold_batch_norm
from minicnn.network.network import Network
from minicnn.storage.limits import Budget
from minicnn.weights import formats, norm_folding
from minicnn.weights.conversion import convert_file
from minicnn.weights.fit_arrays import parameters
from minicnn.weights.formats import deep_compression, mat5
from minicnn.weights.formats.names import Naming

TOOL = Path(__file__).parents[2] / "tools" / "small_networks.py"
SPEC = importlib.util.spec_from_file_location("small_networks", TOOL)
small_networks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(small_networks)

FORMATS = {
    "caffemodel/cifar10_full_v1.caffemodel": ("caffe", 8),
    "caffemodel/cifar10_quick_iter_4000": ("caffe", 10),
    "caffemodel/lenet_v2.caffemodel": ("caffe", 8),
    "caffemodel/mtcnn_det1.caffemodel": ("caffe", 13),
    "caffemodel_h5/cifar10_quick_iter_5000.caffemodel.h5": ("caffe-hdf5", 10),
    "keras/cifar10_keras224_full_model.h5": ("keras", 14),
    "keras/dncnn_sigma25_keras222_weights.h5": ("keras", 78),
    "keras/mnist_cnn_keras3.weights.h5": ("keras", 6),
    "keras/squeezenet_notop_keras2.h5": ("keras", 50),
    "mat/digits_lenet_v5.mat": ("matlab5", 8),
    "mat/dncnn_sigma25_simplenn_v73.mat": ("matlab7.3", 34),
    "npy/mtcnn_det1.npy": ("npy", 13),
    "npz/weights_plain.npz": ("npz", 4),
    "onnx/opt-mnist.onnx": ("onnx", 6),
    "safetensors/mnist_cnn.safetensors": ("safetensors", 4),
    "mxnet/mtcnn_det1-0001.params": ("mxnet", 13),
    "pickle/deep_convnet_params.pkl": ("pickle", 16),
    "t7/model.t7": ("torch7", 6),
    "torch/cifar_net_zip.pth": ("pytorch", 12),
    "torch/mtcnn_pnet.legacy.pt": ("pytorch-legacy", 13),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_real_file_is_told_by_its_content_and_read(name, shared_data):
    foreign = formats.read(shared_data / "weights" / name)
    assert (foreign.format, len(foreign.arrays)) == FORMATS[name]
    for array in foreign.arrays.values():
        assert array.dtype in (np.float32, np.float64)
        assert np.isfinite(array).all()


def test_keras_names_are_those_of_the_layers_not_of_the_variables(shared_data):
    """In this file fire2/expand1x1 holds fire2/expand1x1_3/kernel:0."""
    path = shared_data / "weights/keras/squeezenet_notop_keras2.h5"
    found = convert_file(path, "squeezenet1_1")
    assert (found.layers[-1], found.attrs["left_out"]) == ("fire9/concat", [])
    assert found.attrs["preprocess"]["channel_order"] == "BGR"
    for other in ("squeezenet", "vgg16"):  # which have none of its shapes, or of its names
        with pytest.raises(MinicnnError, match=r"; it fits --network squeezenet1_1$"):
            convert_file(path, other)


def test_a_real_file_in_theanos_order(shared_data):
    path = shared_data / "weights/keras/sr_2x_keras1_theano.h5"
    with pytest.raises(MinicnnError, match="give --order theano"):
        formats.read(path)
    kernel = formats.read(path, "theano").arrays["level1/kernel"]
    with h5py.File(path) as file:
        np.testing.assert_array_equal(kernel, file["level1/level1_W"][:][:, :, ::-1, ::-1])


@pytest.mark.parametrize("name", small_networks.ROWS)
def test_real_networks_compute_what_pytorch_computes_with_them(name, shared_data):
    assert small_networks.difference(shared_data / "weights", name) < 1e-5


def test_one_network_in_three_formats_is_the_same(shared_data):
    nets = {
        name: small_networks.build(shared_data / "weights", name).params
        for name in ("caffe-pnet", "npy-pnet", "torch-legacy-pnet")
    }
    for key, expected in nets["caffe-pnet"].items():
        np.testing.assert_array_equal(nets["npy-pnet"][key], expected)
        turned = expected.swapaxes(2, 3) if expected.ndim == 4 else expected
        np.testing.assert_array_equal(nets["torch-legacy-pnet"][key], turned)


def test_mxnet_has_the_same_network_for_rgb_and_turned(shared_data):
    folder = shared_data / "weights"
    mxnet = formats.read(folder / "mxnet/mtcnn_det1-0001.params").arrays
    caffe = formats.read(folder / "caffemodel/mtcnn_det1.caffemodel").arrays
    for name in ("conv1", "conv2", "conv3"):
        turned = caffe[f"{name}/0"].swapaxes(2, 3)
        turned = turned[:, ::-1] if name == "conv1" else turned
        np.testing.assert_array_equal(mxnet[f"{name}_weight"], turned)
        np.testing.assert_array_equal(mxnet[f"{name}_bias"], caffe[f"{name}/1"])


def test_the_batch_normalisations_of_a_real_network_fold(shared_data):
    folder = shared_data / "weights"
    net = small_networks.build(folder, "keras2-dncnn")
    folded = fold_batch_norm(net)
    assert not any("gamma" in key for key in folded.params)
    with h5py.File(folder / "reference_outputs.h5") as file:
        x, expected = file["dncnn_input"][:][None, None], file["keras/dncnn_sigma25_keras222"][:]
    found = small_networks.output(folded, x)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)


def test_the_file_of_that_network_folds_without_its_architecture(shared_data):
    """As `weights convert --fold --eps 1e-4` does: the weights alone do not tell the epsilon."""
    folder = shared_data / "weights"
    row = small_networks.ROWS["keras2-dncnn"]
    foreign, folded = norm_folding.fold(formats.read(folder / row.file), eps=1e-4)
    assert folded["bn4"] == ("conv3", 1e-4)
    assert folded["bn46"] == ("conv45", 1e-4)
    assert len(folded) == 15
    places = {"conv1": "conv1", **{f"conv{i}": f"conv{3 * i - 3}" for i in range(2, 18)}}
    foreign.arrays["conv48/bias"] = np.zeros(1, "f4")
    names = {
        f"{ours}.{kind}": f"{theirs}/{spelt}"
        for ours, theirs in places.items()
        for kind, spelt in (("weight", "kernel"), ("bias", "bias"))
    }
    net = Network(small_networks.ROWS["matlab73-dncnn"].layers, {}, (1, 40, 40), {})
    net.params = parameters(net, foreign, Naming("", names, "own", set()), row.file)
    with h5py.File(folder / "reference_outputs.h5") as file:
        x, expected = file["dncnn_input"][:][None, None], file["keras/dncnn_sigma25_keras222"][:]
    found = small_networks.output(net, x)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)


def test_a_whole_module_and_pickled_members_are_refused_with_advice(shared_data):
    folder = shared_data / "weights"
    with pytest.raises(MinicnnError, match=r"__main__\.Net.*torch\.save\(net\.state_dict\(\)"):
        formats.read(folder / "torch" / "cifar_net_whole_module_pickle_zip.pth")
    with pytest.raises(MinicnnError, match=r"cnn.npy is a pickle.*save plain arrays"):
        formats.read(folder / "npz" / "model_object_arrays.npz")


def test_the_compressed_squeezenet_is_the_decoded_one(shared_data):
    folder = shared_data / "squeezenet"
    found = formats.read(folder / "compressed_SqueezeNet.net").arrays
    with h5py.File(folder / "squeezenet_v1.0_float32.h5") as file:
        assert [key.rpartition(".")[0] for key in list(found)[::2]] == list(
            file.attrs["layer_names"]
        )
        for key, array in found.items():
            np.testing.assert_array_equal(array, file[key.replace(".", "/")][:])


def test_scipy_reads_the_same_from_a_real_file(shared_data):
    from scipy.io import loadmat

    path = shared_data / "weights" / "mat" / "digits_lenet_v5.mat"
    expected = loadmat(path)["params"][0]
    tree = mat5.read_tree(path.read_bytes(), Budget(path.stat().st_size))
    assert len(tree["params"]) == len(expected)
    for ours, theirs in zip(tree["params"], expected, strict=True):
        np.testing.assert_array_equal(ours["w"], theirs["w"][0, 0])
        np.testing.assert_array_equal(ours["b"], theirs["b"][0, 0])


# --- PyTorch


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_every_kind_of_tensor(torch, legacy, tmp_path):
    base = torch.arange(24.0).reshape(2, 3, 4)
    tensors = {
        "plain": base,
        "half": base.half(),
        "bfloat16": (base / 3).bfloat16(),
        "double": base.double(),
        "long": base.long(),
        "bytes": base.to(torch.uint8),
        "bool": base > 5,
        "turned": base.permute(2, 0, 1),
        "part of the same storage": base[1, :, 1:3],
        "repeated": base[0, 0].expand(3, 4),
        "scalar": torch.tensor(7.0),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(base * 2),
    }
    path = tmp_path / "tensors.pth"
    torch.save(tensors, path, _use_new_zipfile_serialization=not legacy)
    found = formats.read(path).arrays
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        tensor = tensor.detach()
        expected = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
        assert found[name].dtype == expected.numpy().dtype
        np.testing.assert_array_equal(found[name], expected.numpy(), err_msg=name)
        assert found[name].shape == tuple(tensor.shape)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_checkpoint_of_a_module_with_its_optimizer(torch, legacy, tmp_path):
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net(torch.ones(1, 3, 5, 5)).sum().backward()
    optimizer.step()
    state = {
        "epoch": 3,
        "args": {"lr": 0.1, "name": "x", "sizes": (1, 2), "none": None},
        "loss": np.float64(0.5),
        "state_dict": net.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    path = tmp_path / "checkpoint.pth"
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    found = formats.read(path).arrays
    np.testing.assert_array_equal(found["state_dict.0.weight"], net[0].weight.detach().numpy())
    assert found["loss"] == 0.5
    assert "optimizer.state.0.momentum_buffer" in found


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_codes_of_one_byte_are_multiplied_by_their_scales(torch, legacy, tmp_path):
    w = torch.randn(4, 3, 2, 2)
    scales, zeros = torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([0, 1, 2, 0])
    quantised = {
        "whole": torch.quantize_per_tensor(w, 0.1, 3, torch.qint8),
        "unsigned": torch.quantize_per_tensor(w, 0.1, 30, torch.quint8),
        "by channel": torch.quantize_per_channel(w, scales, zeros, 0, torch.qint8),
    }
    path = tmp_path / "a.pth"
    torch.save(quantised, path, _use_new_zipfile_serialization=not legacy)
    found = formats.read(path).arrays
    for name, tensor in quantised.items():
        np.testing.assert_allclose(found[name], tensor.dequantize().numpy(), rtol=1e-6)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_tensors_that_were_on_a_gpu(torch, legacy, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.serialization.location_tag", lambda storage: "cuda:0")
    path = tmp_path / "cuda.pth"
    torch.save({"w": torch.arange(4.0)}, path, _use_new_zipfile_serialization=not legacy)
    assert b"cuda:0" in path.read_bytes()
    assert formats.read(path).arrays["w"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_module_is_refused(torch, legacy, tmp_path):
    path = tmp_path / "module.pth"
    torch.save(torch.nn.Linear(2, 3), path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(MinicnnError, match=r"torch\.nn\.modules.*state_dict"):
        formats.read(path)


# --- Caffe


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("packed", [True, False], ids=["packed", "unpacked"])
@pytest.mark.parametrize("doubles", [False, True], ids=["float", "double"])
def test_blobs_in_every_form(version, packed, doubles, rng, tmp_path):
    layers = {
        "conv/1": [rng.standard_normal((4, 2, 3, 5)).astype("f4"), np.arange(4, dtype="f4")],
        "fc": [rng.standard_normal((3, 7)).astype("f4"), np.arange(3, dtype="f4")],
    }
    path = tmp_path / "net.caffemodel"
    write.caffemodel(path, layers, version=version, packed=packed, doubles=doubles)
    found = formats.read(path).arrays
    assert list(found) == ["conv/1/0", "conv/1/1", "fc/0", "fc/1"]
    for name, arrays in layers.items():
        for i, expected in enumerate(arrays):
            assert found[f"{name}/{i}"].dtype == ("f8" if doubles else "f4")
            np.testing.assert_array_equal(found[f"{name}/{i}"], expected)


# --- MATLAB


@pytest.mark.parametrize("compressed", [False, True])
def test_scipy_writes_what_we_read(compressed, rng, tmp_path):
    from scipy.io import savemat

    values = {
        "matrix": rng.standard_normal((3, 4)),
        "single": rng.standard_normal((2, 3, 4, 5)).astype("f4"),
        "small": np.array([[1, 2], [3, 250]], "u1"),
        "text": "a text",
        "struct": {"a": 1.5, "b": {"c": "inner"}},
        "cell": write.cell([np.ones((1, 2)), "x"]),
        "empty": np.zeros((0, 0)),
    }
    savemat(tmp_path / "a.mat", values, do_compression=compressed)
    data = (tmp_path / "a.mat").read_bytes()
    found = mat5.read_tree(data, Budget(len(data)))
    for name in ("matrix", "single", "small", "empty"):
        assert found[name].dtype == values[name].dtype
        np.testing.assert_array_equal(found[name], values[name])
    assert found["text"] == "a text"
    assert found["struct"]["b"] == {"c": "inner"}
    assert found["cell"][1] == "x"
    listed = formats.read(tmp_path / "a.mat").arrays
    np.testing.assert_array_equal(listed["single"], values["single"].transpose(3, 2, 0, 1))
    assert listed["struct.a"] == 1.5


@pytest.mark.parametrize("writer", [write.matlab5, write.matlab73])
def test_matlab_drops_sizes_of_one_at_the_end(writer, rng, tmp_path):
    layers = {
        "one": [rng.standard_normal((1, 5, 3, 2)).astype("f4"), np.ones(1, "f4")],
        "grey": [rng.standard_normal((1, 1, 3, 2)).astype("f4"), np.ones(1, "f4")],
        "point": [rng.standard_normal((4, 3, 1, 1)).astype("f4"), np.ones(4, "f4")],
    }
    writer(tmp_path / "a.mat", layers, {})
    found = formats.read(tmp_path / "a.mat").arrays
    for name, (weight, bias) in layers.items():
        np.testing.assert_array_equal(found[f"{name}/0"], weight)
        np.testing.assert_array_equal(found[f"{name}/1"], bias)


# --- NumPy, safetensors, HDF5


@pytest.mark.smoke
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickled_dictionaries_of_every_protocol(protocol, rng, tmp_path):
    import pickle

    kernel = rng.standard_normal((3, 3, 2, 4))
    table = {"conv1": {"weights": kernel, "biases": np.arange(4.0)}, "note": ["text", 3, None]}
    array = np.empty((), object)
    array[()] = table
    with open(tmp_path / "a.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|O", "fortran_order": False, "shape": ()}
        )
        pickle.dump(array, file, protocol=protocol)
    found = formats.read(tmp_path / "a.npy").arrays
    assert list(found) == ["conv1.weights", "conv1.biases"]
    np.testing.assert_array_equal(found["conv1.weights"], kernel.transpose(3, 2, 0, 1))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_of_every_type_and_order(save, rng, tmp_path):
    arrays = {
        "c": rng.standard_normal((3, 4)),
        "f": np.asfortranarray(rng.standard_normal((3, 4)).astype(">f4")),
        "half": np.float16([1.5]),
        "int": np.array(3),
        "empty": np.zeros((0, 2)),
    }
    save(tmp_path / "a.npz", **arrays)
    found = formats.read(tmp_path / "a.npz").arrays
    for name, expected in arrays.items():
        assert found[name].dtype == expected.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found[name], expected)


@pytest.mark.smoke
@pytest.mark.parametrize(("dtype", "tolerance"), [("F32", 0), ("F16", 1e-3), ("BF16", 1e-2)])
def test_safetensors_of_three_types(dtype, tolerance, rng, tmp_path):
    array = rng.uniform(1, 2, (2, 3)).astype("f4")
    write.safetensors(tmp_path / "a.safetensors", {"w": array}, dtype=dtype)
    found = formats.read(tmp_path / "a.safetensors").arrays["w"]
    assert found.dtype == ("f2" if dtype == "F16" else "f4")
    np.testing.assert_allclose(found, array, rtol=tolerance)


def test_our_own_files_are_listed_too(tmp_path):
    import minicnn

    minicnn.save(minicnn.build("minivgg"), tmp_path / "a.h5")
    found = formats.read(tmp_path / "a.h5")
    assert found.format == "hdf5"
    assert found.arrays["conv1_1/weight"].shape == (32, 3, 3, 3)


def test_deep_compression_has_the_layers_of_squeezenet():
    assert len(deep_compression.LAYERS) == 26
    weights = sum(int(np.prod(shape)) + shape[0] for shape in deep_compression.LAYERS.values())
    assert weights == 1_248_424
