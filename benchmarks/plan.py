"""Which cases a run has, and about how long it takes."""

import numpy as np
from cases import Case

from minicnn.network import build

KINDS = (
    "gradient",
    "forward",
    "conv-forward",
    "conv-backward",
    "train",
    "scan",
    "records",
    "lbfgs",
)
# the shapes of convolution that occur in VGG-19 up to conv5_1
LAYERS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv4_1", "conv4_2")
LAYERS += ("conv5_1",)
QUICK_LAYERS = ("conv1_1", "conv3_2")
SCANS = {"squeezenet": (227, 384), "minivgg": (64, 2048), "vgg16": (224, 48)}  # size, pictures
QUICK_SCAN = (99, 4)
SHAPES = ("4:3", "3:4", "3:2", "16:9")  # of photographs; those of 3:2 have odd sides
SHAPED = "vgg19"  # the network that is timed with these shapes too
LARGEST = 512  # pixels of the picture: larger ones say nothing new
GFLOPS = 100.0  # a processor's, for the estimate
START_S, COMPILE_S = 6.0, 45.0


def cases(kinds, networks, sizes, threads, *, pool="", shapes=SHAPES, quick=False):
    """Return the list of `Case`, the quick ones first."""
    found = []
    for kind in ("gradient", "forward"):
        if kind in kinds:
            found += [Case(kind, n, size, threads, pool) for n in networks for size in sizes]
    if "gradient" in kinds and SHAPED in networks:
        how = ("gradient", SHAPED)
        found += [Case(*how, s, threads, pool, shape=shape) for s in sizes for shape in shapes]
    for kind in ("conv-forward", "conv-backward"):
        if kind in kinds and (quick or "vgg19" in networks):
            layers, fit = QUICK_LAYERS if quick else LAYERS, [s for s in sizes if s <= LARGEST]
            found += [Case(kind, "vgg19", s, threads, layer=layer) for s in fit for layer in layers]
    if "train" in kinds:
        size, batch = (24, 64) if quick else (48, 128)
        found.append(Case("train", "minivgg-bn", size, threads, batch=batch))
    for kind in ("scan", "records"):
        for name, whole in SCANS.items():
            size, batch = QUICK_SCAN if quick else whole
            if kind in kinds and name in networks:
                found.append(Case(kind, name, size, threads, batch=batch))
    if "lbfgs" in kinds:
        found += [Case("lbfgs", "", size, threads) for size in sizes]
    return found


def seconds(case, peers, rounds, unit):
    """Return about how many seconds a case takes on a quiet machine."""
    turn = max(unit, flop(case) / (1e9 * GFLOPS * case.threads)) + 0.1
    start = sum(COMPILE_S if "compile" in name else START_S for name in peers)
    return start + len(peers) * (rounds + 3) * turn


def flop(case):
    """Return about how many operations a unit of work is, by its convolutions."""
    if case.kind == "lbfgs":
        return 20 * 1e5 * case.size**2  # as long as 20 iterations of SciPy's with bounds take
    if case.kind in ("scan", "records"):
        return case.batch * _convolutions(build.skeleton(case.network), case.sides)
    if case.kind == "train":
        return 3 * case.batch * _convolutions(build.skeleton(case.network), case.sides)
    if case.layer:
        return _convolutions(build.skeleton(case.network), case.sides, case.layer)
    net = _skeleton(case)
    return (2 if case.kind == "gradient" else 1) * _convolutions(net, case.sides)


def _skeleton(case):
    net = build.skeleton(case.network)
    last = max(net.layers.index(name) for name in case.taps)
    net.nodes = net.nodes[: last + 1]
    return net


def _convolutions(net, sides, only=None):
    total, shapes = 0, {"input": (3, *sides)}
    for name, layer, inputs in net.nodes:
        if type(layer).__name__ == "Linear":
            break
        shapes[name] = layer.out_shape(*(shapes[source] for source in inputs))
        if type(layer).__name__ == "Conv2d" and only in (None, name):
            weight = net.params[f"{name}.weight"].shape
            total += 2 * int(np.prod(weight)) * int(np.prod(shapes[name][1:]))
        if name == only:
            break
    return total
