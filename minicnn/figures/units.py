"""Figures 4 to 8: what units answer to, how that came about, and two networks side by side."""

import numpy as np

from minicnn.figures.material import Figure
from minicnn.methods.comparison import comparison
from minicnn.methods.comparison import report as comparison_report
from minicnn.methods.comparison.settings import ComparisonSettings
from minicnn.methods.comparison.verdict import verdicts
from minicnn.methods.evolution import evolution
from minicnn.methods.evolution import report as evolution_report
from minicnn.methods.evolution.settings import EvolutionSettings
from minicnn.methods.features import scan
from minicnn.methods.features.reconstructions import projections
from minicnn.pictures.sheets import column, labelled
from minicnn.pictures.unit_sheets import block, sheet

TOP, UNITS, COLUMNS = 9, 6, 3  # activations of a unit, units of a layer, units in a row
PATCH = 48


def figure_4(material):
    """Units of layers 1 to 3 with their patches."""
    return _features(material, 4, 1)


def figure_5(material):
    """Units of the layers above with their patches."""
    return _features(material, 5, 4)


def _features(material, number, first):
    s, net, layers = material.settings, material.net, material.layers_of(number)
    wanted = scan.settings_for(net, material.pictures, layers, top=TOP, size=None)
    features = scan.begin(net, wanted)
    scan.scan(features, net, material.pictures, threads=s.threads)
    rng, parts, told = np.random.default_rng(s.seed), [], []
    for place, layer in enumerate(layers, first):
        records, field = features.layers[layer], net.receptive_fields()[layer]
        units = scan.draw_units(rng, records.dead, UNITS)
        tiles = projections(net, features, material.pictures, layer, units, patch=PATCH)
        blocks = {u: block(tiles[u], TOP, paper=s.paper)[0] for u in units if tiles[u]}
        title = f"l = {place}: {layer}, {len(records.dead)} units, {records.dead.sum()} never fire"
        labels = {unit: str(unit) for unit in units}
        parts.append(sheet(blocks, labels, title, columns=COLUMNS, paper=s.paper))
        largest = records.value.max()
        told.append(f"{layer} sees {field.size[0]} pixels, its largest activation is {largest:.3g}")
    span = f"layers {first} to {place}" if place > first else f"layer {first}"
    return Figure(
        f"Figure {number}. Features of {span}",
        column(parts, gap=14, paper=s.paper),
        f"{UNITS} units of each layer of {s.inside}, drawn at random, on "
        f"{material.told_data}. Each has its {TOP} strongest activations, one a picture: left what "
        "the deconvnet projects of them (128 is zero, one scale a unit), right the patch of the "
        "picture that the unit sees. "
        + "; ".join(told) + ".",
        f"minicnn features DATA {material.net_option} --layers {','.join(layers)} -o features",
    )  # fmt: skip


def figure_6(material):
    """Units of all five layers at every snapshot of the training."""
    s, files, snapshots = material.settings, material.snapshot_files, material.snapshots()
    settings = EvolutionSettings(
        files, data="", units=2, sample=64, seed=s.seed, patch=PATCH, threads=s.threads
    )
    found = evolution.evolve(snapshots, material.pictures, settings)
    picture, _ = evolution_report.blocks(found, s.paper)
    changed = ", ".join(
        f"{row['layer']} {row['pictures changed']}" for row in evolution_report.summary(found)
    )
    epochs = ", ".join(map(str, found.epochs))
    return Figure(
        "Figure 6. Features during training",
        picture,
        f"{snapshots[0].architecture} after {epochs} epochs, on {material.told_data}. A cell has "
        "the projection of a unit's strongest activation beside its patch. From one snapshot to "
        f"the next, the strongest picture changed for these shares of all units: {changed}.",
        f"minicnn evolution {' '.join(files)} --data DATA -o evolution",
    )


def figure_7(material):
    """First filters of the two networks."""
    s = material.settings
    networks, drawn, _ = _compared(material)
    rows = [
        _pair(networks, drawn[what], comparison_report.TITLES[what], s.paper)
        for what in ("filters", "limited")
    ]
    first = [network.findings["first"] for network in networks]
    told = "; ".join(
        f"{name}: {f['kernel'][0]} x {f['kernel'][1]}, stride {f['stride']}, {f['faint']['count']} "
        f"of {f['filters']} faint, {f['folded']['mean']:.0%} of their answer folded by the stride"
        for name, f in zip(comparison_report.names(networks), first, strict=True)
    )
    return Figure(
        "Figure 7. Two architectures: the first layer",
        column(rows, gap=16, paper=s.paper),
        f"Filters as they weigh red, green and blue; 128 is zero. {told}.",
        f"minicnn compare {s.inside} {s.beside} --data DATA -o comparison",
    )


def figure_8(material):
    """Projections of the second layers of the two networks."""
    s = material.settings
    networks, drawn, found = _compared(material)
    conclusions = comparison_report.conclusions(networks, found)
    return Figure(
        "Figure 8. Two architectures: the second layer",
        _pair(networks, drawn["second"], comparison_report.TITLES["second"], s.paper),
        f"Of 24 units drawn at random the strongest activation on {material.told_data}, projected, "
        "beside its patch. " + " ".join(conclusions[1:] or conclusions),
        f"minicnn compare {s.inside} {s.beside} --data DATA -o comparison",
    )


def _pair(networks, pictures, title, paper):
    row = comparison_report.beside(pictures, comparison_report.names(networks), paper)
    return labelled(row, title, size=18, paper=paper)


def _compared(material):
    """Return the two networks looked at, what is drawn of them, the verdicts; once a material."""
    if not hasattr(material, "looked_at"):
        s, networks = material.settings, material.compared()
        settings = ComparisonSettings(s.inside, s.beside, data="", seed=s.seed, threads=s.threads)
        unlabelled = "these pictures have no labels that the networks know"
        for network, layers in zip(networks, comparison.layers_to_count(networks), strict=True):
            comparison.look(network, layers, material.pictures, unlabelled, settings)
        found = verdicts(*(network.findings for network in networks))
        material.looked_at = networks, comparison_report.pictures(networks, s.paper), found
    return material.looked_at
