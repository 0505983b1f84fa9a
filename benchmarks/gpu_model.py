"""What an evaluation should take by arithmetic alone: a model to hold measured times against.

    python benchmarks/gpu_model.py [--sizes 256 512 1024]        needs no GPU

Each kernel takes as long as its bytes at the memory's speed, each product as long as the longer of
its operations and its bytes. A convolution without columns takes as long as the multiprocessor with
most tiles of it. Of the ways of a convolution the fastest is taken, as the plan does. Maps that are
read again soon are counted once, launches not at all. The rates are guesses for an H200, not
measured: `gpu.py --only ceilings` measures those of a card.
"""

import argparse
import math
import sys
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout need not be installed

from minicnn.engine.gpu.ways import COLUMNS, WAYS
from minicnn.kernels import loader

MEMORY = 4.3e12  # bytes a second
RATES = {"fp32": 50e12, "tf32": 400e12, "fp16": 650e12}  # operations a second of large products
# and of kernels/convolve.cu: two thirds of what mma.sync is said to reach there
TILE_RATES, PROCESSORS = {"tf32": 220e12, "fp16": 440e12}, 132


def model(steps, grams, precision):
    """Return {kernel or "product": milliseconds} of an evaluation.

    Parameters
    ----------
    steps : list of Convolution and Pooling, see engine/gpu; their `possible` ways are tried
    grams : dict, number of a step -> how many Gram terms it has
    precision : {"fp32", "tf32", "fp16"}
    """
    found, item = Counter(), 2 if precision == "fp16" else 4

    def seconds(bytes_moved):
        return bytes_moved / MEMORY

    def product(m, n, k, factor):
        rate = RATES[precision if factor == item else "tf32"]
        return max(2 * m * n * k / rate, seconds(m * k * factor + 4 * m * n))

    def add(times):
        found.update({name: 1e3 * time for name, time in times.items()})

    def by_way(way, kernel, shape, out, gate):
        """Seconds of each kernel; a gradient has a gate: bytes a number that say where y > 0."""
        x, M, K = math.prod(shape), out[0] * out[1], out[2]
        width = kernel[0] * kernel[1] * shape[2]
        if way == COLUMNS:
            moved = 4 * (x + bool(gate) * x) + item * M * width
            return {"windows": seconds(moved), "product": product(M, K, width, item)}
        rows, columns = loader.TILES[way]
        rounds = -(-loader.tiles(way, M, K) // PROCESSORS)
        work = rounds * 2 * rows * columns * width / (TILE_RATES[precision] / PROCESSORS)
        moved = item * x + 4 * M * K + M * K / 8
        return {"as_map": seconds((4 + item + gate) * x), way: max(work, seconds(moved))}

    def fastest(possible, *given):
        return min((by_way(way, *given) for way in possible), key=lambda times: sum(times.values()))

    for i, step in enumerate(steps):
        x, y, channels = math.prod(step.shape), math.prod(step.out_shape), step.shape[2]
        if not hasattr(step, "kernel"):  # a pooling
            add(dict.fromkeys(("max_pool", "unpool"), seconds(4 * x + 5 * y)))
            continue
        M, K = y // step.out_shape[2], step.out_shape[2]
        if item == 2:
            add({"find_largest": seconds(4 * (x + y))})
        add(fastest(step.possible[0], step.kernel, step.shape, step.out_shape, 0))
        if step.added:
            width = math.prod(step.kernel) * channels
            add({"as_map": seconds((8 + item) * y), "product": product(M, width, K, item)})
            add({"add_window_rows": seconds(4 * (M * width + x))})
        else:
            gate = 4 if step.possible[0] == (COLUMNS,) else 1 / 8
            add(fastest(step.possible[1], step.kernel, step.out_shape, step.shape, gate))
        for _ in range(grams.get(i, 0)):
            add({"product": product(K, K, M, 4) + product(M, K, K, 4)})
    return dict(found)


def vgg19(side, precision, layers, ways=WAYS):
    """Return `model` of VGG-19 up to the last of some layers, with a Gram term at each."""
    from minicnn.engine.gpu.buffers import Buffers
    from minicnn.engine.gpu.steps import Form
    from minicnn.engine.gpu.trunk import Trunk
    from minicnn.network import build

    net = build.skeleton("vgg19", pool="max", last=max(layers))
    net.params = {name: np.zeros(shape, "f4") for name, shape in net.param_shapes().items()}
    trunk = Trunk(Buffers(), net, list(layers), (1, 3, side, side), Form(precision, ways))
    return model(trunk.steps, Counter(trunk.places[name] for name in layers), precision)


def evaluation(side, precision, layers):
    """Return the milliseconds of all that `vgg19` counts, each layer by its fastest way."""
    ways = WAYS if precision in TILE_RATES else WAYS[:1]
    return sum(vgg19(side, precision, layers, ways).values())


def roof(layer, size, out, precision, pictures=1):
    """Return the least milliseconds of a layer's pass: its maps moved once, its sums at full rate.

    Parameters
    ----------
    layer : network.layers.Layer, from maps (C, H, W) of `size` to `out`
    precision : a key of `RATES`
    """
    weights = math.prod(layer.param_shapes(size).get("weight", (0,)))
    moved = 4 * (pictures * (math.prod(size) + math.prod(out)) + weights)
    sums = pictures * weights * math.prod(out[1:])
    return 1e3 * max(moved / MEMORY, 2 * sums / RATES[precision])


def passes(net, side, precision, pictures, count=1):
    """Return the milliseconds of `count` passes of a network, each as long as a forward one."""
    from minicnn.network.network import INPUT

    shapes = {INPUT: (3, side, side), **net.shapes((3, side, side))}
    return count * sum(
        roof(node.layer, shapes[node.inputs[0]], shapes[node.name], precision, pictures)
        for node in net.nodes
    )


def lbfgs(side, pairs):
    """Return the milliseconds of an iteration beside its evaluation: each pair is read twice."""
    return 1e3 * (4 * pairs + 8) * 4 * 3 * side**2 / MEMORY


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024])
    args = parser.parse_args()
    print("a model for an H200, nothing measured: milliseconds of an evaluation")
    for side in args.sizes:
        for precision in RATES:
            for ways in (WAYS[:1], WAYS) if precision in TILE_RATES else (WAYS[:1],):
                found = vgg19(side, precision, [f"relu{i}_1" for i in range(1, 6)], ways)
                parts = ", ".join(f"{name} {ms:.3f}" for name, ms in found.items())
                how = "columns" if len(ways) == 1 else "fastest"
                print(f"{side:>5} px  {precision} {how}  {sum(found.values()):7.3f}  ({parts})")


if __name__ == "__main__":
    main()
