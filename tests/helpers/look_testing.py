"""A small classifier, for the tests of what looks at classes."""

from minicnn.network import build
from minicnn.network.layers import Conv2d, Linear, MaxPool2d, ReLU, Softmax
from minicnn.network.network import Network

PREPROCESS = {"channel_order": "BGR", "mean": [10.0, 20, 30], "std": [2.0, 4, 5], "scale": 0.5}


def classifier(*layers, dtype="float64", names=("goldfish", "great white shark", "shark")):
    layers = layers or (
        ("conv1", Conv2d(4, 3, padding=1)),
        ("relu1", ReLU()),
        ("pool1", MaxPool2d(2, 2)),
        ("conv2", Conv2d(6, 3, padding=1)),
        ("relu2", ReLU()),
        ("fc3", Linear(3)),
        ("prob", Softmax()),
    )
    attrs = {"name": "tiny", "preprocess": PREPROCESS, "classes": list(names) if names else None}
    net = Network(list(layers), {}, (3, 12, 12), attrs)
    net.params = build.random_params(net.param_shapes(), 3, dtype)
    return net
