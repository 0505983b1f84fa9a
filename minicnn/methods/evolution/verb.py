"""The verb `evolution`."""

import json
from pathlib import Path

from minicnn.methods.deconvnet.verb import add_policy
from minicnn.methods.features.verb import names
from minicnn.terminal import parser
from minicnn.terminal.report import Report, table

example = """
minicnn demo
minicnn evolution minizfnet --data minicnn-demo --sample 2 -o evolution-demo
minicnn train pictures -o run --epochs 10 --snapshots 1,2,5,10
minicnn evolution run/epoch-001.h5 run/epoch-010.h5 --data pictures/val -o evolution
"""
FILES = ("evolution.png", "evolution.csv", "evolution.json", "convergence.png")


def add(verb) -> None:
    """Declare the options."""
    verb.add_argument(
        "snapshots",
        metavar="SNAPSHOT",
        nargs="+",
        help="weight files of one training run, in any order; or minialexnet, minizfnet",
    )
    verb.add_argument(
        "--data", metavar="DATASET", required=True, help="folder of pictures or HDF5 file"
    )
    verb.add_argument("-o", "--output", metavar="DIR", required=True, help="folder for the results")
    verb.add_argument("--split", metavar="NAME", help="of the data set (default: val, or all)")
    verb.add_argument(
        "--limit", metavar="N", type=parser.count, help="take the first N pictures only"
    )
    verb.add_argument(
        "--layers",
        metavar="LIST",
        type=names,
        help="as relu1,relu5 (default: the ReLUs of the convolutions)",
    )
    for name, default, text in (
        ("units", 6, "units drawn at random of each layer"),
        ("sample", 256, "pictures on which features are compared"),
        ("tile", 64, "pixels a patch"),
    ):
        verb.add_argument(
            f"--{name}",
            metavar="N",
            type=parser.count,
            default=default,
            help=f"{text} (default: {default})",
        )
    verb.add_argument(
        "--size", metavar="N", type=parser.count, help="side (default: the network's)"
    )
    verb.add_argument(
        "--seed",
        metavar="N",
        type=parser.seed,
        default=0,
        help="of the units and the sample (default: 0)",
    )
    add_policy(verb)
    verb.add_argument(
        "--threads", metavar="N", type=parser.count, help="(default: one a processor)"
    )
    parser.add_output_options(verb)


def run(args) -> int:
    """Look at every snapshot, and write sheet, numbers and plot."""
    from minicnn.data.picture_set import PictureSet
    from minicnn.methods.deconvnet.projection import Policy
    from minicnn.methods.evolution import evolution
    from minicnn.methods.evolution import report as evolution_report
    from minicnn.methods.evolution.snapshots import read_snapshots
    from minicnn.pictures.writer import save_image
    from minicnn.runs import plots
    from minicnn.storage.atomic import results_folder, write_whole

    report = Report(args.json, args.quiet)
    folder = results_folder(args.output, FILES, args.force)
    snapshots = read_snapshots(args.snapshots)
    pictures = PictureSet(args.data, args.split, args.limit)
    policy = Policy(args.rule, args.overlap, args.order, args.zero_windows, args.lrn)
    with report.progress(len(pictures) * len(snapshots), "picture") as progress:
        found = evolution.evolve(
            snapshots,
            pictures,
            layers=args.layers,
            units=args.units,
            seed=args.seed,
            sample=args.sample,
            size=args.size,
            policy=policy,
            tile=args.tile,
            threads=args.threads,
            progress=lambda done, _: progress.update(done, {}),
        )
    told = evolution_report.as_dict(found)
    told |= {"data": args.data, "data_sha256": pictures.fingerprint(), "split": pictures.split}
    told |= {"seed": args.seed, "policy": policy.metadata()}
    picture, scales = evolution_report.sheet(found)
    metadata = {"verb": "evolution", **told, "scale": scales}
    save_image(folder / FILES[0], picture, metadata=metadata, force=True)
    write_whole(folder / FILES[1], evolution_report.table_csv(found).encode())
    write_whole(folder / FILES[2], (json.dumps(told, indent=1) + "\n").encode())
    written = list(FILES[:3])
    if plots.available():
        name = f"{snapshots[0].architecture}: distance to epoch {snapshots[-1].epoch}"
        write_whole(folder / FILES[3], plots.convergence(found.rows, list(found.layers), name))
        written.append(FILES[3])
    else:
        report.note("no plot without matplotlib: pip install matplotlib")
    rows = evolution_report.summary(found)
    holds = evolution_report.order_holds(found)
    verdict = (
        "every layer was nearer to its end, on the whole, than the layer above it"
        if holds
        else "the layers do not converge in the order of their depth"
    )
    report.result(
        f"{table(rows)}\n{verdict}\n{folder}: {', '.join(written)}",
        output=str(folder),
        files=[str(Path(folder) / name) for name in written],
        epochs=found.epochs,
        pictures=found.pictures,
        layers=rows,
        low_layers_first=holds,
    )
    return 0
