"""Batch normalisations of every format folded: equal to the formula, and to PyTorch's layers."""

import io
import json
import zipfile
from itertools import pairwise

import foreign_files as write
import h5py
import numpy as np
import pytest
import torch_network

from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.network import build
from minicnn.network.architectures import MODELS, Model
from minicnn.network.folding import fold_batch_norm
from minicnn.network.layers import BatchNorm2d, Conv2d, Linear, ReLU
from minicnn.network.network import Network
from minicnn.weights import checkpoint, formats
from minicnn.weights.conversion import convert_file
from minicnn.weights.formats import names, norms

CONVS = ["conv1_1", "conv1_2", "conv2_1"]
LAYERS = [
    ("conv1_1", Conv2d(6, 3, padding=1)),
    ("relu1_1", ReLU()),
    ("conv1_2", Conv2d(4, 3, padding=1)),
    ("relu1_2", ReLU()),
    ("conv2_1", Conv2d(5, 3, padding=1)),
    ("relu2_1", ReLU()),
    ("fc6", Linear(3)),
]
KERAS = {**dict(zip(CONVS, ("conv2d", "conv2d_1", "conv2d_2"), strict=True)), "fc6": "dense"}
EPS = 0.013  # as no framework has it by default


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    """A VGG of three convolutions in the place of VGG-19, under its names."""
    preprocess = MODELS["vgg19"].preprocess
    monkeypatch.setitem(MODELS, "vgg19", Model(lambda classes: LAYERS, 6, 3, preprocess))
    monkeypatch.setattr("minicnn.weights.matching.namings", namings)


def namings(network, params):
    """The families that VGG has, for these layers."""
    if network != "vgg19":
        return []
    owners = list(dict.fromkeys(key.rpartition(".")[0] for key in params))
    own = {name: name for name in owners}
    places = dict(zip(owners, ("features.0", "features.3", "features.7", "classifier.0"),
                      strict=True))  # fmt: skip
    return [
        names.Naming("our own", {k: "/".join(k.rsplit(".", 1)) for k in params}, "own", {"hdf5"}),
        names._naming("torchvision", places, "torch", "torchvision"),
        names._naming("Keras, numbered layers", KERAS, "keras", "caffe"),
        names._naming("Keras", own, "keras", "caffe"),
        *names._caffe_like(owners, {}, "caffe"),
    ]


class Trained:
    """Random layers {name: (weight, bias)} and norms {convolution: (gamma, beta, mean, var)}."""

    def __init__(self, *, bias=True, affine=True):
        rng = np.random.default_rng(5)

        def draw(*shape):
            return rng.standard_normal(shape).astype("f4")

        shapes = [(6, 3, 3, 3), (4, 6, 3, 3), (5, 4, 3, 3), (3, 180)]
        self.layers = {
            name: (draw(*shape), draw(shape[0]) if bias or name == "fc6" else None)
            for name, shape in zip([*CONVS, "fc6"], shapes, strict=True)
        }
        self.norms = {}
        for conv in CONVS:
            size = len(self.layers[conv][0])
            gamma, beta = (draw(size), draw(size)) if affine else (None, None)
            self.norms[conv] = (gamma, beta, draw(size), rng.uniform(0.1, 3, size).astype("f4"))

    def expected(self, eps):
        """What folding must give, channel by channel: gamma (w x + b - mean) / sqrt(var + eps)."""
        params = {}
        for name, (weight, bias) in self.layers.items():
            w = weight.astype(float)
            b = np.zeros(len(w)) if bias is None else bias.astype(float)
            for k in range(len(w) if name in self.norms else 0):
                gamma, beta, mean, var = (1 if a is None else float(a[k]) for a in self.norms[name])
                beta = 0 if self.norms[name][1] is None else beta
                deviation = (var + eps) ** 0.5
                w[k] = gamma * w[k] / deviation
                b[k] = gamma * (b[k] - mean) / deviation + beta
            params[f"{name}.weight"], params[f"{name}.bias"] = w, b
        return params


