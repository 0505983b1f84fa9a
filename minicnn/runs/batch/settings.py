"""What a batch is told: where its rows come from, how results are called, who does them."""

from dataclasses import dataclass

from minicnn.backend import device_names
from minicnn.errors import MinicnnError
from minicnn.runs.outputs import FolderOptions
from minicnn.runs.settings import DEVICES, FLAG, as_in, count, setting, text
from minicnn.runs.shards import SHARD


@dataclass(frozen=True)
class BatchSettings(FolderOptions):
    """The rows of a manifest, or every content with every style."""

    manifest: str | None = setting(
        text("MANIFEST"),
        None,
        "a job a row: .jsonl, an object a line; .csv, the names of options in the first line; or "
        "- for JSON lines from stdin",
        argument=True,
    )
    contents: str | None = setting(
        text("DIR"), None, "without a manifest: every picture below it is a content"
    )
    styles: str | None = setting(text("DIR"), None, "and is painted like every picture below this")
    verb: str = setting(text("VERB"), "style", "of rows that name none")
    changes: list | None = setting(
        text("OPTION=VALUE"), None, "for rows that do not say it", option="--set", repeated=True
    )
    name: str | None = setting(
        text("TEMPLATE"),
        None,
        "of the picture of a row without an output: {content}-{style}.png has the names of these "
        "files without folder and ending; any option of the row can stand there, and {row}, its "
        "number",
        group="files",
    )
    output: str = as_in(
        FolderOptions,
        "output",
        default=".",
        help="folder before all relative names of results, made if it is not there",
    )
    shard: tuple | None = setting(
        SHARD, None, "do this part of the rows alone; auto: as a job array of Slurm says"
    )
    missing: bool = setting(FLAG, False, "list the rows that are not finished, and do nothing")
    jobs: int = setting(count(256), 1, "rows at a time, each in a process", group="machine")
    device: str | None = setting(
        DEVICES,
        None,
        "for rows that name none; of several CUDA devices each does rows in a process of its own",
        group="machine",
        shown="auto",
    )
    scheduler: str | None = setting(
        text("ADDRESS"),
        None,
        "of a Dask cluster that does the rows, as tcp://host:8786",
        group="machine",
    )
    force: bool = as_in(
        FolderOptions, "force", help="replace files that were made from something else"
    )

    def check(self):
        """Refuse what does not go together."""
        super().check()
        if (self.contents is None) != (self.styles is None):
            raise MinicnnError("--contents DIR and --styles DIR go together")
        if (self.manifest is None) == (self.contents is None):
            raise MinicnnError(
                "give a manifest, or --contents DIR and --styles DIR; one of them, not both"
            )
        if self.contents and self.name is None:
            raise MinicnnError("--contents needs --name, such as {content}-{style}.png")
        if self.scheduler and self.jobs > 1:
            raise MinicnnError("a cluster has its own workers; leave out --jobs or --scheduler")
        if self.scheduler and self.device:
            raise MinicnnError("a cluster's workers have their own; leave out --device")
        self.devices()

    def devices(self):
        """Return the names of the devices that processes are to have; none is asked yet."""
        if self.device in (None, "auto", "cpu"):
            return [self.device or "auto"]
        return device_names(self.device)

    def processes(self):
        """Return how many processes do rows at a time."""
        return max(self.jobs, len(self.devices()))
