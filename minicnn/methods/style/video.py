"""The verb `video`: the frames of a video, each painted by `style` and kept near the one before."""

from dataclasses import dataclass, replace
from pathlib import Path

from minicnn.data.walk import pictures_below
from minicnn.errors import MinicnnError
from minicnn.methods.style.settings import StyleSettings
from minicnn.methods.style.verb import STYLE, StyleOutputs
from minicnn.runs.options import add_settings
from minicnn.runs.outputs import FolderOptions
from minicnn.runs.settings import as_in, setting, settings_of, text
from minicnn.storage.atomic import results_folder
from minicnn.terminal.report import Report

example = """
minicnn demo
minicnn style minicnn-demo/content.jpg minicnn-demo/style.jpg -o a.png --iterations 2 --frames way
minicnn video way minicnn-demo/style.jpg -o painted --size 96 --iterations 2
"""


@dataclass(frozen=True, kw_only=True)
class VideoSettings(StyleSettings):
    """The settings of `style` that all frames share."""

    content: str = setting(
        text("FRAMES"), help="folder of frames, in the order of their names", argument=True
    )
    previous: None = None
    flow: None = None
    forward_flow: None = None
    flow_mask: None = None
    preserve_color: None = None
    content_masks: None = None


@dataclass(frozen=True, kw_only=True)
class VideoOptions(FolderOptions):
    """Where the flows are, and the painted frames go."""

    flows: str | None = setting(
        text("DIR"),
        None,
        "for each frame NAME but the first NAME.flo, where its pixels were in the frame before; "
        "with NAME-forward.flo, the way there, and NAME-mask.png, white where NAME.flo is to be "
        "believed, if there are such",
        shown="nothing moves",
    )
    resume: bool = as_in(StyleOutputs, "resume", help="go on: what has been made is not made again")
    checkpoint_every: float = as_in(StyleOutputs, "checkpoint_every")


def add(parser) -> None:
    """Declare the options."""
    add_settings(parser, VideoSettings, VideoOptions)


def run(args) -> int:
    """Paint the frames one after another; return the exit code of the first that fails."""
    shared, options = settings_of(VideoSettings, args), settings_of(VideoOptions, args)
    frames = _frames(shared, options)
    report = Report(options.json, options.quiet)
    for settings, output in frames:
        outputs = StyleOutputs(
            output=str(output),
            force=options.force,
            resume=options.resume,
            checkpoint_every=options.checkpoint_every,
        )
        if code := STYLE.make(settings, outputs, report):
            return code
    return 0


def _frames(shared, options):
    """Return [(settings, painted frame)], checked; the files of each are there."""
    if not Path(shared.content).is_dir():
        raise MinicnnError(f"no folder {shared.content!r}; give the one that the frames are in")
    names, _ = pictures_below(shared.content)
    if not names:
        raise MinicnnError(f"no pictures in {shared.content!r}; save the video's frames there")
    stems = [Path(name).stem for name in names]
    if twice := [stem for stem in stems if stems.count(stem) > 1]:
        raise MinicnnError(f"two frames are called {twice[0]!r}; give each a name of its own")
    painted = [f"{stem}.png" for stem in stems]
    folder = results_folder(options.output, painted, options.force or options.resume)
    found, before = [], None
    for name, stem, file in zip(names, stems, painted, strict=True):
        settings = StyleSettings(**{**vars(shared), "content": str(Path(shared.content, name))})
        if before:
            settings = replace(settings, previous=str(before), **_flows(options.flows, stem))
        else:
            settings = replace(settings, temporal_weight=None)
        settings.check()
        before = folder / file
        found.append((settings, before))
    return found


def _flows(folder, stem):
    """Return the settings of a frame's flow files, none without a folder of them."""
    if folder is None:
        return {}
    files = {"flow": f"{stem}.flo", "forward_flow": f"{stem}-forward.flo"}
    files["flow_mask"] = f"{stem}-mask.png"
    there = {key: str(path) for key, name in files.items() if (path := Path(folder, name)).exists()}
    if "flow" not in there:
        raise MinicnnError(
            f"no file {str(Path(folder, files['flow']))!r}; it says where each pixel of the frame "
            f"{stem} was in the frame before"
        )
    return there
