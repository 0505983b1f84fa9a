"""The results of a scan in HDF5: written while it runs, resumed from, merged with other shards.

    /layers/NAME/value, picture, row, column     (K, k), see `strongest.Records`
    /layers/NAME/fired, positive, histogram      (K,) and (K, BINS)
    /layers/NAME/map                             (P, Q) of the layer's maps
    /done                                        (blocks,) 0 or 1: which blocks have been scanned
    /pools/NAME                                  (2,) windows that were all zero, windows in all
    /skipped, /names                             JSON in bytes: {picture: reason}, {picture: name}
    root attributes                              format, format_version, settings

A block is a group of consecutive pictures, which go through the network together. A shard does
whole blocks, and rounding depends on nothing else: so any shards of a scan, merged in any order,
give the numbers of one scan bit for bit.
"""

import json
from dataclasses import asdict, dataclass, field, fields

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.methods.features import results_checks, strongest
from minicnn.storage.hdf5 import load_arrays, save_arrays

FORMAT, VERSION = "minicnn-features", 2


@dataclass(frozen=True)
class ScanSettings:
    """What shards of one scan have in common."""

    network: str
    weights: str  # SHA-256 of the parameters
    data: str  # where the pictures are
    fingerprint: str  # of the set
    split: str | None
    pictures: int  # how many
    layers: list
    top: int  # activations kept for a unit
    pool: str | None  # of the network: what its poolings are, where that is not as published
    size: int  # side of the pictures in pixels
    group: int  # how many pictures are a block

    @property
    def blocks(self):
        """How many blocks there are."""
        return -(-self.pictures // self.group)

    def block(self, number):
        """Return the numbers of the pictures in a block."""
        return range(self.pictures)[number * self.group :][: self.group]


@dataclass
class Features:
    """How far a scan is, and what it has found."""

    settings: ScanSettings
    layers: dict  # {name: strongest.Records}
    maps: dict  # {name: (rows, columns)}
    done: np.ndarray  # bool (blocks,)
    # {name: int64 (2,)} of the max poolings below: windows whose maximum is 0, and all windows
    pools: dict
    skipped: dict = field(default_factory=dict)  # {picture: reason}
    names: dict = field(default_factory=dict)  # {picture: name}, of those among the strongest

    @property
    def complete(self):
        """Whether every block has been scanned."""
        return bool(self.done.all())

    @property
    def seen(self):
        """How many pictures have been scanned; broken ones do not count."""
        blocks = np.flatnonzero(self.done)
        return sum(len(self.settings.block(b)) for b in blocks) - len(self.skipped)


def start(settings, shapes, pools):
    """Return the `Features` of a scan that has not begun; `shapes`: {layer: (K, P, Q)}."""
    return Features(
        settings,
        {name: strongest.empty(shapes[name][0], settings.top) for name in settings.layers},
        {name: tuple(shapes[name][1:]) for name in settings.layers},
        np.zeros(settings.blocks, bool),
        {name: np.zeros(2, np.int64) for name in pools},
    )


def merge(one, other):
    """Return the `Features` of two shards of one scan.

    Raises
    ------
    MinicnnError
        If they are shards of different scans, have pictures in common, or one is damaged.
    """
    check_settings(one.settings, other.settings, "the results", "the others")
    check_shapes(one, other, "the results are damaged")
    twice = np.flatnonzero(one.done & other.done)
    if len(twice):
        raise MinicnnError(
            f"both results hold the pictures from {one.settings.block(twice[0])[0]} on; give each "
            "shard once"
        )
    return Features(
        one.settings,
        {name: strongest.merge(one.layers[name], other.layers[name]) for name in one.layers},
        one.maps,
        one.done | other.done,
        {name: one.pools[name] + other.pools[name] for name in one.pools},
        dict(sorted({**one.skipped, **other.skipped}.items())),
        dict(sorted({**one.names, **other.names}.items())),
    )


def check_settings(theirs, ours, what, than):
    """Raise `MinicnnError` where the settings of two scans differ in more than where data lies."""
    theirs, ours = asdict(theirs), asdict(ours)
    differing = [name for name in ours if name != "data" and theirs[name] != ours[name]]
    if differing:
        raise MinicnnError(
            f"{what} and {than} are not one scan: {', '.join(differing)} differ "
            f"({theirs[differing[0]]!r} and {ours[differing[0]]!r}); use the same options"
        )


def check_shapes(one, other, what):
    """Raise `MinicnnError` where two `Features` of the same settings differ in units or maps."""
    for name in one.layers:
        here, there = ((len(f.layers[name].value), *f.maps[name]) for f in (one, other))
        if here != there:
            raise MinicnnError(f"{what}: layer {name} is {here} in one, {there} in the other")
    if set(one.pools) != set(other.pools):
        raise MinicnnError(
            f"{what}: their poolings differ ({list(one.pools)}, {list(other.pools)})"
        )


def save(features, path):
    """Write a file, replacing one that is there when all is written."""
    arrays = {"done": features.done.astype(np.uint8)}
    for name, records in features.layers.items():
        arrays |= {f"layers/{name}/{key}": array for key, array in vars(records).items()}
        arrays[f"layers/{name}/map"] = np.array(features.maps[name])
    arrays |= {f"pools/{name}": counts for name, counts in features.pools.items()}
    for name in ("skipped", "names"):
        text = json.dumps({str(key): value for key, value in getattr(features, name).items()})
        arrays[name] = np.frombuffer(text.encode(), np.uint8)
    attrs = {"format": FORMAT, "format_version": VERSION, "settings": asdict(features.settings)}
    save_arrays(path, arrays, attrs)


def load(path):
    """Read a file that `save` has written.

    Raises
    ------
    MinicnnError
        If there is none, it is damaged, or its parts do not fit each other.
    """
    arrays, attrs = load_arrays(path, check=lambda found, attrs: _check_header(attrs))
    try:
        features = _assembled(arrays, ScanSettings(**attrs["settings"]))
        results_checks.check_content(features)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise MinicnnError(f"{path} is damaged: its parts do not fit ({reason})") from None
    return features


def _check_header(attrs):
    if attrs.get("format") != FORMAT:
        raise MinicnnError("holds no features; `minicnn features` writes such files")
    if attrs.get("format_version") != VERSION:
        raise MinicnnError(
            f"format version {attrs.get('format_version')}, but this minicnn reads {VERSION} alone"
        )


def _assembled(arrays, settings):
    parts, layers, maps = [f.name for f in fields(strongest.Records)], {}, {}
    for name in settings.layers:
        layers[name] = strongest.Records(*(arrays[f"layers/{name}/{key}"] for key in parts))
        maps[name] = tuple(int(side) for side in arrays[f"layers/{name}/map"])
    told = {}
    for name in ("skipped", "names"):
        text = json.loads(arrays[name].astype(np.uint8).tobytes().decode())
        told[name] = {int(key): str(value) for key, value in text.items()}
    pools = {key[len("pools/") :]: array for key, array in arrays.items() if key[:6] == "pools/"}
    return Features(settings, layers, maps, arrays["done"].astype(bool), pools, **told)
