"""The verb `distill`."""

from dataclasses import dataclass
from functools import partial

from minicnn.methods.distillation.settings import DistillSettings
from minicnn.methods.training.verb import run_in_folder
from minicnn.runs.options import add_settings
from minicnn.runs.settings import FLAG, RunOptions, setting, settings_of
from minicnn.terminal.report import Report

example = """
minicnn weights fetch vgg19
minicnn demo
minicnn distill minicnn-demo -o student --steps 100
"""


@dataclass(frozen=True, kw_only=True)
class DistillOptions(RunOptions):
    """What a distillation is told beside its settings."""

    resume: bool = setting(
        FLAG, False, "go on from the state in FOLDER, if there is one", group="files"
    )


def add(verb) -> None:
    """Declare the options."""
    add_settings(verb, DistillSettings, DistillOptions)


def run(args) -> int:
    """Distil, or go on."""
    from minicnn.methods.distillation import run as distillation

    settings, options = settings_of(DistillSettings, args), settings_of(DistillOptions, args)
    report = Report(options.json, options.quiet)
    work = partial(distillation.run, settings, resume=options.resume)
    return run_in_folder(work, settings, report, "log")
