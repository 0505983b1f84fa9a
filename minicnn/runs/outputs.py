"""What verbs write, as settings of theirs: a folder of results, or what a search has found."""

from dataclasses import dataclass

from minicnn.runs.settings import (
    FLAG,
    Declared,
    Kind,
    RunOptions,
    as_in,
    count,
    number,
    setting,
    text,
)


@dataclass(frozen=True, kw_only=True)
class FolderOptions(Declared):
    """Where results go that are a folder, and what is said meanwhile."""

    output: str = setting(text("DIR"), help="folder for the results", group="files")
    force: bool = as_in(RunOptions, "force")
    quiet: bool = as_in(RunOptions, "quiet")
    json: bool = as_in(RunOptions, "json")
    log_file: str | None = as_in(RunOptions, "log_file")
    config: str | None = as_in(RunOptions, "config")


@dataclass(frozen=True, kw_only=True)
class Outputs(RunOptions):
    """What a search writes."""

    output: str = setting(text("OUT"), help="picture to write", group="files")
    sheet: str | None = setting(
        text("OUT2"), None, "also write what went in and what came out in a row", group="files"
    )
    plot: str | None = setting(
        text("LOSS.png"), None, "also draw every term of the loss (extra `plot`)", group="files"
    )
    checkpoint: str | None = setting(
        text("FILE"),
        None,
        "file for where the search is, to go on from; gone at the end",
        group="files",
        shown="OUT.checkpoint",
    )
    checkpoint_every: float = setting(
        number(float, 0, wanted="seconds, 0 for after every iteration", metavar="S"),
        30.0,
        "seconds from one writing of it to the next; a shorter run writes none",
        group="files",
    )
    resume: bool = setting(
        FLAG,
        False,
        "go on from the checkpoint of the same command, interrupted or killed; what has been made "
        "is not made again",
        group="files",
    )
    estimate: bool = setting(
        FLAG,
        False,
        "say how much memory and time it would take here, and do nothing else",
        group="machine",
    )


def sweep_of(settings, example, more=""):
    """Return the setting `sweep` of a verb with such settings and an example; see `sweep`."""

    def read(written):
        from minicnn.runs.sweep import Axis

        return Axis.of(written, settings)

    option, _, values = example.partition("=")
    words = (
        f"a picture for each value of a numeric option, such as {example}, as "
        f"OUT-{option}-{values.partition(',')[0]}.png and so on, and OUT is a sheet of them; a "
        f"second --sweep makes it a table{more}"
    )
    kind = Kind(read, bool, example, "OPTION=V,V,...")
    return setting(kind, None, words, repeated=True, group="picture")


@dataclass(frozen=True, kw_only=True)
class SnapshotOutputs(Outputs):
    """With pictures as runs of fewer iterations would end."""

    save_every: int | None = setting(
        count(), None, "also write OUT-0100.png and so on every N iterations", group="files"
    )


@dataclass(frozen=True, kw_only=True)
class FrameOutputs(Outputs):
    """With pictures of the search on its way, see `frames`."""

    frames: str | None = setting(
        text("DIR"),
        None,
        "also write the picture of every N-th iteration as DIR/0010.png, in its last size",
        group="files",
    )
    gif: str | None = setting(
        text("OUT.gif"),
        None,
        "also write these pictures as an animation, at most 480 pixels wide or high",
        group="files",
    )
    every: int | None = setting(
        count(),
        None,
        "iterations from frame to frame",
        group="files",
        shown="as many as make 40 frames",
    )
