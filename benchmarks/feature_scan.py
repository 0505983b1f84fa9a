"""The scan of `minicnn features`, and PyTorch's forward pass over the same pictures.

Ours decodes JPEG pictures from an HDF5 file, scales and normalises them, computes the network and
keeps the nine strongest activations of every unit below a pooling. PyTorch's part computes the
network alone, on arrays that lie in memory ready to be used: all that ours does besides is to our
disadvantage. The check compares the strongest activation of every unit.
"""

import atexit
import io
import shutil
import tempfile
from pathlib import Path

import numpy as np
from cases import cut

from minicnn import models
from minicnn.tasks import feature_scan
from minicnn.tasks.picture_set import PictureSet

BATCH_PIXELS = 8 * 227**2  # of PyTorch's forward pass; ours chooses for itself


def ours(case):
    """Return the function that scans all pictures."""
    net, layers = network(case)
    pictures = picture_set(case)
    settings = feature_scan.settings_for(net, pictures, layers, size=case.size)

    def scan():
        features = feature_scan.begin(net, settings)
        feature_scan.scan(features, net, pictures, threads=case.threads)
        return {name: records.value[:, 0] for name, records in features.layers.items()}

    return scan


def torchs(case, layout):
    """Return the function that computes the network for all pictures."""
    import torch
    from peers._torch import Walk

    from minicnn.images import preprocess

    net, layers = network(case)
    pictures, batch = picture_set(case), BATCH_PIXELS // case.size**2
    walk = Walk(net, layers, layout)
    attrs = net.attrs["preprocess"]
    arrays = [preprocess(pictures.picture(i, case.size), attrs) for i in range(case.batch)]
    batches = [
        torch.from_numpy(np.concatenate(arrays[i : i + batch])).contiguous(memory_format=layout)
        for i in range(0, case.batch, batch)
    ]

    def scan():
        with torch.inference_mode():
            for x in batches:
                walk(x)

    def check():
        with torch.inference_mode():
            maxima = [{k: y.amax((0, 2, 3)) for k, y in walk(x).items()} for x in batches]
        # a unit that never fires has an empty slot with us, which holds 0
        best = {k: torch.stack([m[k] for m in maxima]).amax(0).clamp(min=0) for k in layers}
        return {name: y.numpy() for name, y in best.items()}

    scan.check = check
    return scan


def network(case):
    """Return the network up to the last layer that is looked at, and the names of these layers."""
    layers = feature_scan.choose_layers(models.skeleton(case.network))
    return cut(case.network, layers), layers


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
