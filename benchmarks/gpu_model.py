"""What an evaluation should take by arithmetic alone: a model to hold measured times against.

    python benchmarks/gpu_model.py [--sizes 256 512 1024]        needs no GPU

Each kernel takes as long as its bytes at the memory's speed, each product as long as the longer of
its operations and its bytes. Maps that are read again soon are counted once, launches not at all.
The rates are guesses for an H200, not measured: `gpu.py --only ceilings` measures those of a card.
"""

import argparse
import math
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout need not be installed

MEMORY = 4.3e12  # bytes a second
RATES = {"fp32": 50e12, "tf32": 400e12, "fp16": 650e12}  # operations a second of large products


def model(steps, grams, precision):
    """Return {kernel or "product": milliseconds} of an evaluation.

    Parameters
    ----------
    steps : list of engine.gpu.steps.Convolution and Pooling
    grams : dict, number of a step -> how many Gram terms it has
    precision : {"fp32", "tf32", "fp16"}
    """
    found, item = Counter(), 2 if precision == "fp16" else 4

    def move(name, bytes_moved):
        found[name] += 1e3 * bytes_moved / MEMORY

    def multiply(m, n, k, factor):
        rate, bytes_moved = (
            RATES[precision if factor == item else "tf32"],
            m * k * factor + 4 * m * n,
        )
        found["product"] += 1e3 * max(2 * m * n * k / rate, bytes_moved / MEMORY)

    def by_windows(shape, out):
        x, width = math.prod(shape), step.kernel[0] * step.kernel[1] * shape[2]
        move("windows", 4 * x + item * out[0] * out[1] * width)
        multiply(out[0] * out[1], out[2], width, item)

    for i, step in enumerate(steps):
        x, y, channels = math.prod(step.shape), math.prod(step.out_shape), step.shape[2]
        if not hasattr(step, "kernel"):  # a pooling
            move("max_pool", 4 * x + 5 * y)
            move("unpool", 4 * x + 5 * y)
            continue
        if item == 2:
            move("find_largest", 4 * (x + y))
        by_windows(step.shape, step.out_shape)
        if step.added:
            M, width = y // step.out_shape[2], math.prod(step.kernel) * channels
            move("windows", (8 + item) * y)
            multiply(M, width, step.out_shape[2], item)
            move("add_window_rows", 4 * (M * width + x))
        else:
            by_windows(step.out_shape, step.shape)
            move("windows", 4 * y)  # the mask
        M, K = y // step.out_shape[2], step.out_shape[2]
        for _ in range(grams.get(i, 0)):
            multiply(K, K, M, 4)
            multiply(M, K, K, 4)
    return dict(found)


def vgg19(side, precision, layers):
    """Return `model` of VGG-19 up to relu5_1 with a Gram term at each of some layers."""
    from minicnn.engine.gpu.buffers import Buffers
    from minicnn.engine.gpu.steps import Form
    from minicnn.engine.gpu.trunk import Trunk
    from minicnn.network import build

    net = build.build("vgg19", seed=0, pool="max")
    trunk = Trunk(Buffers(), net, list(layers), (1, 3, side, side), Form(precision == "fp16"))
    return model(trunk.steps, Counter(trunk.places[name] for name in layers), precision)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024])
    args = parser.parse_args()
    print("a model for an H200, nothing measured: milliseconds of an evaluation")
    for side in args.sizes:
        for precision in RATES:
            found = vgg19(side, precision, [f"relu{i}_1" for i in range(1, 6)])
            parts = ", ".join(f"{name} {ms:.3f}" for name, ms in found.items())
            print(f"{side:>5} px  {precision}  {sum(found.values()):7.3f}  ({parts})")


if __name__ == "__main__":
    main()
