"""A classifier of a few filters, by the name `tiny`."""

import pytest

from minicnn.network import architectures
from minicnn.network.layers import (
    Conv2d,
    Dropout,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
    Softmax,
)


def _layers(classes):
    return [
        *(("conv1_1", Conv2d(8, 3, padding=1)), ("relu1_1", ReLU()), ("pool1", MaxPool2d(2, 2))),
        *(("conv2_1", Conv2d(12, 3, padding=1)), ("relu2_1", ReLU()), ("pool2", GlobalAvgPool2d())),
        *(("drop2", Dropout(0.5)), ("fc3", Linear(classes)), ("prob", Softmax())),
    ]


@pytest.fixture
def tiny(monkeypatch):
    """Put the network into the table of architectures."""
    model = architectures.Model(_layers, 32, 3, architectures.TINY_IMAGENET)
    monkeypatch.setitem(architectures.MODELS, "tiny", model)
