"""The verb `curves`."""

from dataclasses import dataclass
from pathlib import Path

from minicnn.runs.options import add_settings
from minicnn.runs.settings import Declared, RunOptions, as_in, setting, settings_of, text
from minicnn.terminal.report import Report, table

example = """
minicnn curves minivgg -o curves.png
"""
SHOWN = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "val_top5")


@dataclass(frozen=True)
class CurvesSettings(Declared):
    """Which runs, and where their curves go."""

    runs: list = setting(
        text("RUN"),
        help="folder of `minicnn train`, its log.csv, a weight file, or a network at hand",
        option="RUN",
        argument=True,
        several=True,
    )
    output: str = setting(text("OUT.png"), help="picture to write", group="files")
    force: bool = as_in(RunOptions, "force")
    json: bool = as_in(RunOptions, "json", help="the result as a JSON line")


def add(parser) -> None:
    """Declare the options."""
    add_settings(parser, CurvesSettings)


def run(args) -> int:
    """Draw the curves, and print where each run is."""
    from minicnn.errors import MinicnnError
    from minicnn.methods.training.history import read_history
    from minicnn.pictures.writer import check_output
    from minicnn.runs import plots
    from minicnn.storage.atomic import write_whole

    settings = settings_of(CurvesSettings, args)
    output = settings.output
    if Path(output).suffix.lower() != ".png":
        raise MinicnnError(
            f"curves are drawn as PNG; give a name that ends in .png, not {output!r}"
        )
    check_output(output, settings.force)
    runs = {str(path): read_history(path) for path in settings.runs}
    write_whole(output, plots.training(runs))
    rows = [
        {"run": name, **{key: _short(history[-1].get(key)) for key in SHOWN}}
        for name, history in runs.items()
    ]
    report = Report(settings.json)
    report.result(
        f"{table(rows)}\n{output}",
        output=output,
        runs={name: history[-1] for name, history in runs.items()},
    )
    return 0


def _short(value):
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.4f}"
