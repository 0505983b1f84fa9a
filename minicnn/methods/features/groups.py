"""How pictures go up in a scan: in groups, each whole by one worker.

A group is a run of consecutive pictures that go through the network together. Its size follows
from the size of the pictures alone, and where one is short or has a broken picture, black ones fill
it. So rounding is the same bit for bit whatever the batch, the workers, the shards, and wherever a
scan was interrupted. A worker reads, decodes and looks at its pictures by itself: no worker ever
waits for another.
"""

import os
import threading
from collections import deque

import numpy as np

from minicnn.backend import resolve_device, to_device
from minicnn.engine.cpu import filters, winograd
from minicnn.engine.cpu.evaluator import Replay
from minicnn.engine.cpu.frozen import FrozenNetwork
from minicnn.engine.cpu.threads import Crew, one_blas_thread, thread_count
from minicnn.engine.cpu.workers import can_fork, workers
from minicnn.engine.gpu.conv2d import DeviceConvolution
from minicnn.engine.gpu.cuda import Cuda
from minicnn.errors import MinicnnError
from minicnn.kernels import launch
from minicnn.kernels.strips import Strips
from minicnn.methods.features import strongest
from minicnn.network.layers import Conv2d
from minicnn.network.network import INPUT
from minicnn.ops.shapes import pair
from minicnn.pictures.arrays import preprocess

GROUP_PIXELS = 400 * 400  # more than that together is no faster
GROUP = 16  # pictures at most
DEVICE_THREADS = 4  # some read and prepare pictures while others wait for the device
WORKER_BYTES = 10 << 20  # of the interpreter, that a worker process writes to
AHEAD = 4  # groups a worker that are given out at a time, unless told otherwise


