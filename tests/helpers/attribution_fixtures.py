"""A small classifier, its pictures, its target, and the same network in PyTorch."""

import numpy as np
import pytest
from look_testing import classifier

from minicnn.methods.attribution.target import Target


@pytest.fixture
def net():
    return classifier()


@pytest.fixture
def x(rng):
    return rng.standard_normal((2, 3, 12, 12))


@pytest.fixture
def target():
    """Class 2 of the first picture, class 0 of the second."""
    return Target("fc3", np.array([2, 0]))


@pytest.fixture
def twin(net):
    """The network in PyTorch, up to the scores, its layers by name."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    layers = {
        "conv1": nn.Conv2d(3, 4, 3, padding=1),
        "relu1": nn.ReLU(),
        "pool1": nn.MaxPool2d(2, 2),
        "conv2": nn.Conv2d(4, 6, 3, padding=1),
        "relu2": nn.ReLU(),
        "flat": nn.Flatten(),
        "fc3": nn.Linear(6 * 6 * 6, 3),
    }
    module = nn.Sequential()
    for name, layer in layers.items():
        module.add_module(name, layer)
    module = module.double()
    module.load_state_dict({key: torch.from_numpy(w) for key, w in net.params.items()})
    return module
