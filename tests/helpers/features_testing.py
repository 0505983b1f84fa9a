"""A small network and small data sets for the tests of `features`."""

import io

import h5py
import numpy as np
from PIL import Image

from minicnn.network.build import random_params
from minicnn.network.layers import Concat, Conv2d, Linear, MaxPool2d, ReLU
from minicnn.network.network import Network

SIZE = 29
LAYERS = ["relu1", "relu2", "both", "relu4"]
PREPROCESS = {
    "channel_order": "BGR",
    "mean": [100.0, 110.0, 120.0],
    "std": [50.0, 50.0, 50.0],
    "scale": 1.0,
}


def small_network(seed=0):
    """Strides, padding, ceil-mode overlapping pooling, a branch, a fully connected layer."""
    net = Network(
        [
            ("conv1", Conv2d(6, 5, 2, 1)),
            ("relu1", ReLU()),
            ("pool1", MaxPool2d(3, 2, ceil=True)),
            ("conv2", Conv2d(9, 3, 1, 1)),
            ("relu2", ReLU()),
            ("side", Conv2d(4, 1), ("relu2",)),
            ("wide", Conv2d(4, 3, 1, 1), ("relu2",)),
            ("both", Concat(), ("side", "wide")),
            ("pool2", MaxPool2d(2, 2)),
            ("fc4", Linear(5)),
            ("relu4", ReLU()),
        ],
        {},
        (3, SIZE, SIZE),
        {"name": "small", "preprocess": PREPROCESS, "classes": None},
    )
    net.params = random_params(net.param_shapes(), seed)
    net.params["conv2.weight"][3] = -abs(net.params["conv2.weight"][3])  # never fires
    return net


def encoded(rng, size=(33, 40)):
    """A picture of blobs, as PNG."""
    small = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def write_set(path, rng, count=30, broken=()):
    """An HDF5 data set with the split val."""
    pictures = [b"no picture" if i in broken else encoded(rng) for i in range(count)]
    with h5py.File(path, "w") as file:
        file["val/bytes"] = np.frombuffer(b"".join(pictures), np.uint8)
        file["val/offset"] = np.cumsum([0, *map(len, pictures)])
        file["val/label"] = np.arange(count) % 2
        file.attrs["class_names"] = ["cat", "<b>dog</b>"]
    return path


def equal(one, other):
    """Whether two `Features` hold the same, bit for bit."""
    return (
        one.done.tolist() == other.done.tolist()
        and one.skipped == other.skipped
        and all(np.array_equal(one.pools[name], other.pools[name]) for name in one.pools)
        and all(
            np.array_equal(getattr(records, key), getattr(other.layers[name], key))
            for name, records in one.layers.items()
            for key in vars(records)
        )
    )
