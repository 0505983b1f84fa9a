"""Numbered pictures go up through a network in groups, each whole by one worker.

A group is what goes up together. Where it is short or has a broken picture, black ones fill it, so
rounding is the same bit for bit whatever the batch, the workers, and what went before. A worker
reads, decodes and looks at its pictures by itself: no worker ever waits for another.
"""

import threading
from collections import deque
from itertools import cycle

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
from minicnn.network.layers import Conv2d
from minicnn.network.network import INPUT
from minicnn.ops.shapes import pair
from minicnn.pictures.arrays import preprocess

DEVICE_THREADS = 4  # of each device: some read and prepare pictures while others wait for it
WORKER_BYTES = 10 << 20  # of the interpreter, that a worker process writes to
AHEAD = 4  # groups a worker that are given out at a time, unless told otherwise


def groups_ahead(group, batch=None, threads=None):
    """Return how many groups are given out at a time: as many as make a batch of pictures."""
    return AHEAD * thread_count(threads) if batch is None else -(-batch // group)


def looked_at(
    net, pictures, jobs, look, *, taps, peaks, size, group, batch=None, threads=None, device="cpu"
):
    """Yield what `look` makes of groups of pictures, in the order of `jobs`.

    Parameters
    ----------
    net : Network
    pictures : PictureSet
    jobs : iterable of (key, numbers of pictures, argument); one is taken when it is given out
    look : callable, look({layer: activation}, {layer: column peaks}, argument)
        Of the pictures that can be read, where there are any. A device has no column peaks.
    taps, peaks : list of str
        The layers, and those of which the `column_peaks` are wanted.
    size, group : int
        Side of the pictures; how many are a group.
    batch, threads : int, optional
        See `groups_ahead` and `threads.thread_count`. On the CPU of a system that forks safely
        (`workers.can_fork`), more than one thread are processes.
    device : {"cpu", "cuda", "cuda:1"}, or several, "cuda:0,cuda:1"
        Each has workers of its own; how many there are changes no number where they are alike.

    Yields
    ------
    key, found, broken
        What `look` has returned, or None; and {picture: why it cannot be read}.
    """
    count = thread_count(threads) if device == "cpu" else DEVICE_THREADS * len(device.split(","))
    waiting, jobs, ahead = deque(), iter(jobs), groups_ahead(group, batch, count)
    count = min(count, ahead)
    processes = device == "cpu" and count > 1 and can_fork()
    walk = _Walk(net, pictures, look, taps, peaks, size, group, device)
    with one_blas_thread(), workers(walk, count, processes=processes) as submit:
        while True:
            while len(waiting) < ahead and (job := next(jobs, None)):
                key, *rest = job
                waiting.append((key, submit(*rest)))
            if not waiting:
                return
            key, seen = waiting.popleft()
            yield key, *seen.result()


def memory(net, taps, *, size, group, batch=None, threads=None):
    """Return about how many bytes the workers of `looked_at` take on the CPU.

    The filters as the engine keeps them, and for each worker its pictures, the largest set of
    activations that are alive at a time, and its scratch memory.
    """
    shape = (net.input_shape[0], size, size)
    shapes = {INPUT: shape, **net.shapes(shape, taps)}
    nodes = [node for node in net.nodes if node.name in shapes]
    sizes = {name: 4 * group * int(np.prod(shape)) for name, shape in shapes.items()}
    banks = [_filter_bytes(node, shapes) for node in nodes if isinstance(node.layer, Conv2d)]
    # a convolution's padded input, and six pieces like its transformed one: they grow with filters
    scratch = max(sizes.values()) + 6 * max(map(winograd.chunk_bytes, [0, *banks]))
    scratch += sum(sizes[name] for name in taps) // 5  # column peaks: 5 bytes a column of each part
    read = group * 3 * size**2
    count = min(thread_count(threads), groups_ahead(group, batch, threads))
    return sum(banks) + count * (read + _alive(nodes, sizes, taps) + scratch + WORKER_BYTES)


def _filter_bytes(node, shapes):
    """Return how many bytes the engine's copy of a convolution's filters takes."""
    layer = node.layer
    w = (layer.channels, shapes[node.inputs[0]][0] // layer.groups, *pair(layer.kernel))
    if winograd.suits(w, layer.stride, 1, layer.groups):
        return filters.bank_bytes(w, *shapes[node.name][1:])
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


class _Walk:
    """Puts a group of pictures through the network, in any thread or process."""

    def __init__(self, net, pictures, look, taps, peaks, size, group, device):
        self.pictures, self.look, self.taps, self.peaks = pictures, look, taps, peaks
        self.size, self.group, self.cpu = size, group, device == "cpu"
        self.own = threading.local()
        if self.cpu:
            self.frozen = FrozenNetwork(net)
            self.frozen.transform(taps, (net.input_shape[0], size, size))
            self.net = self.frozen.net
        else:  # in fp32: tf32 would put activations into another order
            self.net, self.convolution = net, DeviceConvolution(Cuda("fp32"))
            self.places = [_Place(net, name) for name in device.split(",")]
            self.next_place = cycle(self.places)

    def __call__(self, numbers, argument):
        """Return what `look` makes of the pictures `numbers`, and which are broken."""
        found = [read_or_black(self.pictures, n, self.size) for n in numbers]
        broken = {n: why for n, (_, why) in zip(numbers, found, strict=True) if why}
        good = [i for i, n in enumerate(numbers) if n not in broken]
        if not good:
            return None, broken
        try:
            acts = self._forward([rgb for rgb, _ in found])
            peaks = {}
            if self.cpu:
                peaks_of = self.own.evaluator.column_peaks
                peaks = {name: peaks_of(name, acts[name]) for name in self.peaks}
            if len(good) < self.group:
                acts = {name: y[good] for name, y in acts.items()}
                peaks = {name: tuple(a[good] for a in both) for name, both in peaks.items()}
            return self.look(acts, peaks, argument), broken
        except MemoryError:
            if self.cpu:
                raise
            raise MinicnnError(
                f"not enough GPU memory for {self.group} pictures of {self.size} px; use a smaller "
                "--size, a larger --gpu-memory, or --device cpu"
            ) from None

    def _forward(self, arrays):
        fill = [np.zeros_like(arrays[0])] * (self.group - len(arrays))
        order = self.net.attrs["preprocess"]
        x = np.concatenate([preprocess(rgb, order) for rgb in [*arrays, *fill]])
        if self.cpu:
            if not hasattr(self.own, "evaluator"):
                self.own.evaluator = Replay(self.frozen, Crew(1), peaks=self.peaks)
            return self.own.evaluator.forward(x, self.taps, keep=False)
        if not hasattr(self.own, "place"):
            self.own.place = next(self.next_place)
            resolve_device(self.own.place.device)  # each thread has a current device of its own
            self.own.evaluator = self.own.place.net.replica()

        def there():
            how = {"keep": False, "convolution": self.convolution}
            there = to_device(x, self.own.place.device)
            return self.own.evaluator.forward(there, self.taps, **how)

        return self.own.place.strips.fitted(there, launch.release)


class _Place:
    """A device, the network there, and how large strips its memory allows."""

    def __init__(self, net, device):
        self.device, self.net, self.strips = device, net.replica(), Strips()
        self.net.params = {name: to_device(p, device) for name, p in net.params.items()}


def read_or_black(pictures, number, size):
    """Return (picture, None), or a black one and why it cannot be read."""
    try:
        return pictures.picture(number, size), None
    except MinicnnError as error:
        return np.zeros((size, size, 3), np.uint8), str(error)
