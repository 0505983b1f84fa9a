"""What is remembered of a layer's units while pictures go by: the k strongest activations, counts.

    order    (-value, picture, row, column), the smallest first

It is total, so the answer depends on neither the order in which pictures come nor on how they are
cut into batches and shards; `merge` is associative and commutative. A picture appears once for a
unit, with the first of its strongest positions in row-major order. Only values above 0 are kept:
a unit that has none is dead, its slots stay empty (picture -1), and nothing is put into them.

Memory: 20 k + 8 (2 + BINS) bytes for a unit, whatever the number of pictures.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from minicnn.backend import array_module, to_host
from minicnn.engine.cpu.column_peaks import column_peaks
from minicnn.errors import MinicnnError

EMPTY = -1
# maxima over a picture are counted in half octaves; bin 0 is for those that are not above 0
EDGES = 2.0 ** (np.arange(-24, 41) / 2)
BINS = len(EDGES) + 2


@dataclass
class Records:
    """The units of one layer."""

    value: np.ndarray  # float32 (K, k), descending; 0 in empty slots
    picture: np.ndarray  # int64 (K, k), numbers of pictures; -1 in empty slots
    row: np.ndarray  # int32 (K, k), of the activation in the layer's map; -1 in empty slots
    column: np.ndarray  # int32 (K, k)
    fired: np.ndarray  # int64 (K,), pictures with an activation above 0
    positive: np.ndarray  # int64 (K,), activations above 0 over all pictures and positions
    # int64 (K, BINS), pictures by their maximum: bin 0 for maxima <= 0, bin 1 below EDGES[0],
    # bin i + 1 from EDGES[i - 1] up
    histogram: np.ndarray

    @property
    def dead(self):
        """Which units have never fired, bool (K,)."""
        return self.picture[:, 0] == EMPTY


RANKED = ("value", "picture", "row", "column")


def empty(units, k):
    """Return the `Records` of `units` units that have seen nothing yet."""
    return Records(
        value=np.zeros((units, k), np.float32),
        picture=np.full((units, k), EMPTY, np.int64),
        row=np.full((units, k), EMPTY, np.int32),
        column=np.full((units, k), EMPTY, np.int32),
        fired=np.zeros(units, np.int64),
        positive=np.zeros(units, np.int64),
        histogram=np.zeros((units, BINS), np.int64),
    )


class Sight(NamedTuple):
    """What is taken of the activations of some pictures in one layer, before they are noted."""

    peaks: np.ndarray  # float32 (N, K), the maximum of each map
    positive: np.ndarray  # int64 (K,), activations above 0
    units: np.ndarray  # int (U,), those that may have found something stronger than what is kept
    where: np.ndarray  # int32 (U, N), first place of each maximum, row-major; -1 if too weak
    columns: int  # of a map


def sight(maps, least, known=None):
    """Return the `Sight` of activations (N, K, P, Q), which may be thrown away then.

    Parameters
    ----------
    maps : floating point (N, K, P, Q)
    least : float32 (K,)
        What is kept of each unit is not below that: it spares looking for places.
    known : (largest, positive), optional
        The `column_peaks` of the maps, if they have been taken already.
    """
    if array_module(maps) is not np:
        return _sight_of_device(maps, least)
    largest, positive = known or column_peaks(maps)
    peaks = largest.max(axis=2).astype(np.float32)
    worth = (peaks > 0) & (peaks >= least)
    units = np.flatnonzero(worth.any(axis=0))
    where = np.full((len(units), len(maps)), EMPTY, np.int32)
    at, n = np.nonzero(worth[:, units].T)
    where[at, n] = _first_places(maps, largest, n, units[at])
    return Sight(peaks, positive.sum(axis=(0, 2), dtype=np.int64), units, where, maps.shape[3])


def _first_places(maps, largest, n, unit):
    """Return where the maps (n[i], unit[i]) have their maxima first, row-major, int (i,).

    `largest` (N, K, Q) holds the maximum of each column; only those that have it are looked at.
    """
    P, Q = maps.shape[2:]
    chosen = largest[n, unit]
    i, column = np.nonzero(chosen == chosen.max(axis=1, keepdims=True))
    row = maps[n[i], unit[i], :, column].argmax(axis=1)
    places = np.full(len(n), P * Q)
    np.minimum.at(places, i, row * Q + column)
    return places


def _sight_of_device(maps, least):
    """Return the `Sight` of activations on a device; only what it holds is copied."""
    flat, columns = maps.reshape(*maps.shape[:2], -1), maps.shape[3]
    peaks = to_host(flat.max(axis=2)).astype(np.float32)
    places = to_host(flat.argmax(axis=2))
    worth = (peaks > 0) & (peaks >= least)
    units = np.flatnonzero(worth.any(axis=0))
    where = np.where(worth, places, EMPTY)[:, units].T.astype(np.int32)
    return Sight(peaks, to_host((flat > 0).sum(axis=(0, 2))), units, where, columns)


def note(records, pictures, seen):
    """Put a `Sight` into `records`, which are changed in place.

    Parameters
    ----------
    records : Records
    pictures : int array (N,)
        Their numbers, none of which has been noted before.
    seen : Sight

    Raises
    ------
    MinicnnError
        If an activation is NaN or infinite.
    """
    pictures, peaks = np.asarray(pictures, np.int64), seen.peaks
    bad = ~np.isfinite(peaks)
    if bad.any():
        n, unit = np.argwhere(bad)[0]
        raise MinicnnError(
            f"unit {unit} is {peaks[n, unit]} on picture {pictures[n]}; there is no order among "
            "such activations, so check the weights"
        )
    records.fired += (peaks > 0).sum(axis=0)
    records.positive += seen.positive
    bins = np.where(peaks > 0, np.searchsorted(EDGES, peaks, side="right") + 1, 0)
    np.add.at(records.histogram, (np.arange(peaks.shape[1]), bins), 1)
    held = seen.where != EMPTY
    new = {
        "value": np.where(held, peaks[:, seen.units].T, 0),
        "picture": np.where(held, pictures, EMPTY),
        "row": np.where(held, seen.where // seen.columns, EMPTY),
        "column": np.where(held, seen.where % seen.columns, EMPTY),
    }
    old = {name: getattr(records, name)[seen.units] for name in RANKED}
    for name, array in strongest(old, new).items():
        getattr(records, name)[seen.units] = array


def merge(one, other):
    """Return the `Records` of the pictures of two, which have none in common."""
    ranked = strongest(*({name: getattr(r, name) for name in RANKED} for r in (one, other)))
    counted = {f.name: getattr(one, f.name) + getattr(other, f.name) for f in fields(Records)[4:]}
    return Records(**ranked, **counted)


def strongest(one, other):
    """Return the first k, in the order, of two dicts of ranked arrays (K, k) and (K, any)."""
    joined = {name: np.concatenate([one[name], other[name]], axis=1) for name in RANKED}
    # no picture is there twice, so row and column never decide
    order = np.lexsort((joined["picture"], -joined["value"]), axis=1)[:, : one["value"].shape[1]]
    return {
        name: np.take_along_axis(joined[name], order, axis=1).astype(one[name].dtype)
        for name in RANKED
    }


def hits(records, unit):
    """Return [(picture, row, column, value)] of a unit, the strongest first; no empty slots."""
    ranked = (records.picture, records.row, records.column, records.value)
    rows = zip(*(array[unit].tolist() for array in ranked), strict=True)
    return [row for row in rows if row[0] != EMPTY]
