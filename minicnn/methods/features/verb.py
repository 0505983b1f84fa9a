"""The verb `features`."""

import argparse

from minicnn.methods.deconvnet.verb import add_policy
from minicnn.runs.estimate import option
from minicnn.terminal import parser
from minicnn.terminal.report import Report

example = """
minicnn demo --size 64 --iterations 1
minicnn features minicnn-demo --layers relu1_2,relu2_2 --top 4 -o features
"""


def add(verb) -> None:
    """Declare the options."""
    verb.usage = (
        "minicnn features DATASET -o DIR [options]\n"
        "       minicnn features merge FILE... -o DIR [options]"
    )
    verb.add_argument(
        "data",
        metavar="DATASET",
        nargs="+",
        help="folder of pictures or HDF5 file; or the word merge and the files of all shards",
    )
    verb.add_argument("-o", "--output", metavar="DIR", required=True, help="folder for the results")
    verb.add_argument(
        "--layers",
        metavar="LIST",
        type=names,
        help="as relu1_1,fire*/concat (default: below each pooling)",
    )
    verb.add_argument(
        "--top", metavar="K", type=parser.count, default=9, help="activations a unit (default: 9)"
    )
    verb.add_argument("--split", metavar="NAME", help="of the data set (default: val, or all)")
    verb.add_argument(
        "--data", metavar="PATH", dest="moved", help="for merge: where the data is now"
    )
    verb.add_argument(
        "--limit", metavar="N", type=parser.count, help="take the first N pictures only"
    )
    verb.add_argument(
        "--size", metavar="N", type=parser.count, help="side (default: the network's)"
    )
    verb.add_argument(
        "--batch",
        metavar="N",
        type=parser.count,
        help="pictures given out at a time; changes no number (default: four groups a worker)",
    )
    verb.add_argument(
        "--shard", metavar="I/N", type=shard, help="scan this part only, draw nothing"
    )
    verb.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a Dask cluster that scans, as tcp://host:8786"
    )
    verb.add_argument(
        "--resume", action="store_true", help="go on with an interrupted scan or drawing in DIR"
    )
    verb.add_argument("--strict", action="store_true", help="stop at a picture that cannot be read")
    verb.add_argument("--no-sheets", action="store_true", help="write the numbers only")
    verb.add_argument("--single-file", action="store_true", help="put all pictures into the page")
    verb.add_argument(
        "--tile", metavar="N", type=parser.count, default=64, help="pixels a patch (default: 64)"
    )
    verb.add_argument(
        "--contrast",
        choices=("unit", "picture"),
        default="unit",
        help="what shares a contrast of reconstructions (default: unit)",
    )
    add_policy(verb)
    option.add_option(verb)
    parser.add_network_options(verb)
    verb.add_argument(
        "--threads", metavar="N", type=parser.count, help="workers (default: one a processor)"
    )
    parser.add_device_options(verb)
    parser.add_output_options(verb)


def names(text: str) -> list:
    """Read "relu1_1,relu2*" as a list."""
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise argparse.ArgumentTypeError(f"{text!r} has an empty name; write relu1_1,relu2*")
    return parts


def shard(text: str) -> tuple:
    """Read "2/8" as (2, 8)."""
    i, slash, n = text.partition("/")
    if not (slash and i.isdigit() and n.isdigit() and 1 <= int(i) <= int(n)):
        raise argparse.ArgumentTypeError(f"{text!r} is no part; write 2/8 for the second of eight")
    return int(i), int(n)


def run(args) -> int:
    """Scan, or merge; then draw."""
    from minicnn.methods.features import run as features_run

    report = Report(args.json, args.quiet)
    if args.estimate:
        wanted = ("network", "weights", "pool", "layers", "split", "limit", "top", "size")
        settings = {name: getattr(args, name) for name in (*wanted, "batch", "threads", "device")}
        return option.repeated("features", {**settings, "data": args.data[0]}, report)
    return (features_run.merge if args.data[0] == "merge" else features_run.scan)(args, report)