def group_size(side):
    """Return how many pictures of `side` x `side` pixels are a group."""
    return max(1, min(GROUP, GROUP_PIXELS // side**2))


def groups_ahead(settings, batch=None, threads=None):
    """Return how many groups are given out at a time.

    Parameters
    ----------
    settings : ScanSettings
    batch : int, optional
        Pictures at a time.
    threads : int, optional
        See `engine.cpu.threads.thread_count`.
    """
    if batch is None:
        return AHEAD * thread_count(threads)
    return -(-batch // settings.group)


def looked_at(features, net, pictures, blocks, *, batch=None, threads=None, device="cpu"):
    """Yield (block, {layer: topk.Sight}, {pooling: counts}, {picture: reason}) of some blocks.

    On `device`, in the order of `blocks`; at most `groups_ahead` of them are given out. Records are
    only read from `features`, and it is the caller's to note what is seen.
    """
    settings, waiting, blocks = features.settings, deque(), iter(blocks)
    count = thread_count(threads) if device == "cpu" else DEVICE_THREADS
    count = min(count, groups_ahead(settings, batch, threads))
    processes = device == "cpu" and count > 1 and can_fork()
    look = _Look(features, net, pictures, device)
    with one_blas_thread(), workers(look, count, processes=processes) as submit:
        while True:
            while len(waiting) < groups_ahead(settings, batch, threads):
                if (block := next(blocks, None)) is None:
                    break
                least = {name: r.value[:, -1] for name, r in features.layers.items()}
                waiting.append((block, submit(settings.block(block), least)))
            if not waiting:
                return
            block, seen = waiting.popleft()
            yield block, *seen.result()


def memory(net, features, *, batch=None, threads=None):
    """Return about how many bytes a scan takes, whatever the number of pictures.

    Records, the filters as the engine keeps them, and for each worker its pictures, the largest set
    of activations that are alive at a time and its scratch memory.
    """
    settings = features.settings
    shapes = {INPUT: (net.input_shape[0], settings.size, settings.size)}
    shapes |= trunk_shapes(net, [*settings.layers, *features.pools], settings.size)
    nodes = [node for node in net.nodes if node.name in shapes]
    sizes = {name: 4 * settings.group * int(np.prod(shape)) for name, shape in shapes.items()}
    banks = [_filter_bytes(node, shapes) for node in nodes if isinstance(node.layer, Conv2d)]
    # a convolution's padded input, and pieces of its transformed one, which grow with the filters
    scratch = max(sizes.values()) + max([4 * winograd.CHUNK_BYTES, *banks])
    records = sum(a.nbytes for r in features.layers.values() for a in vars(r).values())
    read = settings.group * 3 * settings.size**2
    alive = _alive(nodes, sizes, {*settings.layers, *features.pools})
    count = min(thread_count(threads), groups_ahead(settings, batch, threads))
    return records + sum(banks) + count * (read + alive + scratch + WORKER_BYTES)


def _filter_bytes(node, shapes):
    """Return how many bytes the engine's copy of a convolution's filters takes."""
    layer = node.layer
    w = (layer.channels, shapes[node.inputs[0]][0] // layer.groups, *pair(layer.kernel))
    if winograd.suits(w, layer.stride, 1, layer.groups):
        return filters.bank_bytes(w)
    return 4 * int(np.prod(w))


def _alive(nodes, sizes, taps):
    """Return how many bytes of activations are held at most, `taps` to the end."""
    last_use = {source: i for i, node in enumerate(nodes) for source in node.inputs}
    alive, most = {INPUT}, 0
    for i, node in enumerate(nodes):
        alive.add(node.name)
        most = max(most, sum(sizes[name] for name in alive))
        alive -= {name for name in alive if last_use.get(name, -1) == i and name not in taps}
    return most


def trunk_shapes(net, layers, size):
    """Return {layer: (C, H, W)} up to the last of `layers` for pictures of size x size pixels."""
    try:
        return net.shapes((net.input_shape[0], size, size), layers)
    except MinicnnError as error:
        raise MinicnnError(
            f"pictures of {size} x {size} pixels do not fit {net.attrs['name']}: {error}; "
            f"use --size {net.input_shape[1]}"
        ) from None


class _Look:
    """Puts a group of pictures through the network, in any thread or process."""

    def __init__(self, features, net, pictures, device):
        self.settings, self.pictures, self.device = features.settings, pictures, device
        self.layers, self.pools = list(features.layers), list(features.pools)
        self.taps = list(dict.fromkeys([*self.layers, *self.pools]))
        self.own, self.process = threading.local(), os.getpid()
        if device == "cpu":
            self.frozen = FrozenNetwork(net)
            self.frozen.transform(self.taps)
            self.net = self.frozen.net
        else:  # in fp32: tf32 would put activations into another order
            self.net = net.replica()
            self.net.params = {name: to_device(p, device) for name, p in net.params.items()}
            self.convolution, self.strips = DeviceConvolution(Cuda("fp32")), Strips()

    def __call__(self, numbers, least):
        """Return what of the pictures `numbers` is to be noted; `least`: see `strongest.sight`."""
        if self.process != os.getpid():
            self.pictures, self.process = self.pictures.reopened(), os.getpid()
        found = [_read(self.pictures, n, self.settings.size) for n in numbers]
        broken = {n: why for n, (_, why) in zip(numbers, found, strict=True) if why}
        good = [i for i, n in enumerate(numbers) if n not in broken]
        if not good:
            return {}, {}, broken
        acts = self._forward([rgb for rgb, _ in found])
        acts = {name: y if len(good) == len(y) else y[good] for name, y in acts.items()}
        sights = {name: strongest.sight(acts[name], least[name]) for name in self.layers}
        counts = {name: (int((acts[name] == 0).sum()), acts[name].size) for name in self.pools}
        return sights, counts, broken

    def _forward(self, arrays):
        fill = [np.zeros_like(arrays[0])] * (self.settings.group - len(arrays))
        order = self.net.attrs["preprocess"]
        x = np.concatenate([preprocess(rgb, order) for rgb in [*arrays, *fill]])
        if not hasattr(self.own, "evaluator"):
            resolve_device(self.device)  # each thread has a current device of its own
            cpu = self.device == "cpu"
            self.own.evaluator = Replay(self.frozen, Crew(1)) if cpu else self.net.replica()
        if self.device == "cpu":
            return self.own.evaluator.forward(x, self.taps, keep=False)

        def there():
            how = {"keep": False, "convolution": self.convolution}
            return self.own.evaluator.forward(to_device(x, self.device), self.taps, **how)

        return self.strips.fitted(there, launch.release)


def _read(pictures, number, size):
    """Return (picture, None), or a black one and why it cannot be read."""
    try:
        return pictures.picture(number, size), None
    except MinicnnError as error:
        return np.zeros((size, size, 3), np.uint8), str(error)
