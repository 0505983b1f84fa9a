"""Compare two networks as Zeiler & Fergus compare AlexNet with theirs.

Section 1.4 of the lecture notes, figure 6 of the paper (2014, arXiv 1311.2901): filters of the
first layer with and without limiting their scale, projections of the second, units that are dead.
To the pictures come numbers: shares with intervals (`intervals`), spectra and aliasing
(`filter_spectrum`), accuracy and costs. `verdict` says whether the two findings hold.

A unit is dead if it fires on none of the pictures. A first filter is faint if its RMS, in grey
levels, is below a tenth of that of the strongest one.
"""

from dataclasses import dataclass, field

import numpy as np

from minicnn.engine.cpu.evaluator import FastEvaluator
from minicnn.errors import MinicnnError
from minicnn.methods.comparison import accuracy, filter_spectrum
from minicnn.methods.comparison.costs import costs
from minicnn.methods.comparison.intervals import wilson
from minicnn.methods.features import reconstructions, scan
from minicnn.methods.training.step import limit_rms
from minicnn.network import build
from minicnn.network.chosen_layers import (
    choose_layers,
    fitting,
    relu_behind,
    relus_of_convolutions,
)
from minicnn.network.layers import Conv2d
from minicnn.ops.shapes import pair
from minicnn.pictures.arrays import preprocess
from minicnn.weights import checkpoint

FAINT = 0.1
SAMPLE = 200  # pictures whose spectrum is measured
MOST_UNITS = 128  # whose projections are measured
RANDOM = "random:"


@dataclass
class Network:
    """One of the two, and what was found about it."""

    name: str  # as given
    net: object
    first: str  # the first convolution
    second: str  # the ReLU behind the second
    findings: dict = field(default_factory=dict)  # of plain values
    tiles: dict = field(default_factory=dict)  # {unit: Tile or None}, of the second layer
    drawn: list = field(default_factory=list)  # the units that are shown of it


def open_network(name, seed=0):
    """Return a `Network`: one at hand, of a weight file, or "random:NAME" for an untrained one.

    Raises
    ------
    MinicnnError
        If there is no such network, or it has not two convolutions, the first one on the picture.
    """
    if name.startswith(RANDOM):
        net = build.build(name.removeprefix(RANDOM), seed=seed)
    else:
        net = checkpoint.load(name)
    convolutions = [node.name for node in net.nodes if isinstance(node.layer, Conv2d)]
    if len(convolutions) < 2 or net.nodes[0].name != convolutions[0]:
        raise MinicnnError(
            f"{name} does not begin with a convolution or has no second one; there is nothing to "
            "compare the filters of"
        )
    return Network(name, net, convolutions[0], relu_behind(net, convolutions[1]))


def layers_to_count(networks, patterns=None):
    """Return the layers of each whose units are counted.

    Raises
    ------
    MinicnnError
        If a pattern fits no layer of either, or one of the networks is left with none.
    """
    if patterns is None:
        return [relus_of_convolutions(network.net) for network in networks]
    for pattern in patterns:
        if not any(fitting(network.net, [pattern]) for network in networks):
            choose_layers(networks[0].net, [pattern])  # tells what there is
    chosen = [fitting(network.net, patterns) for network in networks]
    for network, found in zip(networks, chosen, strict=True):
        if not found:
            raise MinicnnError(
                f"none of the layers {', '.join(patterns)} is in {network.name}; its layers are "
                f"{', '.join(network.net.layers)}"
            )
    return chosen


