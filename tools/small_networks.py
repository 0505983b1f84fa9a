"""The small networks of other people in shared/data/weights, on our own layers.

They show that a converter and the layers behind it are right: every row is a file, the layers that
its authors had, and how its pictures are prepared. `build(folder, name)` makes the network;
outputs computed by PyTorch are in reference_outputs.h5 of the same folder.

    python tools/small_networks.py FOLDER               prints the largest differences from them
    python tools/small_networks.py FOLDER --accuracy    on the test pictures of CIFAR-10 and MNIST
"""

import gzip
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from PIL import Image

from minicnn.network.layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Layer,
    Linear,
    MaxPool2d,
    PReLU,
    ReLU,
    Softmax,
)
from minicnn.network.network import Network
from minicnn.ops import avgpool2d
from minicnn.weights import formats
from minicnn.weights.fit_arrays import parameters
from minicnn.weights.formats.names import Naming


@dataclass(frozen=True)
class WithinChannelLRN(Layer):
    """Caffe's LRN over a window of pixels of the same channel; forward only."""

    size: int = 3
    alpha: float = 5e-5
    beta: float = 0.75

    def forward(self, x, params, mode):
        """Return x (1 + alpha mean of x^2 over the window)^-beta."""
        mean, _ = avgpool2d.forward(x * x, self.size, stride=1, padding=self.size // 2)
        return x * (1 + self.alpha * mean) ** -self.beta, None


class Row(NamedTuple):
    """A network: its file, layers, input, and {our parameter: name in the file}."""

    file: str
    layers: list
    shape: tuple
    names: dict
    prepare: object  # pictures as stored (N, C, H, W), 0 to 255 -> input
    reference: str


def _names(spelling, **layers):
    weight, bias = spelling
    table = {}
    for ours, theirs in layers.items():
        table |= {f"{ours}.weight": weight.format(theirs), f"{ours}.bias": bias.format(theirs)}
    return table


TORCH, CAFFE, KERAS = ("{}.weight", "{}.bias"), ("{}/0", "{}/1"), ("{}/kernel", "{}/bias")
NPY = ("{}.weights", "{}.biases")


def _same(*names):
    return {name: name for name in names}


def _lenet():
    return [
        ("conv1", Conv2d(20, 5)),
        ("pool1", MaxPool2d()),
        ("conv2", Conv2d(50, 5)),
        ("pool2", MaxPool2d()),
        ("ip1", Linear(500)),
        ("relu1", ReLU()),
        ("ip2", Linear(10)),
    ]


def _lenet_with_relus():
    layers = _lenet()
    return [*layers[:2], ("relu_1", ReLU()), *layers[2:4], ("relu_2", ReLU()), *layers[4:]]


def _cifar_full():
    average = AvgPool2d(3, 2, ceil=True)
    return [
        ("conv1", Conv2d(32, 5, padding=2)),
        ("pool1", MaxPool2d(3, 2, ceil=True)),
        ("relu1", ReLU()),
        ("norm1", WithinChannelLRN()),
        ("conv2", Conv2d(32, 5, padding=2)),
        ("relu2", ReLU()),
        ("pool2", average),
        ("norm2", WithinChannelLRN()),
        ("conv3", Conv2d(64, 5, padding=2)),
        ("relu3", ReLU()),
        ("pool3", average),
        ("ip1", Linear(10)),
    ]


def _cifar_quick():
    average = AvgPool2d(3, 2, ceil=True)
    return [
        ("conv1", Conv2d(32, 5, padding=2)),
        ("pool1", MaxPool2d(3, 2, ceil=True)),
        ("relu1", ReLU()),
        ("conv2", Conv2d(32, 5, padding=2)),
        ("relu2", ReLU()),
        ("pool2", average),
        ("conv3", Conv2d(64, 5, padding=2)),
        ("relu3", ReLU()),
        ("pool3", average),
        ("ip1", Linear(64)),
        ("ip2", Linear(10)),
    ]


def _pnet():
    layers = []
    for i, channels in enumerate((10, 16, 32), start=1):
        layers += [(f"conv{i}", Conv2d(channels, 3)), (f"prelu{i}", PReLU())]
        layers += [("pool1", MaxPool2d(2, 2, ceil=True))] if i == 1 else []
    return [*layers, ("conv4_1", Conv2d(2, 1), ("prelu3",)), ("conv4_2", Conv2d(4, 1), ("prelu3",))]


def _pnet_names(spelling, slope, **own):
    convs = {f"conv{i}": f"conv{i}" for i in (1, 2, 3)} | own
    slopes = {f"prelu{i}.weight": slope.format(i) for i in (1, 2, 3)}
    return _names(spelling, **convs) | slopes


def _keras_cifar():
    return [
        ("conv1", Conv2d(32, 3)),
        ("relu1", ReLU()),
        ("conv2", Conv2d(32, 3)),
        ("relu2", ReLU()),
        ("pool2", MaxPool2d()),
        ("conv3", Conv2d(64, 3)),
        ("relu3", ReLU()),
        ("conv4", Conv2d(64, 3)),
        ("relu4", ReLU()),
        ("pool4", MaxPool2d()),
        ("dense1", Linear(128)),
        ("relu5", ReLU()),
        ("dense2", Linear(64)),
        ("relu6", ReLU()),
        ("dense3", Linear(10)),
        ("prob", Softmax()),
    ]


def _keras_mnist():
    return [
        ("conv1", Conv2d(8, 3)),
        ("relu1", ReLU()),
        ("pool1", MaxPool2d()),
        ("dense1", Linear(16)),
        ("relu2", ReLU()),
        ("dense2", Linear(10)),
        ("prob", Softmax()),
    ]


def _torch_cifar():
    layers = []
    for i, channels in enumerate((32, 64, 64), start=1):
        layers += [(f"conv{i}", Conv2d(channels, 3, padding=1)), (f"relu{i}", ReLU())]
        layers.append((f"pool{i}", MaxPool2d()))
    return [
        *layers,
        *(("fc1", Linear(512)), ("relu4", ReLU())),
        *(("fc2", Linear(128)), ("relu5", ReLU())),
        ("fc3", Linear(10)),
    ]


def _jq_mnist():
    return [
        ("pool0", MaxPool2d()),
        ("conv1", Conv2d(10, 3, padding=1)),
        ("relu1", ReLU()),
        ("pool1", MaxPool2d()),
        ("fc1", Linear(10)),
    ]


def _dncnn(norms):
    layers = [("conv1", Conv2d(64, 3, padding=1)), ("relu1", ReLU())]
    for i in range(2, 17):
        layers.append((f"conv{i}", Conv2d(64, 3, padding=1, bias=not norms)))
        layers += [(f"bn{i}", BatchNorm2d(eps=1e-4))] if norms else []
        layers.append((f"relu{i}", ReLU()))
    return [*layers, ("conv17", Conv2d(1, 3, padding=1, bias=not norms))]


def _dncnn_keras_names():
    names = _names(KERAS, conv1="conv1", conv17="conv48")
    for i in range(2, 17):
        place = 3 * i - 3
        names[f"conv{i}.weight"] = f"conv{place}/kernel"
        for ours, theirs in (("gamma", "gamma"), ("beta", "beta"), ("mean", "moving_mean"),
                             ("var", "moving_variance")):  # fmt: skip
            names[f"bn{i}.{ours}"] = f"bn{place + 1}/{theirs}"
    return names


def _dncnn_matlab_names():
    places = {"conv1": "layer1"} | {f"conv{i}": f"layer{3 * i - 3}" for i in range(2, 18)}
    return _names(CAFFE, **places)


def _digits(arrays):
    """The arrays of digits_lenet_v5.mat: windows in rows; the last class has the logit 0."""
    found = {}
    for layer, place in (("conv1", 0), ("conv2", 3), ("ip1", 6)):
        found[f"{layer}/0"] = arrays[f"params.{place}.w"].T
        found[f"{layer}/1"] = arrays[f"params.{place}.b"].ravel()
    found["conv1/0"] = found["conv1/0"].reshape(20, 1, 5, 5)
    found["conv2/0"] = found["conv2/0"].reshape(50, 20, 5, 5)
    last = np.zeros((10, 501))
    last[:9] = np.hstack([arrays["params.8.w"], arrays["params.8.b"]])
    return found | {"ip2/0": last[:, :500], "ip2/1": last[:, 500]}


ROWS = {
    "caffe-lenet": Row(
        "caffemodel/lenet_v2.caffemodel", _lenet(), (1, 28, 28),
        _names(CAFFE, **_same("conv1", "conv2", "ip1", "ip2")),
        lambda x, mean: x / 255, "caffemodel/lenet_v2"),
    "caffe-v1-cifar": Row(
        "caffemodel/cifar10_full_v1.caffemodel", _cifar_full(), (3, 32, 32),
        _names(CAFFE, **_same("conv1", "conv2", "conv3", "ip1")),
        lambda x, mean: x - mean, "caffemodel/cifar10_full_v1"),
    "caffe-h5-cifar": Row(
        "caffemodel_h5/cifar10_quick_iter_5000.caffemodel.h5", _cifar_quick(), (3, 32, 32),
        _names(CAFFE, **_same("conv1", "conv2", "conv3", "ip1", "ip2")),
        lambda x, mean: x - mean, "caffemodel_h5/cifar10_quick"),
    "keras2-cifar": Row(
        "keras/cifar10_keras224_full_model.h5", _keras_cifar(), (3, 32, 32),
        _names(KERAS, **{f"conv{i}": f"conv2d_{i}" for i in range(1, 5)},
               **{f"dense{i}": f"dense_{i}" for i in range(1, 4)}),
        lambda x, mean: x / 255, "keras/cifar10_keras224_full_model"),
    "keras3-mnist": Row(
        "keras/mnist_cnn_keras3.weights.h5", _keras_mnist(), (1, 28, 28),
        _names(KERAS, conv1="conv2d", dense1="dense", dense2="dense_1"),
        lambda x, mean: x / 255, "keras/mnist_cnn_keras3"),
    "torch-cifar": Row(
        "torch/cifar_net_zip.pth", _torch_cifar(), (3, 32, 32),
        _names(TORCH, **_same("conv1", "conv2", "conv3", "fc1", "fc2", "fc3")),
        lambda x, mean: x / 127.5 - 1, "torch/cifar_net_zip"),
    "safetensors-mnist": Row(
        "safetensors/mnist_cnn.safetensors", _jq_mnist(), (1, 28, 28),
        _names(TORCH, **_same("conv1", "fc1")),
        lambda x, mean: (x / 255 - 0.1307) / 0.3081, "safetensors/mnist_cnn"),
    "caffe-pnet": Row(
        "caffemodel/mtcnn_det1.caffemodel", _pnet(), (3, 32, 32),
        _pnet_names(CAFFE, "PReLU{}/0", conv4_1="conv4-1", conv4_2="conv4-2"),
        None, "caffemodel/mtcnn_det1"),
    "npy-pnet": Row(
        "npy/mtcnn_det1.npy", _pnet(), (3, 32, 32),
        _pnet_names(NPY, "PReLU{}.alpha", conv4_1="conv4-1", conv4_2="conv4-2"),
        None, "caffemodel/mtcnn_det1"),
    "torch-legacy-pnet": Row(
        "torch/mtcnn_pnet.legacy.pt", _pnet(), (3, 32, 32),
        _pnet_names(TORCH, "prelu{}.weight", conv4_1="conv4_1", conv4_2="conv4_2"),
        None, "caffemodel/mtcnn_det1"),
    "keras2-dncnn": Row(
        "keras/dncnn_sigma25_keras222_weights.h5", _dncnn(norms=True), (1, 40, 40),
        _dncnn_keras_names(), None, "keras/dncnn_sigma25_keras222"),
    "matlab73-dncnn": Row(
        "mat/dncnn_sigma25_simplenn_v73.mat", _dncnn(norms=False), (1, 40, 40),
        _dncnn_matlab_names(), None, "mat/dncnn_sigma25_simplenn_v73"),
    "matlab5-lenet": Row(
        "mat/digits_lenet_v5.mat", _lenet_with_relus(), (1, 28, 28),
        _names(CAFFE, **_same("conv1", "conv2", "ip1", "ip2")),
        lambda x, mean: x / 255, "mat/digits_lenet_v5"),
}  # fmt: skip


BATCH = 500
TOLERANCE = 0.0005
# measured with PyTorch on the same pictures, as stated in the README of the files
STATED = {
    "caffe-lenet": 0.9914,
    "caffe-v1-cifar": 0.7941,
    "caffe-h5-cifar": 0.7409,
    "keras2-cifar": 0.6738,
    "torch-cifar": 0.7255,
    "safetensors-mnist": 0.9695,
    "matlab5-lenet": 0.9427,
}


def build(folder, name) -> Network:
    """Return the network of a row, with its weights out of the foreign file."""
    row = ROWS[name]
    path = Path(folder) / row.file
    foreign = formats.read(path)
    if name == "matlab5-lenet":
        foreign = foreign._replace(arrays=_digits(foreign.arrays))
    net = Network(row.layers, {}, row.shape, {"name": name})
    naming = Naming(name, row.names, "own", set())
    net.params = parameters(net, foreign, naming, path)
    return net


def output(net, x):
    """Return what reference_outputs.h5 holds for a network of this kind."""
    if "conv4_2" not in net.layers:
        y = net.forward(x, net.layers[-1:], keep=False)[net.layers[-1]]
        return y if y.shape[2] > 1 else y[:, :, 0, 0]
    acts = net.forward(x, ["conv4_1", "conv4_2"], keep=False)
    score = np.exp(acts["conv4_1"] - acts["conv4_1"].max(axis=1, keepdims=True))
    return np.concatenate([score / score.sum(axis=1, keepdims=True), acts["conv4_2"]], axis=1)


def difference(folder, name) -> float:
    """Return the largest difference from the reference, relative to its largest value."""
    row = ROWS[name]
    with h5py.File(Path(folder) / "reference_outputs.h5") as file:
        expected = file[row.reference][:]
        if row.prepare is not None:
            mean = file["cifar10_mean_image_rgb"][:].transpose(2, 0, 1)
            pictures = (cifar10 if row.shape[0] == 3 else mnist)(Path(folder).parent, 16)
            x = row.prepare(pictures.astype(np.float32), mean)
        elif row.shape[0] == 3:
            x = file["mtcnn_input"][:]
        else:
            x = file["dncnn_input"][:][None, None]
    if name == "torch-legacy-pnet":  # its kernels have rows and columns exchanged
        expected, x = expected.swapaxes(2, 3), x.swapaxes(2, 3)
    found = output(build(folder, name), x.astype(np.float32))
    if found.shape != expected.shape:
        raise ValueError(f"{name}: {found.shape} instead of {expected.shape}")
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def cifar10_labels(folder, count):
    """Return the classes of the first test pictures."""
    with h5py.File(folder / "cifar10" / "cifar10_jpeg_full.h5") as file:
        return file["test/label"][:count].astype(int)


def mnist_labels(folder, count):
    """Return the classes of the first test pictures."""
    with gzip.open(folder / "mnist" / "t10k-labels-idx1-ubyte.gz") as file:
        return np.frombuffer(file.read(8 + count), np.uint8, offset=8).astype(int)


def cifar10(folder, count):
    """Return the first test pictures (N, 3, 32, 32), uint8."""
    with h5py.File(folder / "cifar10" / "cifar10_jpeg_full.h5") as file:
        header, group = file["jpeg_header"][:].tobytes(), file["test"]
        offset = group["offset"][: count + 1].astype(int)
        scan = group["scan"][: offset[count]].tobytes()
    pictures = [
        np.asarray(Image.open(io.BytesIO(header + scan[offset[i] : offset[i + 1]])))
        for i in range(count)
    ]
    return np.stack(pictures).transpose(0, 3, 1, 2)


def mnist(folder, count):
    """Return the first test pictures (N, 1, 28, 28), uint8."""
    with gzip.open(folder / "mnist" / "t10k-images-idx3-ubyte.gz") as file:
        data = file.read(16 + count * 784)
    return np.frombuffer(data, np.uint8, offset=16).reshape(count, 1, 28, 28)


def accuracy(folder, name, count=10_000) -> float:
    """Return the share of right answers on the first `count` test pictures of a classifier."""
    row, data = ROWS[name], Path(folder).parent
    colour = row.shape[0] == 3
    with h5py.File(Path(folder) / "reference_outputs.h5") as file:
        mean = file["cifar10_mean_image_rgb"][:].transpose(2, 0, 1)
    pictures = (cifar10 if colour else mnist)(data, count)
    labels = (cifar10_labels if colour else mnist_labels)(data, count)
    net, right = build(folder, name), 0
    for start in range(0, count, BATCH):
        part = slice(start, start + BATCH)
        x = row.prepare(pictures[part].astype(np.float32), mean).astype(np.float32)
        right += int((output(net, x).argmax(axis=1) == labels[part]).sum())
    return right / count


def main(arguments):
    """Print differences, or with --accuracy what share of the test pictures is right."""
    wrong = 0
    for name, row in ROWS.items():
        if "--accuracy" not in arguments:
            print(f"{name:20} {difference(arguments[0], name):.2e}", flush=True)
        elif name in STATED:
            found = accuracy(arguments[0], name)
            wrong += abs(found - STATED[name]) > TOLERANCE
            print(f"{row.file:52} {found:.4f}  stated {STATED[name]:.4f}", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
