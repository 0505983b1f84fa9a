"""The verb `curves`."""

from pathlib import Path

from minicnn.terminal.report import Report, table

example = """
minicnn curves minivgg -o curves.png
"""
SHOWN = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "val_top5")


def add(verb) -> None:
    """Declare the options."""
    verb.add_argument(
        "runs",
        metavar="RUN",
        nargs="+",
        help="folder of `minicnn train`, its log.csv, a weight file, or a network at hand",
    )
    verb.add_argument("-o", "--output", metavar="OUT.png", required=True, help="picture to write")
    verb.add_argument("--force", action="store_true", help="replace files that exist")
    verb.add_argument("--json", action="store_true", help="the result as a JSON line")


def run(args) -> int:
    """Draw the curves, and print where each run is."""
    from minicnn.errors import MinicnnError
    from minicnn.methods.training.history import read_history
    from minicnn.pictures.writer import check_output
    from minicnn.runs import plots
    from minicnn.storage.atomic import write_whole

    if Path(args.output).suffix.lower() != ".png":
        raise MinicnnError(
            f"curves are drawn as PNG; give a name that ends in .png, not {args.output!r}"
        )
    check_output(args.output, args.force)
    runs = {str(path): read_history(path) for path in args.runs}
    write_whole(args.output, plots.training(runs))
    rows = [
        {"run": name, **{key: _short(history[-1].get(key)) for key in SHOWN}}
        for name, history in runs.items()
    ]
    report = Report(args.json)
    report.result(
        f"{table(rows)}\n{args.output}",
        output=str(args.output),
        runs={name: history[-1] for name, history in runs.items()},
    )
    return 0


def _short(value):
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.4f}"
