"""Show a whole data set to a network and keep, of every unit, what excites it most.

Section 1.2 of the lecture notes, figure 2 of Zeiler & Fergus 2014 (arXiv 1311.2901): one pass over
all pictures, no gradients. `topk` says what is kept, `feature_file` how it is stored.

Memory: the activations of one block of pictures between two layers, plus those of the wanted
layers, plus the records (`topk`), plus the pictures of the next blocks: none grows with the set.
"""

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from fnmatch import fnmatchcase

import numpy as np

from minicnn import checkpoint
from minicnn.engine.walk import FastWalk
from minicnn.errors import MinicnnError
from minicnn.images import preprocess
from minicnn.layers import MaxPool2d
from minicnn.network import INPUT
from minicnn.tasks import feature_file, topk
from minicnn.tasks.interrupts import interrupts_noted

BATCH = 8
SAVE_SECONDS = 60.0
READ_AHEAD = 2  # blocks


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


def settings_for(net, pictures, layers, *, top=9, size=None, batch=BATCH):
    """Return the `ScanSettings` of a scan of a `PictureSet`.

    Raises
    ------
    MinicnnError
        If a layer does not work at this size.
    """
    size = size or net.input_shape[1]
    trunk_shapes(net, layers, size)
    return feature_file.ScanSettings(
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
        batch=batch,
    )


def trunk_shapes(net, layers, size):
    """Return {layer: (C, H, W)} up to the last of `layers` for pictures of size x size pixels."""
    last = max(net.layers.index(name) for name in layers)
    trunk = type(net)([tuple(n) for n in net.nodes[: last + 1]], net.params, net.input_shape)
    try:
        return trunk.shapes((net.input_shape[0], size, size))
    except MinicnnError as error:
        raise MinicnnError(
            f"pictures of {size} x {size} pixels do not fit {net.attrs['name']}: {error}; "
            f"use --size {net.input_shape[1]}"
        ) from None


def begin(net, settings):
    """Return the `Features` of a scan that has not begun."""
    shapes = trunk_shapes(net, settings.layers, settings.size)
    return feature_file.start(settings, shapes, pools_below(net, settings.layers))


def memory(net, features):
    """Return about how many bytes a scan takes, whatever the number of pictures.

    Records, the largest set of activations that are alive at a time, the pictures read ahead, and
    once more the largest activation as the convolutions' scratch memory; the weights not counted.
    """
    settings = features.settings
    taps = {*settings.layers, *features.pools}
    shapes = {INPUT: (net.input_shape[0], settings.size, settings.size)}
    shapes |= trunk_shapes(net, taps, settings.size)
    sizes = {name: 4 * settings.batch * int(np.prod(shape)) for name, shape in shapes.items()}
    nodes = [node for node in net.nodes if node.name in sizes]
    last_use = {source: i for i, node in enumerate(nodes) for source in node.inputs}
    alive, most = {INPUT}, 0
    for i, node in enumerate(nodes):
        alive.add(node.name)
        most = max(most, sum(sizes[name] for name in alive))
        alive -= {name for name in alive if last_use.get(name, -1) == i and name not in taps}
    records = sum(a.nbytes for r in features.layers.values() for a in vars(r).values())
    ahead = (READ_AHEAD + 1) * settings.batch * 3 * settings.size**2
    return records + most + max(sizes.values()) + ahead


def pools_below(net, layers):
    """Return the max poolings that a projection from some of `layers` passes."""
    needed = set(layers)
    for node in reversed(net.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    needed.discard(INPUT)
    return [n.name for n in net.nodes if n.name in needed and isinstance(n.layer, MaxPool2d)]


def shard_blocks(settings, shard=(1, 1)):
    """Return the numbers of the blocks of shard (i, n), every n-th one."""
    return range(shard[0] - 1, settings.blocks, shard[1])


def scan(
    features,
    net,
    pictures,
    *,
    blocks=None,
    threads=None,
    strict=False,
    save=None,
    progress=None,
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
    threads : int, optional
        They do not change the result.
    strict : bool
        Stop at a picture that cannot be read; else it is noted in `features.skipped`.
    save : callable, save(features), optional
        Called every minute, at the end, and on Ctrl-C.
    progress : callable, progress(pictures done, pictures in all, skipped), optional
        `skipped` is {picture: reason} of all that could not be read so far.

    Raises
    ------
    MinicnnError
        If a picture cannot be read in a strict scan, none can, or an activation is not finite.
    Interrupted
        On Ctrl-C.
    """
    settings, save = features.settings, save or (lambda _: None)
    blocks = range(settings.blocks) if blocks is None else blocks
    todo = [b for b in blocks if not features.done[b]]
    total, count = sum(len(settings.block(b)) for b in todo), 0
    walk, saved = FastWalk(net, threads), clock()
    taps = list(dict.fromkeys([*settings.layers, *features.pools]))
    order = net.attrs["preprocess"]
    with interrupts_noted() as interrupts, closing(_read_ahead(settings, pictures, todo)) as stream:
        for block, arrays, broken in stream:
            if strict and broken:
                save(features)
                raise MinicnnError(f"{next(iter(broken.values()))} (--strict stops here)")
            _show(features, walk, taps, order, block, arrays, broken)
            count += len(settings.block(block))
            if progress:
                progress(count, total, features.skipped)
            if interrupts or clock() - saved > SAVE_SECONDS:
                save(features)
                saved = clock()
            if interrupts:
                raise Interrupted
    check_some(features)
    save(features)


def check_some(features):
    """Raise `MinicnnError` if all pictures have been looked at and none could be read."""
    if features.complete and not features.seen:
        reason = next(iter(features.skipped.values()))
        raise MinicnnError(f"none of the {len(features.skipped)} pictures can be read: {reason}")


def _show(features, walk, taps, order, block, arrays, broken):
    """Put one block through the network and note what comes out."""
    numbers = np.array(features.settings.block(block))
    good = np.array([n not in broken for n in numbers])
    if good.any():
        x = np.concatenate([preprocess(rgb, order) for rgb in arrays])
        acts = walk.forward(x, taps, keep=False)
        if not good.all():
            acts = {name: y[good] for name, y in acts.items()}
        for name, records in features.layers.items():
            try:
                topk.offer(records, numbers[good], acts[name])
            except MinicnnError as error:
                raise MinicnnError(f"layer {name}: {error}") from None
        for name, counts in features.pools.items():
            counts += ((acts[name] == 0).sum(), acts[name].size)
    features.skipped.update(broken)
    features.done[block] = True


def _read_ahead(settings, pictures, blocks):
    """Yield (block, pictures, {number: reason} of the broken ones), read while others compute.

    A broken picture leaves a black one in its place, so that the others keep theirs.
    """

    def read(number):
        try:
            return pictures.picture(number, settings.size), None
        except MinicnnError as error:
            return np.zeros((settings.size, settings.size, 3), np.uint8), str(error)

    with ThreadPoolExecutor(2) as readers:
        waiting, blocks = deque(), iter(blocks)
        while True:
            while len(waiting) < READ_AHEAD and (block := next(blocks, None)) is not None:
                numbers = settings.block(block)
                waiting.append((block, [readers.submit(read, n) for n in numbers]))
            if not waiting:
                return
            block, futures = waiting.popleft()
            found = [future.result() for future in futures]
            numbers = settings.block(block)
            broken = {n: why for n, (_, why) in zip(numbers, found, strict=True) if why}
            yield block, [rgb for rgb, _ in found], broken
