"""What is timed: the cases, and the arrays that every peer gets.

A case is a few words and numbers; from it each process makes the same network and pictures for
itself. Networks have random weights and end at the last layer that the case reads.
"""

from typing import NamedTuple

import numpy as np

from minicnn.network import build
from minicnn.network.network import Network


class Objective(NamedTuple):
    """The style objective of a network: where it is read, and how to pool.

    The layers are written down here, not taken from `methods.network_defaults`, so that a table
    of today can be compared with one of next year.
    """

    style_layers: tuple
    content_layer: str
    pool: str
    style_weight: float  # such that, with random weights, both terms are of like size


VGG = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
MINI = ("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu4_1")
SLIM = ("pc1_1", "pc2_1", "pc2_2", "pc3_1", "pc4_1")
FIRE = ("relu_conv1", "fire2/concat", "fire3/concat", "fire4/concat", "fire5/concat")
OBJECTIVES = {
    "vgg19": Objective(VGG, "relu4_2", "average", 1e3),
    "vgg16": Objective(VGG, "relu4_2", "average", 1e3),
    "squeezenet": Objective(FIRE, "fire4/concat", "max", 1e3),
    "slimvgg": Objective(SLIM, "pc4_2", "average", 1e3),
    "minivgg": Objective(MINI, "relu4_1", "average", 1e3),
}


class Case(NamedTuple):
    """One row of the table."""

    kind: str  # see `peers`
    network: str
    size: int
    threads: int
    pool: str = ""  # "" is that of the network's objective
    layer: str = ""  # of a convolution
    batch: int = 1  # pictures of a training step or a scan
    shape: str = ""  # width:height of a picture whose longer side is `size`; "" is a square

    @property
    def name(self):
        """What it is called in tables and files."""
        parts = (self.kind, self.network, self.layer, self.pool, self.size, self.shape)
        return " ".join(str(part) for part in (*parts, f"{self.threads}t") if part)

    @property
    def sides(self):
        """(height, width) of the picture, in pixels."""
        width, height = map(int, (self.shape or "1:1").split(":"))
        longer = max(width, height)
        return round(self.size * height / longer), round(self.size * width / longer)

    @property
    def objective(self):
        """The `Objective` of the network, with the pooling of this case."""
        row = OBJECTIVES[self.network]
        return row._replace(pool=self.pool or row.pool)

    @property
    def taps(self):
        """The layers that the objective reads, each once."""
        return tuple(dict.fromkeys((*self.objective.style_layers, self.objective.content_layer)))


def network(case):
    """Return the network up to the last layer that is read, with He weights and small biases."""
    return cut(case.network, case.taps, case.objective.pool)


def cut(name, layers, pool=None):
    """Return the network `name` up to the last of `layers`, so that no other weights are drawn."""
    whole = build.skeleton(name, pool=pool)
    last = max(whole.layers.index(layer) for layer in layers)
    net = Network([tuple(node) for node in whole.nodes[: last + 1]], {}, whole.input_shape)
    net.attrs = whole.attrs
    net.params = build.random_params(net.param_shapes(), seed=0)
    rng = np.random.default_rng(0)
    for key, array in net.params.items():
        if key.endswith(".bias"):
            array[...] = 0.05 * rng.standard_normal(array.shape)
    return net


def pictures(case):
    """Return content, style and x, float32 (1, 3, *sides): blurred noise, no two alike."""
    return tuple(_noise(case.sides, seed) for seed in (1, 2, 3))


def _noise(sides, seed):
    """Noise at three scales, as pictures have it; of the order of 1."""
    rng = np.random.default_rng(seed)
    (H, W), x = sides, np.zeros((1, 3, *sides), np.float32)
    for step in (1, 4, 16):
        small = rng.standard_normal((1, 3, -(-H // step), -(-W // step)), dtype=np.float32)
        x += small.repeat(step, 2).repeat(step, 3)[:, :, :H, :W]
    return x


def convolution(case):
    """Return (x, w, b, padding, dy) of one layer: random input and output gradient."""
    net = cut(case.network, (case.layer,))
    shape, rng = _input_shape(net, case), np.random.default_rng(0)
    w, b = net.params[f"{case.layer}.weight"], net.params[f"{case.layer}.bias"]
    layer = net.layer(case.layer)
    x = rng.standard_normal((1, *shape), dtype=np.float32)
    dy = rng.standard_normal((1, *layer.out_shape(shape)), dtype=np.float32)
    return x, w, b, layer.padding, dy


def _input_shape(net, case):
    (source,) = next(node.inputs for node in net.nodes if node.name == case.layer)
    picture = (3, *case.sides)
    return picture if source == "input" else net.shapes(picture)[source]
