"""Training steps and scans on a GPU, input pipelines included: ours and PyTorch's.

Called by gpu.py. Both train minivgg-bn in steps of 128 pictures, in groups of 64 (PyTorch in one
batch), from the same decoded pictures, which the same function cuts and mirrors on threads while
the device works.
Both scan the same JPEG pictures with SqueezeNet, read and decoded by the same threads; PyTorch
keeps the largest activation of every unit, we the nine largest and where they were.
"""

import io
import tempfile
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

BATCH, GROUP, SIDE, CROP, CLASSES = 128, 64, 64, 48, 20
PICTURES, SCANNED = 2048, 1024
NETWORK, SCAN = "minivgg-bn", "squeezenet"


def measure(clock, device):
    """Return {"train": {name: ms a step}, "features": {name: ms a picture}}, or why not."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = data_set(Path(folder) / "set.h5")
        runs = {
            "train": {"minicnn": train_ours, "torch eager": train_torch},
            "features": {"minicnn": scan_ours, "torch eager": scan_torch},
        }
        for kind, makers in runs.items():
            found[kind] = {}
            for name, run in makers.items():
                if clock.left < 15:
                    found[kind][name] = {"failed": "no time left"}
                    continue
                try:
                    found[kind][name] = {"ms": 1e3 * run(path, folder, device, 4 * clock.seconds)}
                except Exception as error:  # one that fails must not take the others along
                    text = f"{type(error).__name__}: {error}"
                    found[kind][name] = {"failed": " ".join(text.split())}
    return found


def modelled():
    """Return {"train": ms, "features": ms} of `gpu_model`: what the device alone should take."""
    import gpu_model

    from minicnn.network import build

    side = build.skeleton(SCAN).input_shape[1]
    return {
        "train": gpu_model.passes(build.skeleton(NETWORK), CROP, "tf32", BATCH, count=3),
        "features": gpu_model.passes(build.skeleton(SCAN), side, "fp32", 1),
    }


def table(found):
    """Return lines."""
    units = {"train": f"a step of {BATCH}", "features": "a picture"}
    return "\n".join(
        f"{kind:<10}{name:<14}" + (f"{r['ms']:9.3f} ms {units[kind]}" if "ms" in r else "failed")
        for kind, rows in found.items()
        for name, r in rows.items()
    )


def train_ours(path, folder, device, seconds):
    """Return the seconds of a step of `methods.training.training`, all of it."""
    from minicnn.methods.training import training
    from minicnn.methods.training.settings import TrainSettings

    output = Path(tempfile.mkdtemp(dir=folder))
    settings = TrainSettings(
        str(path),
        output=str(output),
        network=NETWORK,
        batch=BATCH,
        group=GROUP,
        device=device,
        epochs=999,
    )
    ends = []

    def stop(done):  # after an epoch, before its validation
        return done % (PICTURES // BATCH) == 0 and ends[-1] - ends[0] > seconds

    training.run(settings, progress=lambda *_: ends.append(time.perf_counter()), stop=stop)
    return _pace(ends)


def train_torch(path, folder, device, seconds):
    """Return the seconds of a step of PyTorch's modules, with the same pictures a step ahead."""
    import torch
    from torch import nn
    from train_step import _module

    from minicnn.data.datasets import open_dataset
    from minicnn.methods.training.step import augment
    from minicnn.network import build
    from minicnn.network.layers import Dropout

    source = build.build(NETWORK, classes=CLASSES)
    nodes = [n for n in source.nodes if n.name != "prob" and not isinstance(n.layer, Dropout)]
    net = nn.Sequential(*(_module(nn, source, n.name, n.layer) for n in nodes)).to(device)
    data = open_dataset(str(path), "train")
    pictures, labels = data.pictures(SIDE), data.labels
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    sgd = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)

    def prepared(step):
        rng = np.random.default_rng(step)
        mine = rng.permutation(len(labels))[:BATCH]
        x = augment(pictures[mine], CROP, 0, True, rng, source.attrs["preprocess"])
        x = torch.from_numpy(x)
        return x if device == "cpu" else x.pin_memory(), torch.from_numpy(labels[mine])

    ends = [time.perf_counter()]
    with ThreadPoolExecutor() as pool:
        ahead = deque(pool.submit(prepared, step) for step in range(2))
        while ends[-1] - ends[0] < seconds or len(ends) < 8:
            ahead.append(pool.submit(prepared, len(ends) + 1))
            x, y = (part.to(device, non_blocking=True) for part in ahead.popleft().result())
            sgd.zero_grad()
            loss = criterion(net(x), y)
            loss.backward()
            sgd.step()
            loss.item()  # ours looks at it too
            ends.append(time.perf_counter())
    return _pace(ends)


