"""The settings of a distillation: what they are, and which a resumed run must share."""

from dataclasses import asdict, dataclass
from pathlib import Path

from minicnn.errors import MinicnnError
from minicnn.methods.training.schedules import SCHEDULES
from minicnn.methods.training.settings import TrainSettings
from minicnn.runs.settings import (
    LARGEST,
    NATURAL,
    POSITIVE,
    WEIGHT,
    Declared,
    Settings,
    as_in,
    choice,
    count,
    list_of,
    setting,
    text,
)

WHERE = ("data", "output", "teacher", "threads", "device", "precision", "save_every", "log_every")
BY_HAND = ("rate", "schedule", "steps")  # may change from one resumption to the next


@dataclass(frozen=True)
class DistillSettings(Declared):
    """Everything that decides the outcome of a distillation, and where it goes."""

    data: list = setting(
        text("DATA"),
        help="folders or HDF5 files of pictures; each is drawn from as often as the others",
        option="DATA",
        argument=True,
        several=True,
    )
    output: str = as_in(TrainSettings, "output")
    teacher: str = setting(
        text("NAME|FILE"), "vgg19", "weights of VGG-19: at hand, or a file", group="network"
    )
    network: str = setting(text("NAME"), "slimvgg", "the student", group="network")
    steps: int = setting(count(), 20000, "of Adam", group="search")
    batch: int = setting(count(), 8, "pieces of pictures in a step", group="search")
    sizes: list = setting(
        list_of(count(LARGEST), "LIST"),
        (64, 128, 192),
        "sides of the pieces in pixels; each step takes one of them",
        group="picture",
        shown="64,128,192",
    )
    fit: int = setting(
        count(), 128, "pieces from which the components and the start are found", group="search"
    )
    gram_weight: float = setting(WEIGHT, 4.0, "of the Gram matrices in the loss", group="loss")
    rate: float = setting(
        POSITIVE, 0.001, "highest rate, in units of each array's RMS", group="search"
    )
    schedule: str = setting(choice(SCHEDULES), "cosine", "of the rate", group="search")
    seed: int = setting(NATURAL, 0, "of pieces, mixtures and noise", group="search")
    save_every: int = setting(
        count(), 500, "steps between snapshots of the weights and the state", group="files"
    )
    log_every: int = setting(count(), 50, "steps between rows of log.csv", group="files")
    threads: int | None = as_in(TrainSettings, "threads")
    device: str = as_in(Settings, "device")
    precision: str = as_in(TrainSettings, "precision")

    def check(self):
        """Raise `MinicnnError` for the first setting that cannot work."""
        super().check()
        if not Path(self.output).is_dir():
            raise MinicnnError(f"no folder {self.output}; create it first")


def portable(settings):
    """Return the settings that a resumed run must share with the one that it goes on from."""
    kept = {key: value for key, value in asdict(settings).items() if key not in WHERE + BY_HAND}
    return {**kept, "sizes": list(settings.sizes)}
