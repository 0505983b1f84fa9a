"""Our L-BFGS against SciPy's: the loss of style transfers after as many evaluations.

    python benchmarks/lbfgs.py [--weights FILE] [--network NAME] [--size 128] [--evaluations 150]
                               [--pictures CONTENT,STYLE ...] [--seeds 2] [--json FILE]

Every pair of pictures is painted from the content and from the noise of each seed, at one size.
Both optimizers see the same function and may call it equally often. "ratio" is our loss by SciPy's;
"to reach" is the number of evaluations after which ours is within 2 % of SciPy's last loss.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from minicnn.methods.style.inputs import open_job
from minicnn.methods.style.settings import StyleSettings
from minicnn.optimizers import minimize
from minicnn.terminal.report import table

DEMO = Path(__file__).resolve().parents[1] / "minicnn" / "demo"
WITHIN = 1.02


def row(settings, evaluations):
    """Return one line of the table."""
    job = open_job(settings)
    fun, results = job.function(), {}
    for name in ("lbfgs", "lbfgs-device"):
        results[name] = minimize(
            name, fun, job.start, iterations=evaluations, max_evaluations=evaluations
        )
    theirs, ours = results["lbfgs"], results["lbfgs-device"]
    reached = [e["evaluations"] for e in ours.trace if e["value"] <= WITHIN * theirs.value]
    return {
        "content": Path(settings.content).stem,
        "style": Path(settings.style).stem,
        "start": settings.init if settings.init == "content" else f"noise {settings.seed}",
        "first": f"{ours.trace[0]['value']:.4g}",
        "SciPy": f"{theirs.value:.5g}",
        "ours": f"{ours.value:.5g}",
        "ratio": f"{ours.value / theirs.value:.4f}",
        "to reach": reached[0] if reached else "never",
        "iterations": f"{theirs.iterations} / {ours.iterations}",
    }


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--network")
    options.add_argument("--weights")
    options.add_argument("--size", type=int, default=128)
    options.add_argument("--evaluations", type=int, default=150)
    options.add_argument("--seeds", type=int, default=2)
    options.add_argument("--json", metavar="FILE")
    options.add_argument(
        "--pictures",
        nargs="+",
        metavar="CONTENT,STYLE",
        default=[f"{DEMO / 'content.jpg'},{DEMO / 'style.jpg'}"],
    )
    args = options.parse_args()
    rows = []
    for pair in args.pictures:
        content, painted = pair.split(",")
        for init, seed in [("content", 0), *(("noise", seed) for seed in range(args.seeds))]:
            settings = StyleSettings(
                content,
                painted,
                network=args.network,
                weights=args.weights,
                size=args.size,
                scales=1,
                init=init,
                seed=seed,
            )
            rows.append(row(settings, args.evaluations))
            print(rows[-1], flush=True)
    print(table(rows))
    ratios = [float(r["ratio"]) for r in rows]
    late = [r for r in rows if r["to reach"] == "never"]
    print(
        f"{len(rows)} runs of {args.evaluations} evaluations: ratio from {min(ratios):.4f} to "
        f"{max(ratios):.4f}, median {np.median(ratios):.4f}; {len(late)} not within 2 %"
    )
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
