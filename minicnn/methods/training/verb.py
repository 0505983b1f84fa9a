"""The verb `train`."""

import argparse
from dataclasses import fields
from pathlib import Path

from minicnn.runs.estimate import option
from minicnn.terminal import parser
from minicnn.terminal.report import Report

INTERRUPTED = 130
UNSET = {"limit": "all", "threads": "all", "max-rms": "none", "last-std": "He"}  # what None means
example = """
minicnn train pictures -o run --epochs 10 --batch 64 --group 32
minicnn train pictures -o run --epochs 10 --batch 64 --group 32 --resume
"""


def add(verb) -> None:
    """Declare the options."""
    verb.add_argument(
        "-o",
        "--output",
        metavar="FOLDER",
        required=True,
        help="folder for snapshots, log.csv, and the state to resume from",
    )
    verb.add_argument(
        "--network",
        metavar="NAME",
        default="minivgg-bn",
        help="see `minicnn models` (default: minivgg-bn)",
    )
    add_numbers(verb)
    verb.add_argument(
        "--schedule",
        choices=("one-cycle", "cosine", "step", "constant"),
        default="one-cycle",
        help="of the rate (default: one-cycle)",
    )
    verb.add_argument("--no-nesterov", dest="nesterov", action="store_false", help="plain momentum")
    verb.add_argument(
        "--no-flip", dest="flip", action="store_false", help="do not mirror pictures at random"
    )
    verb.add_argument(
        "--snapshots",
        metavar="LIST",
        type=epochs,
        default=[],
        help="epochs after which to keep the weights, as 1,2,5,10",
    )
    verb.add_argument("--resume", action="store_true", help="go on from the state in FOLDER")
    parser.add_device_options(verb)
    verb.add_argument(
        "--precision",
        choices=("auto", "fp32", "tf32"),
        default="auto",
        help="of the factors of matrix products on a GPU (default: tf32 where there is such)",
    )
    option.add_option(verb)
    verb.add_argument("--quiet", action="store_true", help="no progress")
    verb.add_argument("--json", action="store_true", help="a JSON line for every epoch")


def add_numbers(verb) -> None:
    """Declare the options that take a number, with the defaults of `TrainSettings`."""
    for name, kind, default, text in (
        ("epochs", parser.count, 30, "passes over the pictures"),
        ("batch", parser.count, 128, "pictures in a step"),
        ("group", parser.count, 64, "pictures that are normalised together; divides the batch"),
        ("rate", parser.rate, 0.15, "highest learning rate"),
        ("momentum", parser.weight, 0.9, "of the steps"),
        ("weight-decay", parser.weight, 5e-4, "of the filters and matrices"),
        ("smoothing", parser.weight, 0.1, "label smoothing, 0 to 1"),
        ("dropout", parser.weight, 0.0, "share of the top's inputs that is dropped"),
        ("max-rms", parser.rate, None, "largest RMS of a filter"),
        ("last-std", parser.rate, None, "standard deviation of the last weights at the start"),
        ("size", parser.count, 64, "side of the pictures in pixels"),
        ("crop", parser.count, 48, "side of the random square that is cut out of them"),
        ("border", parser.seed, 0, "pixels mirrored around a picture before the square is cut"),
        ("seed", parser.seed, 0, "of weights, order, squares and mirrors"),
        ("limit", parser.count, None, "use the first N pictures alone"),
        ("validate-every", parser.count, 1, "epochs between looks at the validation pictures"),
        ("threads", parser.count, None, "worker threads; do not change the result"),
    ):
        shown = UNSET.get(name, default)
        verb.add_argument(
            f"--{name}", metavar="N", type=kind, default=default, help=f"{text} (default: {shown})"
        )


def epochs(text: str) -> list:
    """Read "1,2,5" as [1, 2, 5]."""
    try:
        return sorted({parser.count(part) for part in text.split(",")})
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of epochs; write 1,2,5") from None


def run(args) -> int:
    """Train, or go on training."""
    from minicnn.backend import resolve_device
    from minicnn.methods.training import training
    from minicnn.methods.training.settings import TrainSettings

    report = Report(args.json, args.quiet)
    settings = TrainSettings(**{f.name: getattr(args, f.name) for f in fields(TrainSettings)})
    if args.estimate:
        return option.repeated("train", settings, report)
    resolve_device(args.device)  # one that is not there is told before a folder is made
    Path(args.output).mkdir(parents=True, exist_ok=True)
    progress = None

    def show(done, total, losses):
        nonlocal progress
        if progress is None:
            progress = report.progress(total, "step")
        progress.update(done, losses)

    def log(record):
        report.event("epoch", **record)
        report.note("  ".join(f"{name} {value:.4g}" for name, value in record.items()))

    try:
        training.run(settings, resume=args.resume, log=log, progress=show)
    except training.Interrupted as stop:
        report.note(f"interrupted; the state is in {stop.path}, go on with --resume")
        return INTERRUPTED
    finally:
        if progress:
            progress.__exit__()
    weights = Path(args.output) / "last.h5"
    report.result(f"wrote {weights}", output=str(weights))
    return 0