def check(path, trained, expected_eps, **options):
    with pytest.raises(MinicnnError, match=r"batch normalisations .*vgg19 has none; --fold"):
        convert_file(path, "vgg19")
    found = convert_file(path, "vgg19", fold=True, **options)
    same(found, trained.expected(expected_eps))
    assert sorted(set(found.attrs["folded"].values())) == sorted(own_names(found))
    assert f"epsilon {expected_eps:g}" in found.attrs["note"]
    return found


def same(net, params):
    for key, expected in params.items():
        np.testing.assert_allclose(net.params[key], expected, rtol=1e-5, atol=1e-6, err_msg=key)
        assert net.params[key].dtype == np.float32


def own_names(net):
    """What the convolutions are called in the file that the network came from."""
    if net.attrs["source_names"] == "torchvision":
        return ["features.0", "features.3", "features.7"]
    return list(KERAS.values())[:3] if "numbered" in net.attrs["source_names"] else CONVS


# --- PyTorch, safetensors, NumPy


def state(trained, convs, norms_of, order="in turn"):
    """A state dict; None is left out."""
    first, second = {}, {}
    for conv, theirs, norm in zip(CONVS, convs, norms_of, strict=True):
        one = dict(zip(("weight", "bias"), trained.layers[conv], strict=True))
        two = dict(zip(("weight", "bias", "running_mean", "running_var"), trained.norms[conv],
                       strict=True))  # fmt: skip
        first |= {f"{theirs}.{k}": v for k, v in one.items() if v is not None}
        part = first if order == "in turn" else second
        part |= {f"{norm}.{k}": v for k, v in two.items() if v is not None}
        part[f"{norm}.num_batches_tracked"] = np.array(7)
    top = "classifier.0" if convs[0].startswith("features") else "fc6"
    first |= dict(zip((f"{top}.weight", f"{top}.bias"), trained.layers["fc6"], strict=True))
    return {**first, **second}


PLACES = ["features.0", "features.3", "features.7"], ["features.1", "features.4", "features.8"]
NAMED = {
    "places": (*PLACES, "in turn"),
    "bn": (CONVS, ["bn1_1", "bn1_2", "bn2_1"], "norms last"),
    "inside": (CONVS, [f"{name}_bn" for name in CONVS], "norms last"),
    "in-order": (CONVS, ["first", "second", "third"], "in turn"),
}


@pytest.mark.parametrize("what", NAMED)
@pytest.mark.parametrize("bias", [True, False])
def test_state_dicts(what, bias, tmp_path):
    trained = Trained(bias=bias)
    np.savez(tmp_path / "a.npz", **state(trained, *NAMED[what]))
    found = check(tmp_path / "a.npz", trained, 1e-5)
    assert list(found.attrs["folded"]) == NAMED[what][1]
    check(tmp_path / "a.npz", trained, EPS, eps=EPS)


def test_the_whole_network_is_that_of_pytorch(tmp_path, rng):
    torch = pytest.importorskip("torch")
    trained = Trained(affine=False)
    arrays = state(trained, *PLACES)
    torch.save({k: torch.from_numpy(np.array(v)) for k, v in arrays.items()}, tmp_path / "a.pth")
    ours = convert_file(tmp_path / "a.pth", "vgg19", fold=True)
    x = rng.standard_normal((2, 3, 6, 6)).astype("f4")
    y, F = torch.from_numpy(x), torch.nn.functional
    taps = ["relu1_1", "relu1_2", "relu2_1", "fc6"]
    acts = ours.forward(x, taps)
    for conv, tap in zip(CONVS, taps, strict=False):
        y = F.conv2d(y, *map(torch.from_numpy, trained.layers[conv]), padding=1)
        y = F.relu(F.batch_norm(y, *map(torch.from_numpy, trained.norms[conv][2:]), eps=1e-5))
        np.testing.assert_allclose(acts[tap], y, atol=1e-5 * float(y.max()), rtol=0)
    y = F.linear(y.flatten(1), *map(torch.from_numpy, trained.layers["fc6"]))
    np.testing.assert_allclose(acts["fc6"][:, :, 0, 0], y, atol=2e-5 * float(y.max()), rtol=0)


