"""The settings of `attribute` and `fool`."""

from dataclasses import dataclass

from minicnn.errors import MinicnnError
from minicnn.methods.attribution.integrated import MOST_STEPS, STEPS
from minicnn.methods.classes.settings import ClassSettings, OcclusionSettings, SaliencySettings
from minicnn.methods.deconvnet.projection import read_position
from minicnn.runs.look_run import LookSettings
from minicnn.runs.settings import NATURAL, as_in, choice, count, readable, setting, text

METHODS = (
    "gradient",
    "gradient-input",
    "integrated",
    "smooth-squared",
    "vargrad",
    "grad-cam",
    "guided-grad-cam",
)


@dataclass(frozen=True)
class AttributionSettings(ClassSettings):
    """Which method, of which class or unit."""

    method: str = setting(choice(METHODS), "integrated", "how the score is attributed")
    layer: str | None = setting(
        text("NAME"),
        None,
        "attribute a unit of this layer, not a class",
        shown="that of the scores",
    )
    unit: int | None = setting(NATURAL, None, "the unit, from 0", shown="the class")
    position: str = setting(
        readable(read_position, "max, all, or row,column as 3,4", "max|all|Y,X"),
        "max",
        "where in the unit's map: its maximum, everywhere, or a row and column",
    )
    maps: str | None = setting(
        text("NAME"),
        None,
        "grad-cam, guided-grad-cam: the layer whose maps are weighed",
        shown="the last of maps before the scores",
    )
    steps: int = setting(
        count(MOST_STEPS),
        STEPS,
        "integrated: points of the path; doubled until the shares sum to the score within 1 %%, "
        f"up to {MOST_STEPS}",
    )
    grey: int | None = as_in(
        OcclusionSettings,
        "grey",
        help="integrated, gradient-input: level of the picture that counts as nothing, 0..255",
    )
    samples: int = as_in(SaliencySettings, "samples", help="noisy copies")
    noise: float = as_in(SaliencySettings, "noise")
    signed: bool = as_in(
        SaliencySettings,
        "signed",
        help="write the attribution in colours, 0 as grey 128, not the map of its magnitudes",
    )
    clip: float = as_in(SaliencySettings, "clip")
    seed: int = as_in(LookSettings, "seed")

    def check(self):
        """Refuse what names no target, or two."""
        super().check()
        if (self.layer is None) != (self.unit is None):
            raise MinicnnError(
                "a unit has a layer and a number: give both --layer and --unit, or neither for a "
                "class; the layer of Grad-CAM is --maps"
            )
        if self.layer is not None and self.wanted_class is not None:
            raise MinicnnError("attribute a class or a unit, not both: leave out --class or --unit")
        if self.layer is not None and self.maps is None and "grad-cam" in self.method:
            raise MinicnnError(
                f"say whose maps are weighed: --maps with a layer below {self.layer}"
            )


@dataclass(frozen=True)
class FoolSettings(LookSettings):
    """Which picture is turned, and into what."""

    wanted_class: str | None = as_in(
        ClassSettings,
        "wanted_class",
        help="the class to reach: its number from 0, its name or a part of it",
        shown="the nearest",
    )
