"""Style transfer from coarse to fine: what it brings to carry the optimizer's memory along.

    python benchmarks/carry.py [--size 192] [--iterations 60] [--scales 2] [--weights FILE]
                               [--network NAME] [--pictures CONTENT,STYLE ...]

Each optimizer paints each pair of pictures twice, with and without `--carry`; both runs are the
same up to the last size. The table has the loss there after so many iterations.
"""

import argparse
from pathlib import Path

from minicnn.methods.style.settings import StyleSettings
from minicnn.terminal.report import table

DEMO = Path(__file__).resolve().parents[1] / "minicnn" / "demo"
OPTIMIZERS = ("lbfgs-device", "adam", "momentum")


def losses(settings, marks):
    """Return the loss at the last size after each number of iterations in `marks`."""
    trace = settings.prepare().run().result.trace
    last = [entry for entry in trace if entry["run"] == trace[-1]["run"]]
    return [last[min(mark, len(last) - 1)]["value"] for mark in marks]


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--network")
    options.add_argument("--weights")
    options.add_argument("--size", type=int, default=192)
    options.add_argument("--scales", type=int, default=2)
    options.add_argument("--iterations", type=int, default=60)
    options.add_argument(
        "--pictures",
        nargs="+",
        metavar="CONTENT,STYLE",
        default=[f"{DEMO / 'content.jpg'},{DEMO / 'style.jpg'}"],
    )
    args = options.parse_args()
    marks, rows = sorted({1, 5, args.iterations // 4, args.iterations}), []
    for pair in args.pictures:
        content, painted = pair.split(",")
        for optimizer in OPTIMIZERS:
            for carry in (False, True):
                settings = StyleSettings(
                    content,
                    painted,
                    network=args.network,
                    weights=args.weights,
                    size=args.size,
                    scales=args.scales,
                    iterations=args.iterations,
                    coarse_iterations=args.iterations,
                    optimizer=optimizer,
                    carry=carry,
                )
                found = dict(zip(marks, losses(settings, marks), strict=True))
                pictures = f"{Path(content).stem}, {Path(painted).stem}"
                row = {"pictures": pictures, "optimizer": optimizer, "carried": carry}
                rows.append(row | {f"after {n}": f"{v:.4g}" for n, v in found.items()})
                print(rows[-1], flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