def test_safetensors_are_in_no_order(tmp_path):
    trained = Trained()
    arrays = state(trained, *PLACES)
    arrays = {k: np.atleast_1d(v).astype("f4") for k, v in sorted(arrays.items())}
    write.safetensors(tmp_path / "a.safetensors", arrays)
    check(tmp_path / "a.safetensors", trained, 1e-5)


def test_dictionaries_of_caffe_tensorflow(tmp_path):
    trained = Trained()
    table = {}
    for name, (weight, bias) in write.channels_last(trained.layers, {"fc6": (5, 6, 6)}).items():
        table[name] = {"weights": write.hwio(weight), "biases": bias}
    for conv, arrays in trained.norms.items():
        names = ("scale", "offset", "mean", "variance")
        table[conv.replace("conv", "bn")] = dict(zip(names, arrays, strict=True))
    np.save(tmp_path / "a.npy", dict(sorted(table.items())), allow_pickle=True)
    check(tmp_path / "a.npy", trained, 1e-5)


# --- Keras


def keras_arrays(trained, *, numbered):
    """{layer: [arrays]} in order, with the activations, which have none."""
    found = {}
    layers = write.channels_last(trained.layers, {"fc6": (5, 6, 6)})
    for i, conv in enumerate(CONVS):
        end = f"_{i}" if i else ""
        weight, bias = layers[conv]
        found[KERAS[conv] if numbered else conv] = {"kernel": write.hwio(weight), "bias": bias}
        kinds = ("gamma", "beta", "moving_mean", "moving_variance")
        norm = f"batch_normalization{end}" if numbered else f"strange{'xyz'[i]}"
        found[norm] = dict(zip(kinds, trained.norms[conv], strict=True))
        found[f"activation{end}"] = {}
    found["dense" if numbered else "fc6"] = {
        "kernel": write.hwio(layers["fc6"][0]), "bias": layers["fc6"][1]}  # fmt: skip
    return found


def keras2(path, arrays, config=None):
    with h5py.File(path, "w") as file:
        root = file if config is None else file.create_group("model_weights")
        root.attrs["layer_names"] = [name.encode() for name in arrays]
        file.attrs["keras_version"] = b"2.2.4"
        if config is not None:
            file.attrs["model_config"] = json.dumps(config)
        for name, own in arrays.items():
            group = root.create_group(name)
            for kind, array in own.items():
                if array is not None:
                    group[f"{name}/{kind}:0"] = array


def keras3(target, arrays):
    with h5py.File(target, "w") as file:
        file.create_group("vars")
        for name, own in arrays.items():
            group = file.create_group(f"layers/{name}/vars")
            for i, array in enumerate(a for a in own.values() if a is not None):
                group[str(i)] = array


def sequential(arrays, eps, *, as_list=False):
    layers = []
    for name, own in arrays.items():
        norm = {"epsilon": eps} if "gamma" in own else {}
        layers.append({"class_name": "Layer", "config": {"name": name, **norm}})
    return {"class_name": "Sequential", "config": layers if as_list else {"layers": layers}}


def functional(arrays, eps, history):
    """A configuration that lists the layers backwards: only `inbound_nodes` tells the order."""
    model = sequential(arrays, eps)
    entries = model["config"]["layers"]
    for before, entry in pairwise(entries):
        entry["inbound_nodes"] = history(before["config"]["name"])
    entries[0]["inbound_nodes"] = []
    entries.reverse()
    return model


OLD = lambda name: [[[name, 0, 0, {}]]]  # noqa: E731
NEW = lambda name: [{"args": [{"class_name": "__keras_tensor__",  # noqa: E731
                               "config": {"shape": [None, 6], "keras_history": [name, 0, 0]}}],
                     "kwargs": {}}]  # fmt: skip


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("numbered", [True, False])
def test_keras_weights_alone(bias, numbered, tmp_path):
    trained = Trained(bias=bias)
    keras2(tmp_path / "a.h5", keras_arrays(trained, numbered=numbered))
    check(tmp_path / "a.h5", trained, 1e-3)


