"""Measure how often a network is right about labelled pictures.

    python tools/measure_accuracy.py squeezenet pictures.h5
    python tools/measure_accuracy.py vgg19-dcbb9e9d.pth FOLDER --network vgg19 --split val

NETWORK is one at hand (`minicnn weights list`), one of our weight files, or, with --network, a
public file of any format that `minicnn weights convert` reads. DATA is a folder of class folders or
an HDF5 file as `data.datasets` describes, or a pack without splits (bytes, offset, and label
unless picture i shows class i). Pictures are prepared as `minicnn classify` does it.
"""

import argparse
import json
import sys

import h5py
import numpy as np
from pack_pictures import encoded_pictures
from tqdm import tqdm

from minicnn.data.datasets import Dataset, open_dataset
from minicnn.errors import MinicnnError
from minicnn.methods.comparison.accuracy import measure
from minicnn.weights import checkpoint
from minicnn.weights.conversion import convert_file


def open_data(path, split):
    """Return the `Dataset` of a folder, of a file with splits, or of a pack without."""
    if h5py.is_hdf5(path):
        with h5py.File(path) as file:
            if "offset" in file and "bytes" in file:
                pictures = list(encoded_pictures(file, file))
                given = "label" in file
                labels = file["label"][:] if given else np.arange(len(pictures))
                return Dataset(labels.astype(np.int64), [], pictures.__getitem__, str(path))
    return open_dataset(path, split)


def main(argv=None):
    """Print the accuracy of one network on one data set."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("weights", metavar="NETWORK")
    parser.add_argument("data", metavar="DATA")
    parser.add_argument("--network", help="of a public file: what it holds the weights of")
    parser.add_argument("--split", default="val", help="(default: val)")
    parser.add_argument("--limit", type=int, help="so many pictures, spread over all")
    parser.add_argument("--side", type=int, help="shorter side before the cut")
    parser.add_argument("--batch", type=int, default=8, help="pictures at a time (default: 8)")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    net = (
        convert_file(args.weights, args.network) if args.network else checkpoint.load(args.weights)
    )
    data = open_data(args.data, args.split)
    found = measure(
        net,
        data,
        limit=args.limit,
        side=args.side,
        batch=args.batch,
        threads=args.threads,
        progress=lambda steps: tqdm(steps, disable=not sys.stderr.isatty()),
    )
    if args.json:
        print(json.dumps(found))
    else:
        print(
            f"{found['pictures']} pictures in {found['seconds']} s: "
            f"top-1 {found['top1']:.4f}, top-5 {found['top5']:.4f}"
        )


if __name__ == "__main__":
    try:
        main()
    except MinicnnError as error:
        sys.exit(f"measure_accuracy: error: {error}")
