"""The verb `demo`: `style` on two pictures of its own, with defaults of its own.

The pictures are part of the package; `tools/draw_demo_pictures.py` draws them.
"""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from minicnn.methods.style.settings import StyleSettings
from minicnn.methods.style.verb import STYLE
from minicnn.runs.inputs import PAINTER
from minicnn.runs.options import add_settings
from minicnn.runs.outputs import Outputs
from minicnn.runs.picture_run import check_files
from minicnn.runs.settings import RunOptions, as_in, setting, settings_of, text
from minicnn.storage.atomic import check_output, results_folder, write_whole
from minicnn.terminal.report import Report

PICTURES = ("content.jpg", "style.jpg")
RESULT, SHEET = "result.png", "sheet.png"
SIZE, ITERATIONS, COARSE_ITERATIONS = 384, 30, 60  # half a minute on two cores
CONTENT_WEIGHT = 100.0  # with `PAINTER`; with its own, the mountain dissolves
example = "minicnn demo"


def unpack(folder, force=False):
    """Write the two pictures into a folder, made if it is not there; return their paths.

    Raises `MinicnnError` if that cannot be, or other files have their names and `force` is not set.
    """
    paths = [results_folder(folder, ()) / name for name in PICTURES]
    for path in paths:
        data = resources.files("minicnn.demo").joinpath(path.name).read_bytes()
        if not (path.is_file() and path.read_bytes() == data):
            check_output(path, force)
            write_whole(path, data)
    return paths


@dataclass(frozen=True)
class DemoSettings(StyleSettings):
    """The settings of `style` that are left open."""

    content: str = ""
    style: str = ""
    preset: None = None
    blend: None = None
    previous: None = None
    flow: None = None
    forward_flow: None = None
    flow_mask: None = None
    temporal_weight: None = None
    content_masks: None = None
    style_masks: None = None
    init: str = "content"
    noise_ratio: None = None
    size: int = as_in(StyleSettings, "size", default=SIZE, shown=None)
    iterations: int | list | None = as_in(
        StyleSettings,
        "iterations",
        shown=f"{ITERATIONS} at the full size, {COARSE_ITERATIONS} at each before",
    )
    coarse_iterations: int | None = as_in(
        StyleSettings, "coarse_iterations", shown="shares as these"
    )
    content_weight: float | None = as_in(
        StyleSettings,
        "content_weight",
        shown=f"{CONTENT_WEIGHT:g} with {PAINTER}, else the network's",
    )

    @property
    def budget(self):
        """See `StyleSettings`."""
        return ITERATIONS, COARSE_ITERATIONS


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
    files = {"output": str(folder / RESULT), "sheet": str(folder / SHEET)}
    outputs = settings_of(Outputs, args, **files)
    if folder.is_dir():
        check_files(outputs, [])
    content, painted = unpack(folder, own.force)
    settings = settings_of(DemoSettings, args, content=str(content), style=str(painted))
    if settings.network in (None, PAINTER) and settings.weights in (None, PAINTER):
        settings = settings.filled({"content_weight": CONTENT_WEIGHT})
    return STYLE.make(settings, outputs, Report(own.json, own.quiet))
