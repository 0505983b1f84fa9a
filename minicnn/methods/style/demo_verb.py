"""The verb `demo`: `style` on two pictures of its own, with defaults of its own."""

from dataclasses import dataclass
from pathlib import Path

from minicnn.methods.style import demo
from minicnn.methods.style.settings import StyleSettings
from minicnn.methods.style.verb import STYLE
from minicnn.runs.options import add_settings
from minicnn.runs.outputs import Outputs
from minicnn.runs.picture_run import check_files
from minicnn.runs.settings import FLAG, LARGEST, RunOptions, count, setting, settings_of, text
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
    size: int = setting(
        count(LARGEST), demo.SIZE, "long side of the result in pixels", group="picture"
    )
    iterations: int = setting(
        count(), demo.ITERATIONS, "steps of the optimizer at full size", group="search"
    )
    coarse_iterations: int = setting(
        count(),
        demo.COARSE_ITERATIONS,
        "steps at each size before the full one",
        group="search",
    )


@dataclass(frozen=True, kw_only=True)
class DemoOutputs(RunOptions):
    """Where the demo goes."""

    output: str = setting(text("FOLDER"), "minicnn-demo", "folder for the pictures", group="files")
    estimate: bool = setting(
        FLAG, False, "say how much memory and time it would take, and do nothing", group="machine"
    )


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
