"""Show what one training step of a network keeps in memory, layer by layer.

    python tools/trace_training_step.py minizfnet --batch 8

Every number is taken from the arrays of a real step with the explicit operations of `minicnn.ops`.
A cache that holds the same array as an earlier one takes no memory again: "new" counts each array
once, where it is kept first.
"""

import argparse
import sys
import tracemalloc

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.methods.training.step import loss_and_gradients
from minicnn.network import build
from minicnn.terminal.report import table

KEPT = {
    "Conv2d": "x",
    "Linear": "x",
    "ReLU": "x > 0",
    "PReLU": "x",
    "MaxPool2d": "switches",
    "AvgPool2d": "divisors",
    "GlobalAvgPool2d": "divisors",
    "LRN": "x, a",
    "BatchNorm2d": "z, scale, mean, var",
    "Dropout": "mask",
}


def arrays_in(value):
    """Yield the arrays in a cache, however deep."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from arrays_in(item)


def owner(array):
    """Return the array whose memory `array` is a view of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def trace(name, batch, classes=None):
    """Make one training step; return (rows of layers, totals).

    Returns
    -------
    rows : list of {"layer", "output", "bytes", "keeps", "new", "parameters"}
        Bytes of the layer's output, of what its cache keeps and no earlier one does, and of its
        parameters.
    totals : {what: bytes}
        "forward peak" and "backward peak" are what NumPy has allocated at a time beyond the
        parameters and the pictures.
    """
    net = build.build(name, classes=classes)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, *net.input_shape), dtype=np.float32)
    labels = rng.integers(0, net.shapes()[net.layers[-1]][0], batch)
    tracemalloc.start()
    try:
        top = next(n for n in reversed(net.layers) if n != "prob")
        net.forward(x, [top], training=True, rng=rng)
        forward_peak = tracemalloc.get_traced_memory()[1]
        rows, caches = _rows(net, batch, net._caches, x)
        net.forward(x[:1], net.layers[:1])  # forget the caches
        tracemalloc.reset_peak()
        _, _, gradients = loss_and_gradients(net, x, labels, 0.1, rng)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    parameters = sum(p.nbytes for p in net.params.values())
    return rows, {
        "pictures": x.nbytes,
        "parameters": parameters,
        "gradients": sum(g.nbytes for g in gradients.values()),
        "velocity": sum(net.params[key].nbytes for key in gradients),
        "caches": caches,
        "forward peak": forward_peak,
        "step peak": peak,
    }


def _rows(net, batch, caches, x):
    held, rows, shapes = {id(x)}, [], net.shapes()
    for node in net.nodes:
        if node.name not in caches:
            continue
        own = {id(owner(a)): owner(a) for a in arrays_in(caches[node.name])}
        new = sum(a.nbytes for key, a in own.items() if key not in held)
        held |= own.keys()
        sizes = [p.nbytes for k, p in net.params.items() if k.rpartition(".")[0] == node.name]
        rows.append(
            {
                "layer": node.name,
                "output": " x ".join(map(str, (batch, *shapes[node.name]))),
                "bytes": 4 * batch * int(np.prod(shapes[node.name])),
                "keeps": KEPT.get(type(node.layer).__name__, ""),
                "new": new,
                "parameters": sum(sizes),
            }
        )
    return rows, sum(row["new"] for row in rows)


def layer_table(rows):
    """Return the rows as text, bytes with commas."""
    return table(
        [{k: f"{v:,}" if isinstance(v, int) else v for k, v in row.items()} for row in rows]
    )


def main(argv=None):
    """Print the table of a network."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("network", help="see `minicnn models`")
    parser.add_argument("--batch", type=int, default=8, help="pictures (default: 8)")
    args = parser.parse_args(argv)
    rows, totals = trace(args.network, args.batch)
    print(layer_table(rows))
    print()
    for what, size in totals.items():
        text = f"about {size / 1e6:.1f} MB" if "peak" in what else f"{size:,} bytes"
        print(f"{what:13} {text}")


if __name__ == "__main__":
    try:
        main()
    except MinicnnError as error:
        sys.exit(f"trace_training_step: error: {error}")
