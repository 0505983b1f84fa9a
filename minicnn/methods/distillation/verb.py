"""The verb `distill`."""

from dataclasses import dataclass
from pathlib import Path

from minicnn.methods.distillation.settings import DistillSettings
from minicnn.runs.options import add_settings
from minicnn.runs.settings import FLAG, RunOptions, setting, settings_of
from minicnn.storage.interrupts import INTERRUPTED
from minicnn.terminal.report import Report

example = """
minicnn weights fetch vgg19
minicnn demo
minicnn distill minicnn-demo -o student --steps 100
"""


@dataclass(frozen=True, kw_only=True)
class DistillOptions(RunOptions):
    """What a distillation is told beside its settings."""

    resume: bool = setting(FLAG, False, "go on from the state in FOLDER", group="files")


def add(verb) -> None:
    """Declare the options."""
    add_settings(verb, DistillSettings, DistillOptions)


def run(args) -> int:
    """Distil, or go on."""
    from minicnn.backend import resolve_device
    from minicnn.methods.distillation import run as distillation
    from minicnn.methods.training.training import Interrupted

    settings, options = settings_of(DistillSettings, args), settings_of(DistillOptions, args)
    report = Report(options.json, options.quiet)
    resolve_device(settings.device)  # one that is not there is told before a folder is made
    Path(settings.output).mkdir(parents=True, exist_ok=True)
    progress = None

    def show(done, total, losses):
        nonlocal progress
        if progress is None:
            progress = report.progress(total, "step")
        progress.update(done, losses)

    def log(record):
        report.event("log", **record)
        report.note(
            "  ".join(f"{k} {v if isinstance(v, str) else f'{v:.4g}'}" for k, v in record.items())
        )

    try:
        distillation.run(settings, resume=options.resume, log=log, progress=show)
    except Interrupted as stop:
        report.note(f"interrupted; the state is in {stop.path}, go on with --resume")
        return INTERRUPTED
    finally:
        if progress:
            progress.__exit__()
    weights = Path(settings.output) / "last.h5"
    report.result(f"wrote {weights}", output=str(weights))
    return 0