def scan_ours(path, folder, device, seconds):
    """Return the seconds of a picture of `methods.features.scan`."""
    from minicnn.data.picture_set import PictureSet
    from minicnn.methods.features import scan as features_scan
    from minicnn.network import build
    from minicnn.network.chosen_layers import choose_layers

    net, pictures = build.build(SCAN, seed=0), PictureSet(str(path), "train", SCANNED)
    settings = features_scan.settings_for(net, pictures, choose_layers(net))
    ends = []
    for _ in range(2):  # the first run compiles
        features = features_scan.begin(net, settings)
        started = time.perf_counter()
        features_scan.scan(features, net, pictures, device=device)
        ends.append((time.perf_counter() - started) / len(pictures))
    return ends[-1]


def scan_torch(path, folder, device, seconds):
    """Return the seconds of a picture of PyTorch's forward pass over the same pictures."""
    import torch
    from peers._torch import Walk

    from minicnn.data.picture_set import PictureSet
    from minicnn.engine.picture_walk import DEVICE_THREADS
    from minicnn.methods.features.scan import group_size
    from minicnn.network import build
    from minicnn.network.chosen_layers import choose_layers
    from minicnn.pictures.arrays import preprocess

    net, pictures = build.build(SCAN, seed=0), PictureSet(str(path), "train", SCANNED)
    layers, side = choose_layers(net), net.input_shape[1]
    net.nodes = net.nodes[: net.layers.index(layers[-1]) + 1]
    walk = Walk(net, layers, torch.contiguous_format)
    walk.steps = [
        (node, {name: value.to(device) for name, value in own.items()}, done)
        for node, own, done in walk.steps
    ]
    group, attrs = group_size(side), net.attrs["preprocess"]

    def read(first):
        numbers = range(first, min(first + group, len(pictures)))
        return np.concatenate([preprocess(pictures.picture(i, side), attrs) for i in numbers])

    def scan():
        best = None
        with ThreadPoolExecutor(DEVICE_THREADS) as readers, torch.inference_mode():
            for x in readers.map(read, range(0, len(pictures), group)):
                acts = walk(torch.from_numpy(x).to(device))
                maxima = [y.amax((0, 2, 3)) for y in acts.values()]
                best = maxima if best is None else list(map(torch.maximum, best, maxima))
        return [y.cpu() for y in best]

    scan()
    started = time.perf_counter()
    scan()
    return (time.perf_counter() - started) / len(pictures)


def data_set(path):
    """Write a set of blurred noise as JPEG, with the splits train and val; return its path."""
    import h5py
    from PIL import Image

    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for split, count in (("train", PICTURES), ("val", 2 * CLASSES)):
            encoded = []
            for _ in range(count):
                small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
                memory = io.BytesIO()
                small.resize((256, 256), Image.Resampling.BICUBIC).save(memory, "JPEG")
                encoded.append(memory.getvalue())
            file[f"{split}/bytes"] = np.frombuffer(b"".join(encoded), np.uint8)
            file[f"{split}/offset"] = np.cumsum([0, *map(len, encoded)])
            file[f"{split}/label"] = np.arange(count) % CLASSES
        file.attrs["class_names"] = [f"class {i}" for i in range(CLASSES)]
    return path


def _pace(ends):
    """Return the median time from one end to the next, the first few left out."""
    return float(np.median(np.diff(ends[min(4, len(ends) - 2) :])))
