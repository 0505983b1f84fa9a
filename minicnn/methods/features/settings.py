"""The settings of a scan and of what is drawn of it, and what a run is told beside them."""

from dataclasses import dataclass

from minicnn.methods.deconvnet.projection import Policy
from minicnn.runs.outputs import FolderOptions, Outputs
from minicnn.runs.settings import (
    DEVICES,
    FLAG,
    SHARED_OUT,
    RunOptions,
    Settings,
    SheetSettings,
    as_in,
    choice,
    count,
    list_of,
    setting,
    text,
)
from minicnn.runs.shards import SHARD

LARGEST_PATCH = 1024  # pixels a side


@dataclass(frozen=True, kw_only=True)
class DrawSettings(SheetSettings, Policy):
    """How the strongest activations are projected and drawn."""

    patch: int = setting(
        count(LARGEST_PATCH),
        80,
        "longest side of a patch in pixels",
        group="picture",
        old=("--tile",),
    )
    field: str = setting(
        choice(("effective", "theoretical")),
        "effective",
        "what is cut out: where 95 %% of a unit's projections lie, or all that it could see",
        group="picture",
    )
    contrast: str = setting(
        choice(("unit", "picture")),
        "unit",
        "what has one contrast: the reconstructions of a unit, or each by itself",
        group="picture",
    )
    single_file: bool = setting(FLAG, False, "put all pictures into the page", group="files")
    threads: int | None = as_in(Settings, "threads", help="workers; they change no number")


@dataclass(frozen=True)
class FeaturesSettings(DrawSettings):
    """Which pictures go through which layers of which network, and what is kept of them."""

    data: list = setting(
        text("DATASET"),
        help="folder of pictures, tar files as a.tar or a-{000..146}.tar, or HDF5 file; or the "
        "word merge and the files of all shards",
        option="DATASET",
        argument=True,
        several=True,
    )
    layers: list | None = setting(
        list_of(None, "LIST"), None, "as relu1_1,fire*/concat", shown="below each pooling"
    )
    top: int = setting(count(), 9, "activations a unit")
    split: str | None = setting(text("NAME"), None, "of the data set", shown="val, or all")
    limit: int | None = setting(count(), None, "take N pictures, spread over all", shown="all")
    size: int | None = setting(
        count(),
        None,
        "side of the pictures in pixels",
        group="picture",
        shown="what the network was made for",
    )
    batch: int | None = setting(
        count(),
        None,
        "pictures given out at a time; changes no number",
        group="machine",
        shown="four groups a worker",
    )
    network: str | None = as_in(Settings, "network")
    weights: str | None = as_in(Settings, "weights")
    pool: str | None = as_in(Settings, "pool")
    seed: int = as_in(Settings, "seed", help="of random weights", group="network")
    device: str = as_in(Settings, "device", kind=DEVICES, help=SHARED_OUT)


@dataclass(frozen=True, kw_only=True)
class FeaturesOptions(FolderOptions):
    """What a scan is told beside its settings."""

    gpu_memory: str | None = as_in(RunOptions, "gpu_memory")
    moved: str | None = setting(
        text("PATH"), None, "for merge: where the data is now", option="--data", group="files"
    )
    shard: tuple | None = setting(SHARD, None, "scan this part alone, draw nothing")
    scheduler: str | None = setting(
        text("ADDRESS"),
        None,
        "of a Dask cluster that scans, as tcp://host:8786",
        group="machine",
    )
    resume: bool = setting(
        FLAG, False, "go on with an interrupted scan or drawing in DIR", group="files"
    )
    strict: bool = setting(FLAG, False, "stop at a picture that cannot be read")
    sheets: bool = setting(FLAG, True, "write the numbers alone", group="files")
    estimate: bool = as_in(Outputs, "estimate")
