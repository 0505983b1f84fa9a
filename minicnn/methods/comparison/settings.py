"""The settings of a comparison: which two networks, on which pictures."""

from dataclasses import dataclass

from minicnn.methods.features.settings import DrawSettings, FeaturesSettings
from minicnn.runs.settings import Settings, SheetSettings, as_in, count, setting, text


@dataclass(frozen=True)
class ComparisonSettings(SheetSettings):
    """Everything that decides what is drawn and measured."""

    one: str = setting(
        text("NETWORK"),
        help="a network at hand, a weight file, or random:NAME for an untrained one",
        option="NETWORK",
        argument=True,
    )
    other: str = setting(
        text("OTHER"), help="the one to compare it with, likewise", option="OTHER", argument=True
    )
    data: str = setting(text("DATASET"), help="folder of pictures or HDF5 file")
    split: str | None = as_in(FeaturesSettings, "split")
    limit: int | None = as_in(FeaturesSettings, "limit")
    layers: list | None = as_in(
        FeaturesSettings,
        "layers",
        help="whose dead units are counted, as relu*",
        shown="the ReLUs of the convolutions",
    )
    units: int = setting(count(), 24, "units of the second layer that are drawn")
    seed: int = as_in(
        Settings, "seed", help="of the units drawn and of untrained weights", group="what"
    )
    threads: int | None = as_in(DrawSettings, "threads")
