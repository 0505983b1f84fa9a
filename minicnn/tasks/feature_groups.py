"""How pictures go up in a scan: in groups, each whole on one thread.

A group is a run of consecutive pictures that go through the network together. Its size follows
from the size of the pictures alone, and where one is short or has a broken picture, black ones fill
it. So rounding is the same bit for bit whatever the batch, the threads, the shards, and wherever a
scan was interrupted; and no thread ever waits for another within a picture.
"""

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from minicnn.backend import resolve_device, to_device
from minicnn.device.conv2d import DeviceConvolution
from minicnn.device.machine import Cuda
from minicnn.engine import filters, winograd
from minicnn.engine.conv2d import FastConvolution
from minicnn.engine.threads import Crew, one_blas_thread, thread_count
from minicnn.engine.walk import Replay
from minicnn.errors import MinicnnError
from minicnn.images import preprocess
from minicnn.kernels import calls
from minicnn.kernels.strips import with_smaller_strips
from minicnn.layers import Conv2d
from minicnn.network import INPUT
from minicnn.ops.shapes import pair
from minicnn.tasks import topk

GROUP_PIXELS = 400 * 400  # more than that together is no faster
GROUP = 16  # pictures at most
READERS = 2
DEVICE_THREADS = 2  # one prepares pictures while the other waits for the device
AHEAD = 4  # groups a thread that are read or under way, unless told otherwise


def group_size(side):
    """Return how many pictures of `side` x `side` pixels are a group."""
    return max(1, min(GROUP, GROUP_PIXELS // side**2))


def held_groups(settings, batch=None, threads=None):
    """Return how many groups are read or under way at a time.

    Parameters
    ----------
    settings : ScanSettings
    batch : int, optional
        Pictures at a time.
    threads : int, optional
        See `engine.threads.thread_count`.
    """
    if batch is None:
        return AHEAD * thread_count(threads)
    return -(-batch // settings.group)


def looked_at(features, net, pictures, blocks, *, batch=None, threads=None, device="cpu"):
    """Yield (block, {layer: topk.Sight}, {pooling: counts}, {picture: reason}) of some blocks.

    On `device`, in the order of `blocks`; at most `held_groups` of them are held. Records are only
    read from `features`, and it is the caller's to note what is seen.
    """
    settings = features.settings
    look = _Look(features, net, settings, device)
    walking = thread_count(threads) if device == "cpu" else DEVICE_THREADS
    waiting, blocks = deque(), iter(blocks)
    with (
        one_blas_thread(),
        ThreadPoolExecutor(READERS) as readers,
        ThreadPoolExecutor(walking) as walkers,
    ):
        try:
            while True:
                while len(waiting) < held_groups(settings, batch, threads):
                    if (block := next(blocks, None)) is None:
                        break
                    numbers = settings.block(block)
                    read = [readers.submit(_read, pictures, n, settings.size) for n in numbers]
                    waiting.append((block, walkers.submit(look, numbers, read)))
                if not waiting:
                    return
                block, seen = waiting.popleft()
                yield block, *seen.result()
        finally:
            for _, seen in waiting:
                seen.cancel()
            readers.shutdown(wait=False, cancel_futures=True)
            walkers.shutdown()
            look.dissolve()


def memory(net, features, *, batch=None, threads=None):
    """Return about how many bytes a scan takes, whatever the number of pictures.

    Records, pictures that are held, the filters as the engine keeps them, and for each thread the
    largest set of activations that are alive at a time and its scratch memory.
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
    held = held_groups(settings, batch, threads) * settings.group * 3 * settings.size**2
    alive = _alive(nodes, sizes, {*settings.layers, *features.pools})
    return records + held + sum(banks) + thread_count(threads) * (alive + scratch)


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
    """Puts a group of pictures through the network, on any thread."""

    def __init__(self, features, net, settings, device):
        self.features, self.net, self.settings = features, net, settings
        self.taps = list(dict.fromkeys([*settings.layers, *features.pools]))
        self.device = device
        if device == "cpu":
            self.convolution = FastConvolution(frozen=True)
        else:  # in fp32: tf32 would put activations into another order
            self.net = net.replica()
            self.net.params = {name: to_device(p, device) for name, p in net.params.items()}
            self.convolution = DeviceConvolution(Cuda("fp32"))
        self.own, self.walks = threading.local(), []

    def __call__(self, numbers, read):
        """Return what of the pictures `numbers` is to be noted; `read` are futures of them."""
        found = [future.result() for future in read]
        broken = {n: why for n, (_, why) in zip(numbers, found, strict=True) if why}
        good = [i for i, n in enumerate(numbers) if n not in broken]
        if not good:
            return {}, {}, broken
        acts = self._forward([rgb for rgb, _ in found])
        acts = {name: y if len(good) == len(y) else y[good] for name, y in acts.items()}
        sights = {
            name: topk.sight(acts[name], records.value[:, -1])
            for name, records in self.features.layers.items()
        }
        counts = {
            name: (int((acts[name] == 0).sum()), acts[name].size) for name in self.features.pools
        }
        return sights, counts, broken

    def dissolve(self):
        """Let go of the memory of all threads."""
        for walk in self.walks:
            if isinstance(walk, Replay):
                walk.dissolve()

    def _forward(self, arrays):
        fill = [np.zeros_like(arrays[0])] * (self.settings.group - len(arrays))
        order = self.net.attrs["preprocess"]
        x = np.concatenate([preprocess(rgb, order) for rgb in [*arrays, *fill]])
        if not hasattr(self.own, "walk"):
            resolve_device(self.device)  # each thread has a current device of its own
            net = self.net.replica()
            net.params, net.convolution = dict(net.params), self.convolution
            self.own.walk = Replay(net, Crew(1)) if self.device == "cpu" else net
            self.walks.append(self.own.walk)
        if self.device == "cpu":
            return self.own.walk.forward(x, self.taps, keep=False)

        def there():
            return self.own.walk.forward(to_device(x, self.device), self.taps, keep=False)

        return with_smaller_strips(there, calls.release)


def _read(pictures, number, size):
    """Return (picture, None), or a black one and why it cannot be read."""
    try:
        return pictures.picture(number, size), None
    except MinicnnError as error:
        return np.zeros((size, size, 3), np.uint8), str(error)
