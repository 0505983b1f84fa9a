"""Scan pictures for the features of a network, ours against PyTorch's forward pass alone.

    python benchmarks/feature_scan.py [--network squeezenet] [--threads 2] [--rounds 9] [--json F]

Ours reads, scales and normalises JPEG pictures from an HDF5 file, computes the network and keeps
the nine strongest activations of every unit below a pooling. PyTorch's computes the network only,
on pictures that lie in memory ready to be used.
"""

import argparse
import io
import json
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np
from pairs import compare, serve, table

PICTURES, BATCH = 32, 8


def ours(network, threads):
    from minicnn import models
    from minicnn.tasks import feature_scan
    from minicnn.tasks.picture_set import PictureSet

    net = models.build(network)
    folder = tempfile.TemporaryDirectory()
    pictures = PictureSet(write_pictures(Path(folder.name) / "set.h5"))
    layers = feature_scan.choose_layers(net)
    settings = feature_scan.settings_for(net, pictures, layers, batch=BATCH)

    def work(keep=folder):
        features = feature_scan.begin(net, settings)
        feature_scan.scan(features, net, pictures, threads=threads)

    return work


def write_pictures(path):
    """A data set of blurred noise, 256 x 256 as JPEG."""
    import h5py
    from PIL import Image

    rng, encoded = np.random.default_rng(0), []
    for _ in range(PICTURES):
        small = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
        memory = io.BytesIO()
        small.resize((256, 256), Image.Resampling.BICUBIC).save(memory, "JPEG", quality=90)
        encoded.append(memory.getvalue())
    with h5py.File(path, "w") as file:
        file["val/bytes"] = np.frombuffer(b"".join(encoded), np.uint8)
        file["val/offset"] = np.cumsum([0, *map(len, encoded)])
        file["val/label"] = np.zeros(PICTURES, int)
    return path


def torchs(network, threads, channels_last):
    import torch

    from minicnn import models
    from minicnn.tasks import feature_scan

    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from torch_network import _RULES

    torch.set_num_threads(threads)
    net = models.build(network)
    last = feature_scan.choose_layers(net)[-1]
    params = {key: torch.from_numpy(value) for key, value in net.params.items()}
    own = {
        node.name: {
            key.rpartition(".")[2]: value
            for key, value in params.items()
            if key.rpartition(".")[0] == node.name
        }
        for node in net.nodes
    }
    x = torch.randn(BATCH, *net.input_shape)
    if channels_last:
        x = x.to(memory_format=torch.channels_last)

    def forward():
        outputs = {"input": x}
        for name, layer, inputs in net.nodes:
            xs = [outputs[source] for source in inputs]
            rule = _RULES[type(layer).__name__]
            outputs[name] = rule(torch.nn.functional, layer, own[name], *xs)
            if name == last:
                return

    def work():
        with torch.inference_mode():
            for _ in range(PICTURES // BATCH):
                forward()

    return work


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", default="squeezenet")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--be", choices=("ours", "torch", "torch channels_last"))
    args = parser.parse_args()
    if args.be == "ours":
        return serve(ours(args.network, args.threads))
    if args.be:
        return serve(torchs(args.network, args.threads, "channels" in args.be))
    command = [sys.executable, __file__, "--network", args.network]
    command += ["--threads", str(args.threads), "--be"]
    programs = {name: [*command, name] for name in ("ours", "torch", "torch channels_last")}
    found = compare(programs, rounds=args.rounds)
    print(f"{args.network}, {PICTURES} pictures a round, {args.threads} threads")
    print(table(found, "torch"))
    if args.json:
        found |= {"settings": vars(args), "machine": platform.platform()}
        with open(args.json, "w") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
