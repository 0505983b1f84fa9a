"""What the tests of evaluations compiled for a device share: a small network, its objective."""

import numpy as np
import pytest

from minicnn.engine.gpu import compiled_objective as compiled
from minicnn.engine.gpu import terms
from minicnn.methods.style.loss import style_objective
from minicnn.network.layers import Conv2d, MaxPool2d, ReLU
from minicnn.network.network import Network

WEIGHTS = {"content_weight": 1.0, "style_weight": 1e3, "tv_weight": 0.1}


LAYERS = {"content_layers": ["relu2_1"], "style_layers": {"relu1_1": 1, "relu2_1": 0.5, "pool2": 2}}


STRIP = 5000  # bytes: a few rows


@pytest.fixture(autouse=True)
def few_blocks(monkeypatch):
    """Sums by few blocks: a thread of a kernel with barriers is dear on the CPU."""
    for part in (terms, compiled):
        monkeypatch.setattr(part, "SUM_BLOCKS", 3)


def network(pool=MaxPool2d, channels=(8, 12, 16)):
    """A small VGG with filters of several sizes, at random."""
    first, second, third = channels
    layers = [
        ("conv1_1", Conv2d(first, kernel=(3, 5), padding=(1, 2))),
        ("relu1_1", ReLU()),
        ("conv1_2", Conv2d(second, kernel=3, padding=0, bias=False)),
        ("relu1_2", ReLU()),
        ("pool1", pool(kernel=2, stride=2)),
        ("conv2_1", Conv2d(third, kernel=3, padding=1)),
        ("relu2_1", ReLU()),
        ("pool2", pool(kernel=3, stride=2, padding=1, ceil=True)),
    ]
    rng = np.random.default_rng(0)
    net = Network(layers, {}, (3, 21, 18), {"preprocess": {"mean": [0, 0, 0]}})
    for name, shape in net.param_shapes().items():
        scale = np.sqrt(2 / np.prod(shape[1:])) if "weight" in name else 0.1
        net.params[name] = (scale * rng.standard_normal(shape)).astype(np.float32)
    return net


def pictures(net):
    """Return three pictures: where, content, style."""
    rng = np.random.default_rng(1)
    shape = (3, 1, *net.input_shape)
    return (40 * rng.standard_normal(shape)).astype(np.float32)


def drawn_function(net, **options):
    """Return the style objective."""
    _, content, style = pictures(net)
    return style_objective(net, content, style, **{**WEIGHTS, **LAYERS, **options})


def drawn(net, **options):
    """Return (explicit function of the picture, its objective, where)."""
    fun = drawn_function(net, engine="explicit", **options)
    return fun, fun.objective, pictures(net)[0]


def compile_on(machine, net, objective, x, strip=STRIP):
    assert compiled.obstacle(net, objective, x.shape) is None
    return compiled.CompiledObjective(net, objective, x.shape, machine, strip)


def cosine(a, b):
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return a @ b / np.sqrt((a @ a) * (b @ b))
