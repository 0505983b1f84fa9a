"""How the features of a network come about during training.

Section 1.3 of the lecture notes, figure 4 of Zeiler & Fergus 2014 (arXiv 1311.2901): of some units
of every layer the strongest activation over the data set, at each snapshot, projected to the pixels
by the deconvnet. Where the strongest activation comes from another picture than before, the
projection jumps; how often that happens is counted over all units of the layer.

Beside the pictures stand numbers: how far each layer is from what it is in the last snapshot, by
the distances of `distances`.

Snapshots are read one after another, so memory holds two networks at most.
"""

from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from typing import NamedTuple

import numpy as np

from minicnn.engine.cpu.evaluator import FastEvaluator
from minicnn.errors import MinicnnError
from minicnn.methods.evolution import distances
from minicnn.methods.features import reconstructions, scan
from minicnn.network.chosen_layers import choose_layers, relus_of_convolutions, weights_below
from minicnn.weights import checkpoint

WITHIN = 0.1  # a layer has arrived when its features stay nearer than this


@dataclass
class Evolution:
    """What has been found; tiles and changes have an entry a snapshot."""

    snapshots: list  # of Snapshot, by epoch
    pictures: int  # how many were looked at
    layers: dict  # {layer: how many units it has}
    units: dict  # {layer: list of int}, those that are drawn
    found: dict  # {layer: {unit: list of Tile or None}}, None where it never fires
    changed: dict  # {layer: {unit: list of bool}}: another picture than in the one before?
    rows: list = field(default_factory=list)  # of dict, one for every layer and snapshot
    names: dict = field(default_factory=dict)  # {number: name} of the pictures in the tiles

    @property
    def epochs(self):
        """The epochs, ascending."""
        return [snapshot.epoch for snapshot in self.snapshots]

    def rows_of(self, layer):
        """Return the rows of a layer, by epoch."""
        return [row for row in self.rows if row["layer"] == layer]


class _State(NamedTuple):
    """The network of a snapshot, what evaluates it, and what a scan with it has found."""

    net: object
    evaluator: FastEvaluator
    features: object


def evolve(snapshots, pictures, settings, progress=None):
    """Scan, project and measure at every snapshot.

    Parameters
    ----------
    snapshots : list of Snapshot
        As `snapshots.read_snapshots` returns them.
    pictures : PictureSet
    settings : EvolutionSettings
        Of the units, those are drawn that fire in the end while there are such.
    progress : callable, progress(pictures done, pictures in all), optional

    Returns
    -------
    Evolution

    Raises
    ------
    MinicnnError
        If there is no such layer, or the pictures cannot be read.
    KeyboardInterrupt
    """
    last = checkpoint.load(snapshots[-1].path)
    patterns, size = settings.layers, settings.size or last.input_shape[1]
    layers = choose_layers(last, patterns) if patterns else relus_of_convolutions(last)
    rng, told = np.random.default_rng(settings.seed), len(pictures) * len(snapshots)

    def look(net, snapshot, turn):
        def tell(done, *_):
            if progress:
                progress(turn * len(pictures) + done, told)

        with _named(snapshot):
            found = scan.scan_strongest(net, pictures, layers, size, settings.threads, tell)
        return _State(net, FastEvaluator(net, settings.threads), found)

    end = look(last, snapshots[-1], 0)
    dead = {layer: end.features.layers[layer].dead for layer in layers}
    chosen = {layer: scan.draw_units(rng, dead[layer], settings.units) for layer in layers}
    batch = _sample(rng, pictures, end.features.skipped, settings.sample, size)
    shapes = scan.trunk_shapes(last, layers, size)
    places = distances.choose_places(shapes, layers, len(batch), settings.seed)
    final = distances.sampled(last, end.evaluator, batch, places)
    out = Evolution(
        snapshots,
        end.features.seen,
        {layer: len(dead[layer]) for layer in layers},
        chosen,
        *({layer: {unit: [] for unit in chosen[layer]} for layer in layers} for _ in range(2)),
    )
    before = None
    for turn, snapshot in enumerate(snapshots, 1):
        state, now = end, final
        if snapshot is not snapshots[-1]:
            state = look(checkpoint.load(snapshot.path), snapshot, turn)
            now = distances.sampled(state.net, state.evaluator, batch, places)
        for layer in layers:
            keys, records = weights_below(last, layer), state.features.layers[layer]
            weights = [[net.params[key] for key in keys] for net in (state.net, last)]
            strongest = records.picture[:, 0]
            jumped = strongest != (strongest if before is None else before[layer].picture[:, 0])
            out.rows.append(
                {
                    "layer": layer,
                    "epoch": snapshot.epoch,
                    **distances.distances(now[layer], final[layer], *weights),
                    "changed": None if before is None else float(jumped.mean()),
                    "dead": int(records.dead.sum()),
                }
            )
            with _named(snapshot):
                _project(out, state, pictures, layer, jumped, settings)
        before = state.features.layers
    return out


@contextmanager
def _named(snapshot):
    """Name the file of a snapshot in what goes wrong with it."""
    try:
        yield
    except MinicnnError as error:
        raise MinicnnError(f"with {snapshot.path}: {error}") from None


def arrivals(evolution):
    """Return {layer: the first epoch from which its features stay within `WITHIN`}."""
    found = {}
    for layer in evolution.layers:
        *rows, last = evolution.rows_of(layer)
        near = takewhile(lambda row: row["features"] <= WITHIN, reversed(rows))
        found[layer] = [last, *near][-1]["epoch"]
    return found


def mean_distances(evolution, name="features"):
    """Return {layer: mean of a distance over all snapshots but the last}, None without numbers."""
    found = {}
    for layer in evolution.layers:
        values = [row[name] for row in evolution.rows_of(layer)[:-1]]
        found[layer] = None if None in values else float(np.mean(values))
    return found


def _sample(rng, pictures, skipped, count, size):
    numbers = [n for n in rng.permutation(len(pictures)) if int(n) not in skipped][:count]
    return [pictures.picture(int(n), size) for n in sorted(numbers)]


def _project(out, state, pictures, layer, jumped, settings):
    """Append a tile of every chosen unit."""
    records, chosen = state.features.layers[layer], out.units[layer]
    alive = [unit for unit in chosen if not records.dead[unit]]
    how = {"evaluator": state.evaluator, "policy": settings, "patch": settings.patch}
    how["energy"] = reconstructions.energy_of(settings)
    tiles = reconstructions.projections(state.net, state.features, pictures, layer, alive, **how)
    for unit in chosen:
        found = tiles[unit][0] if unit in tiles else None
        out.found[layer][unit].append(found)
        out.changed[layer][unit].append(bool(jumped[unit]))
        if found:
            out.names[found.picture] = pictures.name(found.picture)
