"""The settings of a training run: what they are, which ones cannot work, which ones are its own."""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from minicnn.errors import MinicnnError
from minicnn.methods.training.schedules import SCHEDULES
from minicnn.network.sizes import LARGEST
from minicnn.runs.settings import (
    DEVICES,
    FLAG,
    NATURAL,
    POSITIVE,
    SHARE,
    SHARED_OUT,
    WEIGHT,
    Declared,
    choice,
    count,
    list_of,
    setting,
    text,
)

BY_HAND = ("rate", "schedule")  # settings that may change from one resumption to the next


_number = partial(setting, group="search")
_picture = partial(setting, group="picture")


@dataclass(frozen=True)
class TrainSettings(Declared):
    """Everything that decides the outcome of a training run, and where it goes."""

    data: str = setting(
        text("DATA"),
        help="folder with train/CLASS/*.jpg and val/CLASS/*.jpg, or HDF5 file",
        argument=True,
    )
    output: str = setting(
        text("FOLDER"),
        help="folder for snapshots, log.csv, and the state to resume from",
        group="files",
    )
    network: str = setting(text("NAME"), "minivgg-bn", "see `minicnn models`", group="network")
    epochs: int = _number(count(), 30, "passes over the pictures")
    batch: int = _number(count(), 128, "pictures in a step")
    group: int = _number(count(), 64, "pictures normalised together; divides the batch")
    rate: float = _number(POSITIVE, 0.15, "highest learning rate", old=("--learning-rate",))
    schedule: str = _number(choice(SCHEDULES), "one-cycle", "of the rate")
    momentum: float = _number(WEIGHT, 0.9, "of the steps")
    nesterov: bool = _number(FLAG, True, "plain momentum")
    weight_decay: float = _number(WEIGHT, 5e-4, "of the filters and matrices")
    smoothing: float = _number(SHARE, 0.1, "label smoothing")
    dropout: float = _number(SHARE, 0.0, "share of the top's inputs that is dropped")
    max_rms: float | None = _number(POSITIVE, None, "largest RMS of a filter", shown="none")
    last_std: float | None = _number(
        POSITIVE, None, "standard deviation of the last weights at the start", shown="He"
    )
    crop: int = _picture(count(), 48, "side of the random square that is cut out of them")
    border: int = _picture(NATURAL, 0, "pixels mirrored around a picture before the square is cut")
    size: int = _picture(count(LARGEST), 64, "side of the pictures in pixels")
    flip: bool = _picture(FLAG, True, "do not mirror pictures at random")
    seed: int = _number(NATURAL, 0, "of weights, order, squares and mirrors")
    limit: int | None = _number(count(), None, "take N pictures, spread over all", shown="all")
    snapshots: list | None = setting(
        list_of(count(), "LIST"),
        None,
        "epochs after which to keep the weights, as 1,2,5,10",
        group="files",
        shown="none",
    )
    validate_every: int = _number(count(), 1, "epochs between looks at the validation pictures")
    threads: int | None = setting(
        count(), None, "worker threads; do not change the result", group="machine", shown="all"
    )
    device: str = setting(DEVICES, "auto", SHARED_OUT, group="machine")
    precision: str = setting(
        choice(("auto", "fp32", "tf32")),
        "auto",
        "of the factors of matrix products on a GPU; auto is tf32 where there is such",
        group="machine",
    )

    def check(self):
        """Raise `MinicnnError` for the first setting that cannot work."""
        super().check()
        if self.batch % self.group:
            raise MinicnnError(
                f"the batch ({self.batch}) must be a multiple of the group ({self.group})"
            )
        if self.border >= self.size:
            raise MinicnnError(
                f"the border must be from 0 to {self.size - 1} pixels, not {self.border}"
            )
        if self.crop > self.size + 2 * self.border:
            raise MinicnnError(
                f"the crop ({self.crop}) is larger than the pictures ({self.size}) with their "
                f"border ({self.border})"
            )
        if not Path(self.output).is_dir():
            raise MinicnnError(f"no folder {self.output}; create it first")


def portable(settings):
    """Return the settings that a resumed run must share with the one that it goes on from.

    The number of epochs may change: the schedule is then that of the new number from here on.
    """
    kept = asdict(settings)
    where = ("data", "output", "threads", "device", "precision")
    for name in (*where, "snapshots", "validate_every", "epochs"):
        del kept[name]
    return kept
