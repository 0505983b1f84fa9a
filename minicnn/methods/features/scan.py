"""Show a whole data set to a network and keep, of every unit, what excites it most.

Section 1.2 of the lecture notes, figure 2 of Zeiler & Fergus 2014 (arXiv 1311.2901): one pass over
all pictures, no gradients. `strongest` says what is kept, `results_file` how it is stored.

Memory: the records (`strongest`), and for each worker the activations of one group of pictures:
`groups.memory` says how much. None grows with the set.
"""

import time
from contextlib import closing, contextmanager
from fnmatch import fnmatchcase

import numpy as np

from minicnn.engine.cpu.workers import WorkerKilledError
from minicnn.errors import MinicnnError
from minicnn.methods.deconvnet.projection import pools_below
from minicnn.methods.features import results_file, strongest
from minicnn.methods.features.groups import group_size, looked_at, trunk_shapes
from minicnn.runs.interrupts import interrupts_noted
from minicnn.weights import checkpoint

SAVE_SECONDS = 60.0


class Interrupted(Exception):
    """Ctrl-C, after what has been found was saved."""


def choose_layers(net, patterns=None):
    """Return the names of the layers that `patterns` mean, in the network's order.

    Parameters
    ----------
    net : Network
    patterns : list of str, optional
        Names, or patterns as relu*; by default the layers just below each pooling.

    Raises
    ------
    MinicnnError
        If a pattern fits no layer.
    """
    if patterns is None:
        pooled = {n.inputs[0] for n in net.nodes if "Pool" in type(n.layer).__name__}
        return [name for name in net.layers if name in pooled] or net.layers[-1:]
    chosen = set()
    for pattern in patterns:
        found = [name for name in net.layers if fnmatchcase(name, pattern)]
        if not found:
            raise MinicnnError(
                f"no layer {pattern!r} in {net.attrs['name']}; its layers are "
                f"{', '.join(net.layers)}"
            )
        chosen.update(found)
    return [name for name in net.layers if name in chosen]


def settings_for(net, pictures, layers, *, top=9, size=None, group=None):
    """Return the `ScanSettings` of a scan of a `PictureSet`.

    `group` is how many pictures go up together, by default `groups.group_size`.

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


def scan(
    features,
    net,
    pictures,
    *,
    blocks=None,
    batch=None,
    threads=None,
    device="cpu",
    strict=False,
    save=None,
    progress=None,
    stop=None,
    clock=time.monotonic,
):
    """Scan the blocks that are not done yet; `features` is changed in place.

    Parameters
    ----------
    features : Features
    net : Network
    pictures : PictureSet
    blocks : iterable of int, optional
        All by default.
    batch, threads : int, optional
        See `groups.groups_ahead`; they do not change the result. On the CPU of a system
        that forks safely (`workers.can_fork`), more than one thread are processes.
    device : {"cpu", "cuda", "cuda:1"}
        Where the network computes; it is on the host. A device rounds in its own way.
    strict : bool
        Stop at a picture that cannot be read; else it is noted in `features.skipped`.
    save : callable, save(features), optional
        Called every minute, at the end, and on Ctrl-C.
    progress : callable, progress(pictures done, pictures in all, skipped), optional
        `skipped` is {picture: reason} of all that could not be read so far.
    stop : callable, stop(pictures done) -> bool, optional
        Asked after every block: where it is true the scan ends at once, unsaved.

    Raises
    ------
    MinicnnError
        If a picture cannot be read in a strict scan, none can, an activation is not finite, or a
        worker process was killed.
    Interrupted
        On Ctrl-C.
    """
    settings, save = features.settings, save or (lambda _: None)
    blocks = range(settings.blocks) if blocks is None else blocks
    todo = [b for b in blocks if not features.done[b]]
    total, count, saved = sum(len(settings.block(b)) for b in todo), 0, clock()
    how = {"batch": batch, "threads": threads, "device": device}
    looked = looked_at(features, net, pictures, todo, **how)
    with (
        interrupts_noted() as interrupts,
        _saved_if_killed(features, save),
        closing(looked) as stream,
    ):
        for block, sights, counts, broken in stream:
            if strict and broken:
                save(features)
                raise MinicnnError(f"{next(iter(broken.values()))} (--strict stops here)")
            _note(features, block, sights, counts, broken)
            count += len(settings.block(block))
            if progress:
                progress(count, total, features.skipped)
            if stop and stop(count):
                return
            if interrupts or clock() - saved > SAVE_SECONDS:
                save(features)
                saved = clock()
            if interrupts:
                raise Interrupted
    check_some(features)
    save(features)


@contextmanager
def _saved_if_killed(features, save):
    try:
        yield
    except WorkerKilledError:
        save(features)
        raise


def check_some(features):
    """Raise `MinicnnError` if all pictures have been looked at and none could be read."""
    if features.complete and not features.seen:
        reason = next(iter(features.skipped.values()))
        raise MinicnnError(f"none of the {len(features.skipped)} pictures can be read: {reason}")


def _note(features, block, sights, counts, broken):
    """Note what has been seen of one block."""
    numbers = [n for n in features.settings.block(block) if n not in broken]
    for name, seen in sights.items():
        try:
            strongest.note(features.layers[name], numbers, seen)
        except MinicnnError as error:
            raise MinicnnError(f"layer {name}: {error}") from None
    for name, windows in counts.items():
        features.pools[name] += windows
    features.skipped.update(broken)
    features.done[block] = True


def default_layers(net):
    """Return the ReLUs behind convolutions, or the layers below poolings where those are many."""
    fields_ = net.receptive_fields()
    relus = [
        node.name
        for node in net.nodes
        if type(node.layer).__name__ == "ReLU" and fields_[node.name].size is not None
    ]
    return relus if 0 < len(relus) <= 8 else choose_layers(net)


def scan_strongest(net, pictures, layers, size, threads=None, progress=None):
    """Return the `Features` of a scan for the one strongest activation of every unit.

    Parameters
    ----------
    net : Network
    pictures : PictureSet
    layers : list of str
    size : int, side of the pictures
    threads : int, optional
    progress : callable, progress(pictures done, ...), optional

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C.
    """
    settings = settings_for(net, pictures, layers, top=1, size=size)
    features = begin(net, settings)
    try:
        scan(features, net, pictures, threads=threads, progress=progress)
    except Interrupted:
        raise KeyboardInterrupt from None
    return features


def draw_units(rng, dead, count):
    """Return `count` units drawn at random, in order; dead ones only where no others are left."""
    order = rng.permutation(len(dead))
    order = order[np.argsort(dead[order], kind="stable")][:count]
    return sorted(int(unit) for unit in order)