@pytest.mark.parametrize("form", ["list", "layers", "functional-2", "functional-3"])
def test_keras_models_tell_epsilon_and_order(form, tmp_path):
    trained = Trained()
    arrays = keras_arrays(trained, numbered=False)
    config = {
        "list": sequential(arrays, EPS, as_list=True),
        "layers": sequential(arrays, EPS),
        "functional-2": functional(arrays, EPS, OLD),
        "functional-3": functional(arrays, EPS, NEW),
    }[form]
    keras2(tmp_path / "a.h5", arrays, config)
    check(tmp_path / "a.h5", trained, EPS)
    check(tmp_path / "a.h5", trained, 0.5, eps=0.5)


def test_keras_without_gamma_and_beta(tmp_path):
    trained = Trained(affine=False)
    keras2(tmp_path / "a.h5", keras_arrays(trained, numbered=False))
    check(tmp_path / "a.h5", trained, 1e-3)


def test_keras3(tmp_path):
    trained = Trained()
    arrays = keras_arrays(trained, numbered=True)
    keras3(tmp_path / "a.weights.h5", arrays)
    check(tmp_path / "a.weights.h5", trained, 1e-3)
    inner = io.BytesIO()
    keras3(inner, arrays)
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(functional(arrays, EPS, NEW)))
        archive.writestr("model.weights.h5", inner.getvalue())
    check(tmp_path / "a.keras", trained, EPS)


# --- Caffe


def caffe_layer(name, kind, bottom, blobs=(), extra=b""):
    body = write.field(1, name) + write.field(2, kind) + write.field(4, name.partition("/")[0])
    body += write.field(3, bottom) if bottom else b""
    body += b"".join(write.field(7, write.blob(blob)) for blob in blobs if blob is not None)
    return write.field(100, body + extra)


def caffe_blobs(trained):
    """Yield (convolution, its blobs, those of BatchNorm, those of Scale)."""
    for conv in CONVS:
        gamma, beta, mean, var = trained.norms[conv]
        factor = np.float32([0.25])  # the sums are kept, and their weight
        scale = None if gamma is None else (gamma, beta)
        yield conv, trained.layers[conv], (mean * factor, var * factor, factor), scale


def caffemodel(path, trained, eps=None, *, between=False):
    out, before = caffe_layer("data", "Input", None), "data"
    extra = b"" if eps is None else write.field(139, b"\x1d" + np.float32(eps).tobytes())
    for conv, own, statistics, scale in caffe_blobs(trained):
        out += caffe_layer(conv, "Convolution", before, own)
        out += caffe_layer(f"{conv}/relu", "ReLU", conv) if between else b""
        out += caffe_layer(f"{conv}/statistics", "BatchNorm", conv, statistics, extra)
        out += caffe_layer(f"{conv}/factors", "Scale", conv, scale) if scale else b""
        out += caffe_layer(f"{conv}/rectified", "ReLU", conv)
        before = conv
    path.write_bytes(out + caffe_layer("fc6", "InnerProduct", before, trained.layers["fc6"]))


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("eps", [None, EPS])
def test_caffemodels_tell_epsilon_and_order(affine, eps, tmp_path):
    trained = Trained(affine=affine)
    caffemodel(tmp_path / "a.caffemodel", trained, eps)
    foreign = formats.read(tmp_path / "a.caffemodel")
    found = [norm.eps for norm in norms.find(foreign) if norm.name.endswith("statistics")]
    assert found == pytest.approx([1e-5 if eps is None else EPS] * 3)
    net = convert_file(tmp_path / "a.caffemodel", "vgg19", fold=True)
    same(net, trained.expected(found[0]))
    assert len(net.attrs["folded"]) == (6 if affine else 3)


