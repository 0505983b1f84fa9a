"""Show a whole data set to a network and keep, of every unit, what excites it most.

Section 1.2 of the lecture notes, figure 2 of Zeiler & Fergus 2014 (arXiv 1311.2901): one pass over
all pictures, no gradients. `strongest` says what is kept, `results_file` how it is stored, and
`engine.picture_walk` how pictures go up.

Memory: the records (`strongest`), and for each worker the activations of one group of pictures.
None grows with the set.
"""

import time
from contextlib import closing

import numpy as np

from minicnn.engine import picture_walk
from minicnn.engine.cpu.workers import WorkerKilledError
from minicnn.engine.memory import refuse_lack
from minicnn.errors import MinicnnError
from minicnn.methods.features import results_file, strongest
from minicnn.network.chosen_layers import pools_below
from minicnn.ops.unpool import zero_windows
from minicnn.storage.interrupts import interrupts_noted
from minicnn.weights import checkpoint

SAVE_SECONDS = 60.0
GROUP_PIXELS = 400 * 400  # more than that together is no faster
GROUP = 16  # pictures at most


def group_size(side):
    """Return how many pictures of `side` x `side` pixels go up together."""
    return max(1, min(GROUP, GROUP_PIXELS // side**2))


def trunk_shapes(net, layers, size):
    """Return {layer: (C, H, W)} up to the last of `layers` for pictures of size x size pixels."""
    try:
        return net.shapes((net.input_shape[0], size, size), layers)
    except MinicnnError as error:
        raise MinicnnError(
            f"pictures of {size} x {size} pixels do not fit {net.attrs['name']}: {error}; "
            f"use --size {net.input_shape[1]}"
        ) from None


def settings_for(net, pictures, layers, *, top=9, size=None, group=None):
    """Return the `ScanSettings` of a scan of a `PictureSet`.

    Raises
    ------
    MinicnnError
        If a layer does not work at this size.
    """
    size = size or net.input_shape[1]
    trunk_shapes(net, layers, size)
    return results_file.ScanSettings(
        network=net.attrs["name"],
        weights=checkpoint.weights_hash(net),
        data=str(pictures.path),
        fingerprint=pictures.fingerprint(),
        split=pictures.split,
        pictures=len(pictures),
        layers=list(layers),
        top=top,
        pool=net.attrs.get("pool"),
        size=size,
        group=group or group_size(size),
    )


def begin(net, settings):
    """Return the `Features` of a scan that has not begun."""
    shapes = trunk_shapes(net, settings.layers, settings.size)
    return results_file.start(settings, shapes, pools_below(net, settings.layers))


def shard_blocks(settings, shard=(1, 1)):
    """Return the numbers of the blocks of shard (i, n), every n-th one."""
    return range(shard[0] - 1, settings.blocks, shard[1])


def memory(net, features, **how):
    """Return about how many bytes a scan takes; `how`: batch and threads."""
    records = sum(a.nbytes for r in features.layers.values() for a in vars(r).values())
    return records + picture_walk.memory(net, **_walk_of(features), **how)


def _walk_of(features):
    settings = features.settings
    taps = list(dict.fromkeys([*features.layers, *features.pools]))
    return {"taps": taps, "size": settings.size, "group": settings.group}


def scan(
    features,
    net,
    pictures,
    *,
    blocks=None,
    strict=False,
    save=None,
    progress=None,
    stop=None,
    **how,
):
    """Scan the blocks that are not done yet; `features` is changed in place.

    Parameters
    ----------
    features : Features
    net : Network
    pictures : PictureSet
    blocks : iterable of int, optional
        All by default.
    strict : bool
        Stop at a picture that cannot be read; else it is noted in `features.skipped`.
    save : callable, save(features), optional
        Called every minute, at the end, and on Ctrl-C.
    progress : callable, progress(pictures done, pictures in all, skipped), optional
        `skipped` is {picture: reason} of all that could not be read so far.
    stop : callable, stop(pictures done) -> bool, optional
        Asked after every block: where it is true the scan ends at once, unsaved.
    how : batch, threads, device of `picture_walk.looked_at`
        The first two change no number; a device rounds in its own way.

    Raises
    ------
    MinicnnError
        If a picture cannot be read in a strict scan, none can, an activation is not finite, or a
        worker process was killed.
    KeyboardInterrupt
        After what has been found was saved.
    """
    settings, save = features.settings, save or (lambda _: None)
    if how.get("device", "cpu") == "cpu":
        needed = memory(net, features, **{k: v for k, v in how.items() if k != "device"})
        refuse_lack(needed, "use a smaller --size, or --threads 1")
    todo, total = blocks_left(features, blocks)
    count, saved = 0, time.monotonic()

    def jobs():
        for block in todo:
            least = {name: r.value[:, -1] for name, r in features.layers.items()}
            yield block, settings.block(block), least

    def look(acts, peaks, least):
        sights = {
            name: strongest.sight(acts[name], least[name], peaks.get(name))
            for name in features.layers
        }
        zeros = {name: (zero_windows(acts[name]), acts[name].size) for name in features.pools}
        return sights, zeros

    how |= {**_walk_of(features), "peaks": list(features.layers)}
    looked = picture_walk.looked_at(net, pictures, jobs(), look, **how)
    try:
        with interrupts_noted() as interrupts, closing(looked) as stream:
            for block, found, broken in stream:
                if strict and broken:
                    save(features)
                    raise MinicnnError(f"{next(iter(broken.values()))} (--strict stops here)")
                _note(features, block, found, broken)
                count += len(settings.block(block))
                if progress:
                    progress(count, total, features.skipped)
                if stop and stop(count):
                    return
                if interrupts or time.monotonic() - saved > SAVE_SECONDS:
                    save(features)
                    saved = time.monotonic()
                if interrupts:
                    raise KeyboardInterrupt
            check_some(features)
            save(features)
    except WorkerKilledError:
        save(features)
        if interrupts:  # the workers had the signal too
            raise KeyboardInterrupt from None
        raise
    if interrupts:
        raise KeyboardInterrupt


def blocks_left(features, blocks=None):
    """Return those of `blocks`, by default of all, that are not done; and their pictures' count."""
    blocks = range(features.settings.blocks) if blocks is None else blocks
    left = [b for b in blocks if not features.done[b]]
    return left, sum(len(features.settings.block(b)) for b in left)


def check_some(features):
    """Raise `MinicnnError` if all pictures have been looked at and none could be read."""
    if features.complete and not features.seen:
        reason = next(iter(features.skipped.values()))
        raise MinicnnError(f"none of the {len(features.skipped)} pictures can be read: {reason}")


def _note(features, block, found, broken):
    """Note what has been found in one block, None if all of it is broken."""
    numbers = [n for n in features.settings.block(block) if n not in broken]
    sights, zeros = found or ({}, {})
    for name, seen in sights.items():
        try:
            strongest.note(features.layers[name], numbers, seen)
        except MinicnnError as error:
            raise MinicnnError(f"layer {name}: {error}") from None
    for name, windows in zeros.items():
        features.pools[name] += windows
    features.skipped.update(broken)
    features.done[block] = True


def scan_strongest(net, pictures, layers, size, threads=None, progress=None):
    """Return the `Features` of a scan for the one strongest activation of every unit."""
    features = begin(net, settings_for(net, pictures, layers, top=1, size=size))
    scan(features, net, pictures, threads=threads, progress=progress)
    return features


def draw_units(rng, dead, count):
    """Return `count` units drawn at random, in order; dead ones only where no others are left."""
    order = rng.permutation(len(dead))
    order = order[np.argsort(dead[order], kind="stable")][:count]
    return sorted(int(unit) for unit in order)
