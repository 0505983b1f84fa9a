"""Measure how much of a picture the layers keep, by the error of Mahendran and Vedaldi.

    python tests/reference/inversion_errors.py vgg16 FOLDER --size 112 --iterations 80 \
        --layers relu1_2,relu2_2,relu3_3 --inverted 2

For each layer: the mean over the first pictures of FOLDER of |Φ(x) - Φ0| / N, where x is the
inversion as `minicnn invert` writes it, and N the mean of |Φ1 - Φ2| over all pairs of pictures of
FOLDER (Mahendran & Vedaldi 2014, arXiv 1412.0035, section 4).
"""

import argparse
import itertools
from pathlib import Path

import numpy as np

import minicnn
from minicnn.pictures.arrays import centre, preprocess


def main():
    """Print a row for each layer."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("network")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--inverted", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=80)
    args = parser.parse_args()
    layers = args.layers.split(",")
    net = minicnn.load(args.network)

    def seen(picture):
        return net.forward(preprocess(picture, net.attrs["preprocess"]), layers)

    files = sorted(args.folder.iterdir())
    pictures = [centre(minicnn.pictures.load_image(file).pixels, args.size) for file in files]
    codes = [seen(picture) for picture in pictures]
    for layer in layers:
        pairs = itertools.combinations([code[layer] for code in codes], 2)
        mean = np.mean([np.linalg.norm(a - b) for a, b in pairs])
        errors = []
        for picture, code in zip(pictures[: args.inverted], codes, strict=False):
            found = minicnn.run(
                "invert",
                image=picture,
                network=args.network,
                layers=(layer,),
                width=args.size,
                height=args.size,
                iterations=args.iterations,
            )
            errors.append(np.linalg.norm(seen(found.picture)[layer] - code[layer]) / mean)
        print(f"{layer:16s} {np.mean(errors):.3f}  {np.round(errors, 3)}", flush=True)


if __name__ == "__main__":
    main()
