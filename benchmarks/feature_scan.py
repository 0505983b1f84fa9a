"""The scan of `minicnn features`, and what PyTorch takes for the same pictures.

Ours decodes JPEG pictures from an HDF5 file, scales and normalises them, computes the network and
keeps the nine strongest activations of every unit below a pooling, with counts. Of PyTorch's there
are two, each a kind of case:

    scan      the network alone, on arrays that lie in memory ready to be used
    records   the same work: a loop as one would write it, that reads and decodes a batch, computes
              the network and keeps activations, pictures, places and counts, but no histogram

The check compares the strongest activations of every unit.
"""

import atexit
import io
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from cases import cut

from minicnn.data.picture_set import PictureSet
from minicnn.methods.features import scan as features_scan
from minicnn.network import build
from minicnn.network.chosen_layers import choose_layers
from minicnn.pictures.arrays import preprocess

BATCH_PIXELS = 8 * 227**2  # of PyTorch's forward pass; ours chooses for itself
TOP = 9
FEW = 4  # batches that lie ready: more would be memory that a scan does not need


def ours(case):
    """Return the function that scans all pictures."""
    net, layers = network(case)
    pictures = picture_set(case)
    settings = features_scan.settings_for(net, pictures, layers, size=case.size, top=TOP)
    kept = TOP if case.kind == "records" else 1

    def scan():
        features = features_scan.begin(net, settings)
        features_scan.scan(features, net, pictures, threads=case.threads)
        return {name: records.value[:, :kept] for name, records in features.layers.items()}

    return scan


def torchs(case, layout):
    """Return the function that computes the network for all pictures."""
    import torch
    from peers._torch import Walk, laid

    net, layers = network(case)
    walk = Walk(net, layers, layout)
    ready = [laid(x, layout) for x in islice(_batches(case, net), FEW)]
    sizes = [len(part) for part in _parts(case)]

    def scan():
        with torch.inference_mode():
            for size, x in zip(sizes, cycle(ready)):
                walk(x[:size])

    def check():
        with torch.inference_mode():
            acts = (walk(laid(x, layout)) for x in _batches(case, net))
            maxima = [{k: y.amax((0, 2, 3)) for k, y in a.items()} for a in acts]
        # a unit that never fires has an empty slot with us, which holds 0
        best = {k: torch.stack([m[k] for m in maxima]).amax(0).clamp(min=0) for k in layers}
        return {name: y[:, None].numpy() for name, y in best.items()}

    scan.check = check
    return scan


def torchs_records(case, layout):
    """Return the function that reads all pictures, computes the network and keeps records."""
    import torch
    from peers._torch import Walk, laid

    net, layers = network(case)
    walk = Walk(net, layers, layout)

    def scan():
        kept, first = {}, 0
        with torch.inference_mode():
            for x in _batches(case, net):
                for name, y in walk(laid(x, layout)).items():
                    kept[name] = _noted(torch, kept.get(name), y, first)
                first += len(x)
        return {name: kept[name][0].numpy() for name in layers}

    return scan


def _noted(torch, kept, y, first):
    """Return (value, picture, place, fired, positive) after the activations y (N, K, P, Q) >= 0.

    Of the ways to write it that were tried, the fastest in both layouts; y is overwritten.
    """
    K = y.shape[1]
    if kept is None:
        empty = torch.full((K, TOP), -1)
        kept = (torch.zeros(K, TOP), empty, empty, torch.zeros(K), torch.zeros(K))
    value, picture, place, fired, positive = kept
    peaks, where = torch.nn.functional.adaptive_max_pool2d(y, 1, return_indices=True)
    peaks, where = peaks.flatten(1).t(), where.flatten(1).t()
    new = torch.arange(first, first + len(y)).expand(K, -1)
    value, order = torch.cat([value, peaks], 1).topk(TOP, 1)
    picture = torch.cat([picture, new], 1).gather(1, order)
    place = torch.cat([place, where], 1).gather(1, order)
    positive = positive + y.sign_().sum((0, 2, 3))
    return value, picture, place, fired + peaks.sign().sum(1), positive


def _batches(case, net):
    """Yield the pictures of a case, float32 (N, 3, size, size), each batch read by all threads.

    Not ahead: a thread that reads beside PyTorch's costs it more time than it saves.
    """
    pictures, attrs = picture_set(case), net.attrs["preprocess"]

    def read(i):
        return preprocess(pictures.picture(i, case.size), attrs)

    with ThreadPoolExecutor(case.threads) as readers:
        for numbers in _parts(case):
            yield np.concatenate(list(readers.map(read, numbers)))


def network(case):
    """Return the network up to the last layer that is looked at, and the names of these layers."""
    layers = choose_layers(build.skeleton(case.network))
    return cut(case.network, layers), layers


def _parts(case):
    """Return the numbers of the pictures of each batch."""
    batch = BATCH_PIXELS // case.size**2
    return [range(i, min(i + batch, case.batch)) for i in range(0, case.batch, batch)]


@cache
def picture_set(case):
    """A data set of blurred noise as JPEG, not smaller than the network wants it."""
    import h5py
    from PIL import Image

    side = 64 * -(-case.size // 64)
    rng, encoded = np.random.default_rng(0), []
    for _ in range(case.batch):
        small = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
        memory = io.BytesIO()
        small.resize((side, side), Image.Resampling.BICUBIC).save(memory, "JPEG", quality=90)
        encoded.append(memory.getvalue())
    path = Path(tempfile.mkdtemp()) / "set.h5"
    atexit.register(shutil.rmtree, path.parent, ignore_errors=True)
    with h5py.File(path, "w") as file:
        file["val/bytes"] = np.frombuffer(b"".join(encoded), np.uint8)
        file["val/offset"] = np.cumsum([0, *map(len, encoded)])
        file["val/label"] = np.zeros(case.batch, int)
    return PictureSet(path)