def look(network, layers, pictures, labelled, settings, progress=None):
    """Find everything out about one network; fills its `findings` and `tiles`.

    Parameters
    ----------
    network : Network
    layers : list of str
        Whose units are counted.
    pictures : PictureSet
    labelled : datasets.Dataset, or str
        The same with labels, or why there are none.
    settings : ComparisonSettings
        Its seed is also that of the pictures whose spectrum is measured.
    progress : callable, progress(pictures done, ...), optional
        A picture counts once when it is scanned, and once more when it is classified.
    """
    net, threads = network.net, settings.threads
    evaluator, size = FastEvaluator(net, threads), net.input_shape[1]
    rng = np.random.default_rng(settings.seed)
    wanted = [name for name in net.layers if name in {*layers, network.second}]
    features = scan.scan_strongest(net, pictures, wanted, size, threads, progress)
    network.findings = {
        "network": network.name,
        "architecture": net.attrs["name"],
        "weights_sha256": checkpoint.weights_hash(net),
        "input": list(net.input_shape),
        "pictures": features.seen,
        "skipped": len(features.skipped),
        "dead": [{"layer": name, **_share(features.layers[name].dead)} for name in layers],
        "first": _first(network, pictures, features.skipped, rng),
        "second": {"layer": network.second},
        "accuracy": accuracy.with_intervals(net, labelled, len(pictures), threads, progress),
        "costs": costs(net, evaluator),
    }
    dead = features.layers[network.second].dead
    network.drawn = scan.draw_units(rng, dead, settings.units)
    network.tiles = dict.fromkeys([*network.drawn, *scan.draw_units(rng, dead, MOST_UNITS)])
    field_ = net.receptive_fields()[network.second]
    found = reconstructions.projections(
        net,
        features,
        pictures,
        network.second,
        [unit for unit in network.tiles if not dead[unit]],
        evaluator=evaluator,
        patch=min(size, max(field_.size or (size,))),
        energy=None,
    )
    network.tiles |= {unit: tiles[0] for unit, tiles in found.items()}
    stride = network.findings["first"]["stride"]
    network.findings["second"] |= _harmonics(network, stride)


def _share(which):
    """Return how many of bool (K,) are true, with an interval, as plain values."""
    return wilson(int(which.sum()), len(which))._asdict()


def _first(network, pictures, skipped, rng):
    net = network.net
    layer, w = net.layer(network.first), net.params[f"{network.first}.weight"]
    rms = np.sqrt((in_grey_levels(net, w) ** 2).mean(axis=(1, 2, 3)))
    stride = max(pair(layer.stride))
    folded = filter_spectrum.folded_shares(w, _spectrum(net, pictures, skipped, rng), layer.stride)
    shares = filter_spectrum.band_shares(w)
    return {
        "layer": network.first,
        "kernel": list(pair(layer.kernel)),
        "stride": stride,
        "filters": len(w),
        "faint": _share(rms < FAINT * rms.max()),
        "largest_over_median_rms": float(rms.max() / np.median(rms)),
        "spectrum": {band: mean_of(values) for band, values in shares.items()},
        "folded": mean_of(folded),
    }


def _spectrum(net, pictures, skipped, rng):
    numbers = [int(n) for n in rng.permutation(len(pictures)) if int(n) not in skipped][:SAMPLE]
    total = None
    for n in sorted(numbers):
        x = preprocess(pictures.picture(n, net.input_shape[1]), net.attrs["preprocess"])
        total = filter_spectrum.cross_spectrum(x, total)
    return total


def _harmonics(network, stride):
    found = [
        filter_spectrum.harmonics(tile.projection, stride)
        for tile in network.tiles.values()
        if tile is not None and min(tile.projection.shape[:2]) >= 2 * stride
    ]
    shares, excess = zip(*found, strict=True) if found else ([], [])
    return {"harmonics": mean_of(shares), "excess": mean_of(excess), "units": len(found)}


def mean_of(values):
    """Return {"mean", "error", "of"}: the mean of what is finite, and its standard error."""
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return {"mean": float(values[0]) if len(values) else None, "error": None, "of": len(values)}
    error = values.std(ddof=1) / len(values) ** 0.5
    return {"mean": float(values.mean()), "error": float(error), "of": len(values)}


def in_grey_levels(net, w):
    """Return first filters (K, 3, R, S) as they weigh grey levels of a picture, channels RGB."""
    attrs = net.attrs["preprocess"]
    scale = np.asarray(attrs["scale"] / np.asarray(attrs["std"], np.float64))
    w = w * scale[:, None, None]
    return w[:, ::-1] if attrs["channel_order"] == "BGR" else w


def limited(w):
    """Return filters with none stronger than the median one, and that RMS."""
    radius = float(np.median(np.sqrt((w**2).mean(axis=(1, 2, 3)))))
    w = w.copy()
    if radius > 0:
        limit_rms(w, radius)
    return w, radius
