"""The settings of an evolution: which snapshots, on which pictures, and which units are drawn."""

from dataclasses import dataclass

from minicnn.methods.deconvnet.projection import Policy
from minicnn.methods.features.settings import DrawSettings, FeaturesSettings
from minicnn.runs.settings import Settings, SheetSettings, as_in, count, setting, text


@dataclass(frozen=True)
class EvolutionSettings(SheetSettings, Policy):
    """Everything that decides what is drawn and measured."""

    snapshots: list = setting(
        text("SNAPSHOT"),
        help="weight files of one training run, in any order; or minialexnet, minizfnet",
        option="SNAPSHOT",
        argument=True,
        several=True,
    )
    data: str = setting(text("DATASET"), help="folder of pictures or HDF5 file")
    split: str | None = as_in(FeaturesSettings, "split")
    limit: int | None = as_in(FeaturesSettings, "limit")
    layers: list | None = as_in(
        FeaturesSettings, "layers", help="as relu1,relu5", shown="the ReLUs of the convolutions"
    )
    units: int = setting(count(), 6, "units drawn at random of each layer")
    sample: int = setting(count(), 256, "pictures on which features are compared")
    seed: int = as_in(Settings, "seed", help="of the units and the sample", group="what")
    size: int | None = as_in(FeaturesSettings, "size")
    patch: int = as_in(DrawSettings, "patch")
    field: str = as_in(DrawSettings, "field")
    threads: int | None = as_in(DrawSettings, "threads")
