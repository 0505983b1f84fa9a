"""The verb `demo`: `style` on two pictures of its own, with defaults of its own."""

from dataclasses import dataclass
from pathlib import Path

from minicnn.methods.style import demo
from minicnn.methods.style.settings import StyleSettings
from minicnn.methods.style.verb import STYLE
from minicnn.runs.options import add_settings
from minicnn.runs.outputs import Outputs
from minicnn.runs.picture_run import check_files
from minicnn.runs.settings import RunOptions, as_in, setting, settings_of, text
from minicnn.terminal.report import Report

example = "minicnn demo"


@dataclass(frozen=True)
class DemoSettings(StyleSettings):
    """The settings of `style` that are left open."""

    content: str = ""
    style: str = ""
    preset: None = None
    blend: None = None
    content_masks: None = None
    style_masks: None = None
    init: str = "content"
    noise_ratio: None = None
    size: int = as_in(StyleSettings, "size", default=demo.SIZE, shown=None)
    iterations: int = as_in(StyleSettings, "iterations", default=demo.ITERATIONS, shown=None)
    coarse_iterations: int = as_in(
        StyleSettings, "coarse_iterations", default=demo.COARSE_ITERATIONS, shown=None
    )


@dataclass(frozen=True, kw_only=True)
class DemoOutputs(RunOptions):
    """Where the demo goes."""

    output: str = setting(text("FOLDER"), "minicnn-demo", "folder for the pictures", group="files")
    estimate: bool = as_in(Outputs, "estimate")


def add(parser) -> None:
    """Declare the options."""
    add_settings(parser, DemoSettings, DemoOutputs)


def run(args) -> int:
    """Write the two pictures, the result and the sheet into a folder."""
    own = settings_of(DemoOutputs, args)
    folder = Path(own.output)
    files = {"output": str(folder / demo.RESULT), "sheet": str(folder / demo.SHEET)}
    outputs = settings_of(Outputs, args, **files)
    if folder.is_dir():
        check_files(outputs, [])
    content, painted = demo.unpack(folder, own.force)
    settings = settings_of(DemoSettings, args, content=str(content), style=str(painted))
    return STYLE.make(settings, outputs, Report(own.json, own.quiet))
