"""What the verbs that make or look at a picture open alike: pictures, network, device, noise."""

from dataclasses import dataclass

from minicnn.engine.select import ENGINES
from minicnn.network import build
from minicnn.objectives.gram import STYLE as GRAMS
from minicnn.runs import checks, search


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings that all of them have; None is the default of the network.

    Attributes
    ----------
    network : str, name of an embedded network, or of the one that `weights` must hold
    weights : str, HDF5 file, or "random" for untrained weights from the seed
    pool : "max" or "average"
    """

    network: str | None = None
    weights: str | None = None
    pool: str | None = None
    seed: int = 0
    engine: str = "auto"
    device: str = "auto"
    threads: int | None = None

    def check(self):
        """Refuse what no run can have."""
        checks.seed(self)
        checks.one_of(
            [
                (self.pool, build.POOLS, "pooling"),
                (self.engine, ("auto", *ENGINES), "engine"),
            ]
        )


@dataclass(frozen=True, kw_only=True)
class SearchSettings(Settings):
    """With the optimizer of one's choice; None is the default of the optimizer.

    Attributes
    ----------
    iterations : int
    evaluations : int, calls of the loss at most (at each size); then iterations are as many
    learning_rate : float, grey levels of 0..255; not for the L-BFGS methods
    """

    optimizer: str = "lbfgs"
    iterations: int | None = None
    evaluations: int | None = None
    learning_rate: float | None = None

    def check(self):
        """Refuse what no run can have."""
        super().check()
        checks.search(self)
        checks.one_of(
            [
                (self.optimizer, search.SEARCH, "optimizer"),
                (getattr(self, "gram", None), GRAMS, "gram normalisation"),
            ]
        )
