"""The verb `train`."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from minicnn.methods.training.settings import TrainSettings
from minicnn.runs.options import add_settings
from minicnn.runs.settings import FLAG, RunOptions, setting, settings_of
from minicnn.storage.interrupts import INTERRUPTED
from minicnn.terminal.report import Report

example = """
minicnn demo -o pictures/train/demo --size 64 --iterations 1
minicnn demo -o pictures/val/demo --size 64 --iterations 1
minicnn train pictures -o run --epochs 2 --batch 4 --group 4 --snapshots 1,2
minicnn train pictures -o run --epochs 3 --batch 4 --group 4 --snapshots 1,2 --resume
"""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(RunOptions):
    """What a training run is told beside its settings."""

    resume: bool = setting(
        FLAG, False, "go on from the state in FOLDER, if there is one", group="files"
    )
    estimate: bool = setting(
        FLAG,
        False,
        "say how much memory and time it would take here, and do nothing else",
        group="machine",
    )


def add(verb) -> None:
    """Declare the options."""
    add_settings(verb, TrainSettings, TrainOptions)


def run(args) -> int:
    """Train, or go on training."""
    from minicnn.methods.training import training

    settings, options = settings_of(TrainSettings, args), settings_of(TrainOptions, args)
    report = Report(options.json, options.quiet)
    if options.estimate:
        from minicnn.methods.training.estimate import measure
        from minicnn.runs.estimate import option

        return option.repeated(measure, settings, "use a smaller --group and --batch", report)
    told = {"resume": options.resume, "note": report.note}
    return run_in_folder(partial(training.run, settings, **told), settings, report, "epoch")


def run_in_folder(work, settings, report, event) -> int:
    """Do work(log=, progress=), which fills a folder; `event` is a record. Return the exit code."""
    from minicnn.backend import resolve_device
    from minicnn.methods.training.training import Interrupted

    # one that is not there is told before a folder is made
    resolve_device(settings.device, several=True)
    Path(settings.output).mkdir(parents=True, exist_ok=True)
    progress = None

    def show(done, total, losses):
        nonlocal progress
        if progress is None:
            progress = report.progress(total, "step")
        progress.update(done, losses)

    def log(record):
        report.event(event, **record)
        report.note(
            "  ".join(f"{k} {v if isinstance(v, str) else f'{v:.4g}'}" for k, v in record.items())
        )

    try:
        work(log=log, progress=show)
    except Interrupted as stop:
        report.note(f"interrupted; the state is in {stop.path}, go on with --resume")
        return INTERRUPTED
    finally:
        if progress:
            progress.__exit__()
    weights = Path(settings.output) / "last.h5"
    report.result(f"wrote {weights}", output=str(weights))
    return 0