def test_a_batchnorm_of_caffe_without_a_weight_has_no_statistics(tmp_path):
    """Caffe divides by the weight of the sums, and by nothing if that is 0."""
    body = [(np.ones((1, 1, 1, 1), "f4"), np.zeros(1, "f4")),
            (np.ones(1, "f4"), np.ones(1, "f4"), np.zeros(1, "f4"))]  # fmt: skip
    data = caffe_layer("conv", "Convolution", "data", body[0])
    data += caffe_layer("conv/bn", "BatchNorm", "conv", body[1])
    (tmp_path / "a.caffemodel").write_bytes(data)
    (norm,) = norms.find(formats.read(tmp_path / "a.caffemodel"))
    assert (norm.mean, norm.var) == (0, 0)


def test_caffe_in_hdf5_has_no_order(tmp_path):
    trained = Trained()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for conv, own, statistics, scale in caffe_blobs(trained):
            for name, blobs in ((conv, own), (f"bn_{conv}", statistics), (f"scale_{conv}", scale)):
                for i, blob in enumerate(blobs):
                    file[f"data/{name}/{i}"] = blob
        for i, blob in enumerate(trained.layers["fc6"]):
            file[f"data/fc6/{i}"] = blob
    found = convert_file(tmp_path / "a.h5", "vgg19", fold=True)
    same(found, trained.expected(1e-5))


# --- MatConvNet


def moments(trained, conv):
    """gamma, beta, and mean and sqrt(var + epsilon) side by side."""
    gamma, beta, mean, var = trained.norms[conv]
    return gamma[:, None], beta[:, None], np.stack([mean, np.sqrt(var + np.float32(EPS))], 1)


@pytest.mark.parametrize("form", ["simple", "dag", "dag-long"])
def test_matconvnet_stores_deviations(form, tmp_path):
    from scipy.io import savemat

    trained, maps = Trained(), {"fc6": (5, 6, 6)}
    records, params = [], []
    ends = {"dag": ("m", "b", "x"), "dag-long": ("_mult", "_bias", "_moments")}
    own = {"dag": ("f", "b"), "dag-long": ("_filter", "_bias")}
    for name, filters, biases in write.matlab_weights(trained.layers, maps):
        records.append({"type": "conv", "name": name, "weights": write.cell([filters, biases])})
        params += zip([name + end for end in own.get(form, "12")], (filters, biases), strict=True)
        if name in trained.norms:
            three, norm = moments(trained, name), name.replace("conv", "bn")
            records.append({"type": "bnorm", "name": norm, "weights": write.cell(three)})
            params += zip([norm + end for end in ends.get(form, "123")], three, strict=True)
        records.append({"type": "relu", "name": f"{name}_relu"})
    if form == "simple":
        top = {"layers": write.cell([write.cell([record])[0, 0] for record in records])}
    else:
        row = write.struct_row([{"name": name, "value": value} for name, value in params])
        top = {"net": {"params": row, "vars": 1.0}}
    savemat(tmp_path / "a.mat", top)
    found = convert_file(tmp_path / "a.mat", "vgg19", fold=True, eps=7.0)  # has no say here
    same(found, trained.expected(EPS))
    with pytest.raises(MinicnnError, match=r"batch normalisations .*--fold"):
        convert_file(tmp_path / "a.mat", "vgg19")


@pytest.mark.parametrize("branch", [False, True])
def test_a_dagnn_tells_which_parameters_are_a_normalisation(branch, tmp_path):
    """As bnorm1_g, bnorm1_b, bnorm1_m; a branch takes the output of another layer than the last."""
    from scipy.io import savemat

    trained, layers, params, before = Trained(), [], [], "input"

    def add(name, kind, source, arrays, names):
        ends = {"inputs": [source], "outputs": [f"{name}_x"], "params": names}
        cells = {key: write.cell(texts) for key, texts in ends.items()}
        layers.append({"name": name, "type": f"dagnn.{kind}", **cells})
        params.extend(zip(names, arrays, strict=True))
        return f"{name}_x"

    for i, (name, *arrays) in enumerate(
        write.matlab_weights(trained.layers, {"fc6": (5, 6, 6)}), start=1
    ):
        before = source = add(name, "Conv", before, arrays, [f"w{i}", f"w{i}_b"])
        if branch:
            add(f"side{i}", "ReLU", source, [], [])
        if name in trained.norms:
            names = [f"bnorm{i}_{end}" for end in "gbm"]
            before = add(f"bnorm{i}", "BatchNorm", source, moments(trained, name), names)
    row = write.struct_row([{"name": name, "value": value} for name, value in params])
    savemat(tmp_path / "a.mat", {"net": {"params": row, "layers": write.struct_row(layers)}})
    found = convert_file(tmp_path / "a.mat", "vgg19", fold=True)
    same(found, trained.expected(EPS))
    with pytest.raises(MinicnnError, match=r"batch normalisations .*--fold"):
        convert_file(tmp_path / "a.mat", "vgg19")


