"""The settings of a training run: what they are, which ones cannot work, which ones are its own."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

from minicnn.errors import MinicnnError
from minicnn.methods.training.schedules import rate

BY_HAND = ("rate", "schedule")  # settings that may change from one resumption to the next


@dataclass
class TrainSettings:
    """Everything that decides the outcome of a training run, and where it goes."""

    data: str
    output: str
    network: str = "minivgg-bn"
    epochs: int = 30
    batch: int = 128
    group: int = 64
    rate: float = 0.15
    schedule: str = "one-cycle"
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    smoothing: float = 0.1
    dropout: float = 0.0
    max_rms: float | None = None
    last_std: float | None = None
    crop: int = 48
    border: int = 0
    size: int = 64
    flip: bool = True
    seed: int = 0
    limit: int | None = None
    snapshots: list = field(default_factory=list)
    validate_every: int = 1
    threads: int | None = None
    device: str = "cpu"
    precision: str = "auto"


def check(settings):
    """Raise `MinicnnError` for the first setting that cannot work."""
    s = settings
    for name in ("epochs", "batch", "group", "crop", "size", "validate_every"):
        if getattr(s, name) < 1:
            raise MinicnnError(f"{name} must be at least 1, not {getattr(s, name)}")
    for name in ("rate", "momentum", "weight_decay", "smoothing", "dropout"):
        value = getattr(s, name)
        if not (math.isfinite(value) and value >= 0):
            raise MinicnnError(f"{name} must be a finite number >= 0, not {value}")
    if s.batch % s.group:
        raise MinicnnError(f"the batch ({s.batch}) must be a multiple of the group ({s.group})")
    if not 0 <= s.border < s.size:
        raise MinicnnError(f"the border must be from 0 to {s.size - 1} pixels, not {s.border}")
    if s.crop > s.size + 2 * s.border:
        raise MinicnnError(
            f"the crop ({s.crop}) is larger than the pictures ({s.size}) with their border "
            f"({s.border})"
        )
    for name in ("max_rms", "last_std"):
        value = getattr(s, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise MinicnnError(f"{name} must be a finite number > 0, not {value}")
    rate(s.schedule, s.rate, 0.0)
    if not Path(s.output).is_dir():
        raise MinicnnError(f"no folder {s.output}; create it first")


def portable(settings):
    """Return the settings that a resumed run must share with the one that it goes on from.

    The number of epochs may change: the schedule is then that of the new number from here on.
    """
    kept = asdict(settings)
    where = ("data", "output", "threads", "device", "precision")
    for name in (*where, "snapshots", "validate_every", "epochs"):
        del kept[name]
    return kept
