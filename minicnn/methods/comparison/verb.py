"""The verb `compare`."""

import json

from minicnn.methods.features.verb import names
from minicnn.terminal import parser
from minicnn.terminal.report import Report

example = """
minicnn demo
minicnn compare minivgg random:minivgg --data minicnn-demo --layers relu1_1,relu2_2 -o comparison
"""
FILES = ("index.html", "compare.png", "compare.json")


def add(verb) -> None:
    """Declare the options."""
    verb.add_argument(
        "networks",
        metavar="NETWORK",
        nargs=2,
        help="a network at hand, a weight file, or random:NAME for an untrained one",
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
        help="whose dead units are counted, as relu* (default: the ReLUs of the convolutions)",
    )
    verb.add_argument(
        "--units",
        metavar="N",
        type=parser.count,
        default=24,
        help="units of the second layer to project (default: 24)",
    )
    verb.add_argument(
        "--seed",
        metavar="N",
        type=parser.seed,
        default=0,
        help="of the units drawn and of untrained weights (default: 0)",
    )
    verb.add_argument(
        "--threads", metavar="N", type=parser.count, help="(default: one a processor)"
    )
    parser.add_output_options(verb)


def run(args) -> int:
    """Look at both networks, and write the page, the sheet and the numbers."""
    from minicnn.data.picture_set import PictureSet
    from minicnn.methods.comparison import accuracy, comparison
    from minicnn.methods.comparison import report as comparison_report
    from minicnn.methods.comparison.verdict import verdicts
    from minicnn.pictures.writer import save_image
    from minicnn.storage.atomic import results_folder, write_whole

    report = Report(args.json, args.quiet)
    networks = [comparison.open_network(name, args.seed) for name in args.networks]
    layers = comparison.choose_layers(networks, args.layers)
    pictures = PictureSet(args.data, args.split, args.limit)
    labelled = accuracy.labelled_pictures(pictures, args.data, args.split)
    folder = results_folder(args.output, FILES, args.force)
    each = len(pictures) * (1 if isinstance(labelled, str) else 2)  # scanned, and classified
    with report.progress(2 * each, "picture") as progress:
        for turn, (network, own) in enumerate(zip(networks, layers, strict=True)):

            def show(done, *_, turn=turn):
                progress.update(turn * each + done, {})

            comparison.look(
                network,
                own,
                pictures,
                labelled,
                seed=args.seed,
                units=args.units,
                threads=args.threads,
                progress=show,
            )
    found = verdicts(*(network.findings for network in networks))
    told = {
        "networks": [network.findings for network in networks],
        "verdicts": found,
        "data": args.data,
        "data_sha256": pictures.fingerprint(),
        "split": pictures.split,
        "seed": args.seed,
    }
    drawn = comparison_report.pictures(networks)
    what = f"{len(pictures)} pictures of {args.data}"
    page = comparison_report.html(networks, drawn, found, what)
    metadata = {"verb": "compare", **told}
    save_image(
        folder / "compare.png",
        comparison_report.sheet(networks, drawn),
        metadata=metadata,
        force=True,
    )
    write_whole(folder / "compare.json", (json.dumps(told, indent=1) + "\n").encode())
    write_whole(folder / "index.html", page.encode())
    lines = comparison_report.conclusions(networks, found)
    text = "\n".join(lines)
    report.result(
        f"{text}\n{folder}: {', '.join(FILES)}",
        output=str(folder),
        files=[str(folder / name) for name in FILES],
        conclusions=lines,
        **told,
    )
    return 0
