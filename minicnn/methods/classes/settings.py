"""The settings of what concerns classes: saliency, class models, occlusion, classification."""

from dataclasses import dataclass

from minicnn.errors import MinicnnError
from minicnn.network.sizes import LARGEST
from minicnn.ops.relu import RULES
from minicnn.optimizers import WITHOUT_RATE
from minicnn.runs.look_run import LookSettings
from minicnn.runs.outputs import SnapshotOutputs
from minicnn.runs.search import SearchSettings
from minicnn.runs.settings import (
    CLIP,
    FLAG,
    NATURAL,
    WEIGHT,
    Kind,
    RunOptions,
    Settings,
    as_in,
    choice,
    count,
    number,
    setting,
    text,
)

AVERAGES = ("none", "shifts", "noise")
MOST = 1000  # samples of an average
AMOUNT = WEIGHT._replace(metavar="F")
GREY = number(int, 0, 255, wanted="a level from 0 to 255")
UNIT = Kind(str, lambda value: value == "max" or value.isdigit(), "max or a number from 0", "K|max")


@dataclass(frozen=True)
class ClassSettings(LookSettings):
    """A look at a picture for one of its classes."""

    wanted_class: str | None = setting(
        text("C"),
        None,
        "the class: its number from 0, its name or a part of it",
        option="--class",
        shown="the most probable",
    )


@dataclass(frozen=True)
class SaliencySettings(ClassSettings):
    """Which class, and how its map is made."""

    rule: str = setting(
        choice(RULES),
        "gradient",
        "what a ReLU does on the way down; `gradient` alone is a gradient",
        group="projection",
    )
    signed: bool = setting(
        FLAG,
        False,
        "write the signed gradient in colours, 0 as grey 128, not the map of its magnitudes",
    )
    average: str = setting(
        choice(AVERAGES), "none", "over moved (shifts) or noisy copies of the picture"
    )
    samples: int = setting(count(MOST), 16, "copies that are averaged")
    shift: int = setting(NATURAL, 4, "pixels that a copy is moved by at most")
    noise: float = setting(
        AMOUNT, 0.15, "standard deviation, as a share of the picture's range of grey levels"
    )
    clip: float = setting(
        CLIP, 0.01, "share of the pixels that may be shown as the brightest", group="picture"
    )


@dataclass(frozen=True)
class OcclusionSettings(ClassSettings):
    """What is covered, and what is measured."""

    layer: str | None = setting(
        text("NAME"), None, "whose activation is mapped", shown="the last of maps"
    )
    unit: str = setting(
        UNIT,
        "max",
        "its unit, from 0, or the one whose map has the largest sum in the picture (max)",
    )
    window: int | None = setting(
        count(), None, "side of the square in pixels", shown="a fifth of the picture's"
    )
    step: int | None = setting(
        count(), None, "pixels from place to place", shown="a fifteenth of the picture's side"
    )
    grey: int | None = setting(
        GREY,
        None,
        "level of the square, 0..255",
        shown="the mean colour of the network's pictures",
    )


@dataclass(frozen=True)
class ClassModelSettings(SearchSettings):
    """Everything that decides the picture that scores highest."""

    wanted_class: str = setting(
        text("C"), help="the class: its number from 0, its name or a part of it", option="--class"
    )
    size: int | None = as_in(LookSettings, "size")
    l2_weight: float = setting(
        WEIGHT, 0.01, "weight of the squared norm of the picture", group="loss"
    )
    tv_weight: float = setting(
        WEIGHT, 0.0, "weight of the total variation (smoothness)", group="loss"
    )
    blur: float = setting(
        AMOUNT, 0.0, "pixels by which the picture is always blurred", group="picture"
    )
    noise: float = setting(
        AMOUNT,
        0.0,
        "grey levels of noise to start from, not from plain mean colour",
        group="picture",
    )
    jitter: int = setting(
        NATURAL,
        0,
        "pixels that the picture is rolled by at random before each look, at most",
        group="search",
    )
    optimizer: str = as_in(
        SearchSettings,
        "optimizer",
        default="adam",
        help="Adam, our own L-BFGS, where the picture is, SciPy's, or another",
    )
    iterations: int = as_in(SearchSettings, "iterations", default=200, shown=None)
    learning_rate: float | None = as_in(SearchSettings, "learning_rate", shown="2")

    def check(self):
        """Refuse what no run can have."""
        super().check()
        if self.optimizer in WITHOUT_RATE and self.jitter:
            raise MinicnnError(
                f"{self.optimizer} needs a function that stays the same, and jitter changes it "
                "with every evaluation; use adam"
            )


@dataclass(frozen=True)
class ClassModelOutputs(SnapshotOutputs):
    """What `class-model` writes."""

    sheet: str | None = as_in(SnapshotOutputs, "sheet", help="also write it with the class above")
    npz: str | None = setting(text("OUT3"), None, "also write the raw arrays", group="files")


@dataclass(frozen=True)
class ClassifySettings(Settings):
    """Which pictures, and how they are cut."""

    images: list = setting(
        text("IMAGE"), help="picture", argument=True, several=True, option="IMAGE"
    )
    top: int = setting(count(), 5, "classes to show")
    side: int | None = setting(
        count(LARGEST),
        None,
        "scale the shorter side to N pixels before the centre is cut out",
        group="picture",
        shown="256 for networks of about 224, else the network's input",
    )
    seed: int = as_in(Settings, "seed", help="of random weights", group="network")


@dataclass(frozen=True)
class ClassifyOptions(RunOptions):
    """What `classify` is told beside; it writes no file and is quick."""

    force: bool = False
    quiet: bool = False
    json: bool = as_in(RunOptions, "json", help="one JSON object a picture")
