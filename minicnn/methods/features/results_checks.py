"""What holds in every results file of a scan (`results_file`); where it does not, it is damaged.

Beside types and shapes: the kept activations descend and come from pictures that have been scanned,
each unit's histogram counts every scanned picture once, and the units that fired are its bins
above 0.
"""

import numpy as np

from minicnn.methods.features import strongest


def check_content(features):
    """Raise ValueError unless the shapes, types and values of `Features` are those of a scan."""
    settings = features.settings
    numbers = (settings.pictures, settings.top, settings.size, settings.group)
    if not all(type(n) is int and n > 0 for n in numbers):
        raise ValueError("numbers of pictures must be positive")
    if len(set(settings.layers)) < len(settings.layers):
        raise ValueError("a layer is listed twice")
    if features.done.shape != (settings.blocks,):
        raise ValueError(f"{features.done.shape} blocks, {settings.blocks} wanted")
    if not all(n in range(settings.pictures) for n in [*features.skipped, *features.names]):
        raise ValueError(f"skipped pictures or names are outside 0 to {settings.pictures - 1}")
    scanned = np.repeat(features.done, settings.group)[: settings.pictures].copy()
    if not scanned[list(features.skipped)].all():
        raise ValueError("pictures are skipped that have not been scanned")
    scanned[list(features.skipped)] = False
    for name, records in features.layers.items():
        _check_types(name, records, settings.top)
        _check_strongest(name, records, features.maps[name], scanned)
        _check_counts(name, records, int(scanned.sum()))
    for name, counts in features.pools.items():
        if counts.shape != (2,) or counts.dtype.kind not in "iu" or not 0 <= counts[0] <= counts[1]:
            raise ValueError(f"pools/{name} holds no two counts")


def _check_types(name, records, top):
    wanted = vars(strongest.empty(len(records.value), top))
    for key, array in vars(records).items():
        if array.shape != wanted[key].shape or array.dtype != wanted[key].dtype:
            raise ValueError(f"{name}/{key} is {array.dtype} {array.shape}")


def _check_strongest(name, records, map_shape, scanned):
    held = records.picture != strongest.EMPTY
    limits = (len(scanned), *map_shape)
    for key, limit in zip(("picture", "row", "column"), limits, strict=True):
        array = getattr(records, key)
        if ((array[held] < 0) | (array[held] >= limit)).any():
            raise ValueError(f"{name}/{key} has entries outside 0 to {limit - 1}")
        if (array[~held] != strongest.EMPTY).any():
            raise ValueError(f"{name}/{key} has entries in empty slots")
    if not np.isfinite(records.value).all():
        raise ValueError(f"{name}/value is not finite")
    if ((records.value > 0) != held).any() or (np.diff(records.value, axis=1) > 0).any():
        raise ValueError(f"{name}/value does not descend to 0 in empty slots")
    if not scanned[records.picture[held]].all():
        raise ValueError(f"{name}/picture has pictures that have not been scanned")


def _check_counts(name, records, seen):
    counts = records.histogram
    if (counts < 0).any() or (counts.sum(axis=1) != seen).any():
        raise ValueError(f"{name}/histogram does not count the {seen} scanned pictures")
    if (records.fired != counts[:, 1:].sum(axis=1)).any() or (
        records.positive < records.fired
    ).any():
        raise ValueError(f"{name}/fired or positive do not fit the histogram")