# --- our own


def test_our_own_files_fold_as_weights_fold_does(tmp_path, rng, capfd):
    net = build.build("minivgg-bn", classes=3)
    for key, array in net.params.items():
        if not key.endswith("weight"):
            array += rng.uniform(0.1, 1, array.shape).astype("f4")
    checkpoint.save(net, tmp_path / "a.h5")
    command = ["weights", "convert", str(tmp_path / "a.h5"), "--network", "minivgg", "--fold"]
    with pytest.MonkeyPatch.context() as patch:
        own = lambda *which: names.namings(*which) if "minivgg" in which[0] else []  # noqa: E731
        patch.setattr("minicnn.weights.matching.namings", own)
        assert main([*command, "-o", str(tmp_path / "b.h5")]) == 0
        assert convert_file(tmp_path / "a.h5", "minivgg-bn").params.keys() == net.params.keys()
    said = capfd.readouterr().err
    assert "folded 10 batch normalisations; epsilon 1e-05" in said
    found, expected = checkpoint.load(tmp_path / "b.h5"), fold_batch_norm(net)
    for key, array in expected.params.items():
        np.testing.assert_allclose(found.params[key], array, rtol=1e-6, atol=1e-7)


def test_a_norm_behind_a_fully_connected_layer(tmp_path):
    """MatConvNet's and Keras' networks have those too."""
    trained = Trained()
    arrays = state(trained, CONVS, ["bn1_1", "bn1_2", "bn2_1"])
    gamma, beta, mean, var = (np.float32([1, 2, 3]) * s for s in (1, 0.5, 2, 1))
    arrays |= {"bn6.weight": gamma, "bn6.bias": beta, "bn6.running_mean": mean,
               "bn6.running_var": var}  # fmt: skip
    np.savez(tmp_path / "a.npz", **arrays)
    found = convert_file(tmp_path / "a.npz", "vgg19", fold=True)
    weight, bias = trained.layers["fc6"]
    scale = gamma / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(found.params["fc6.weight"], weight * scale[:, None], rtol=1e-5)
    np.testing.assert_allclose(found.params["fc6.bias"], (bias - mean) * scale + beta, rtol=1e-5)


# --- what cannot be folded


def folding(tmp_path, change):
    arrays = state(Trained(), *PLACES)
    change(arrays)
    np.savez(tmp_path / "a.npz", **arrays)
    return convert_file(tmp_path / "a.npz", "vgg19", fold=True)


def moved(old, new):
    def change(arrays):
        for key in [key for key in arrays if key.startswith(f"{old}.")]:
            arrays[key.replace(old, new)] = arrays.pop(key)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (moved("features.4", "features.5"), "norm.* features.5 .* stands behind features.4, and"),
        (
            lambda a: a.update({f"features.4.{k}": np.ones(9, "f4") for k in
                                ("weight", "bias", "running_mean", "running_var")}),
            "features.4 has 9 channels, features.3 in front of it 4",
        ),
        (lambda a: a.update({"features.4.running_mean": np.ones(9, "f4")}), "differ in their size"),
        (lambda a: a.update({"features.3.bias": np.ones(9, "f4")}), "bias features.3.bias is"),
        (lambda a: a.update({"features.4.running_var": -np.ones(4, "f4")}), "not positive"),
        (lambda a: a.update({"features.4.running_var": np.ones(4, "i4")}), "floating-point"),
    ],
    ids=["behind-a-relu", "channels", "sizes", "bias", "negative", "integers"],
)  # fmt: skip
def test_what_cannot_be_folded(change, message, tmp_path):
    with pytest.raises(MinicnnError, match=message) as caught:
        folding(tmp_path, change)
    assert str(caught.value).startswith(str(tmp_path))


def test_no_clue(tmp_path):
    """Safetensors have no order, and the name says nothing."""
    arrays = state(Trained(), CONVS, ["bn1_1", "other", "bn2_1"])
    arrays = {key: np.atleast_1d(array).astype("f4") for key, array in arrays.items()}
    write.safetensors(tmp_path / "a.safetensors", arrays)
    with pytest.raises(MinicnnError, match="other cannot be folded: it could belong to any of"):
        convert_file(tmp_path / "a.safetensors", "vgg19", fold=True)


def test_a_rectified_linear_unit_in_between(tmp_path):
    caffemodel(tmp_path / "a.caffemodel", Trained(), between=True)
    with pytest.raises(MinicnnError, match=r"conv1_1/statistics .* it stands behind conv1_1/relu"):
        convert_file(tmp_path / "a.caffemodel", "vgg19", fold=True)


def test_counters_that_do_not_agree(tmp_path):
    """One convolution without a norm, and every number after it stands for another layer."""
    arrays = keras_arrays(Trained(), numbered=True)
    del arrays["batch_normalization_2"]
    keras3(tmp_path / "a.weights.h5", arrays)
    with pytest.raises(MinicnnError, match="batch_normalization cannot be folded: it could belong"):
        convert_file(tmp_path / "a.weights.h5", "vgg19", fold=True)


def test_two_norms_behind_one_convolution(tmp_path):
    arrays = state(Trained(), CONVS, ["bn1_1", "bn1_2", "bn2_1"])
    arrays |= {key.replace("bn1_1", "norm1_1"): a for key, a in arrays.items() if "bn1_1" in key}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(MinicnnError, match="two batch normalisations seem to stand behind conv1_1"):
        convert_file(tmp_path / "a.npz", "vgg19", fold=True)


def test_nothing_to_fold_is_said(tmp_path):
    trained = Trained()
    arrays = {f"{name}.{kind}": array for name, own in trained.layers.items()
              for kind, array in zip(("weight", "bias"), own, strict=True)}  # fmt: skip
    np.savez(tmp_path / "a.npz", **arrays)
    found = convert_file(tmp_path / "a.npz", "vgg19", fold=True)
    assert found.attrs["note"] == "there is no batch normalisation in the file that could be folded"


def test_the_check_of_this_file_sees_a_wrong_epsilon(tmp_path):
    trained = Trained()
    np.savez(tmp_path / "a.npz", **state(trained, *PLACES))
    with pytest.raises(AssertionError):
        check(tmp_path / "a.npz", trained, 1e-3)


def test_the_folded_network_is_what_torch_makes_of_both_layers(rng):
    """The same by the network of `torch_network`, normalisations as layers of their own."""
    trained = Trained()
    layers, params = [], {}
    for name, layer in LAYERS:
        layers.append((name, layer))
        if name in trained.norms:
            layers.append((f"{name}_bn", BatchNorm2d()))
            own = dict(zip(("gamma", "beta", "mean", "var"), trained.norms[name], strict=True))
            params |= {f"{name}_bn.{kind}": array for kind, array in own.items()}
        for kind, array in zip(("weight", "bias"), trained.layers.get(name, ()), strict=False):
            params[f"{name}.{kind}"] = array
    net = Network(layers, params, (3, 6, 6), {})
    x = rng.standard_normal((1, 3, 6, 6)).astype("f4")
    theirs = torch_network.activations(net, x)["fc6"].detach().numpy()
    small = Network(LAYERS, {k: v.astype("f4") for k, v in trained.expected(1e-5).items()},
                    (3, 6, 6), {})  # fmt: skip
    found = small.forward(x, ["fc6"])["fc6"]
    np.testing.assert_allclose(found, theirs, atol=1e-5 * np.abs(theirs).max(), rtol=0)
