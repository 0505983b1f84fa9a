"""What the verbs that make or look at a picture open alike: pictures, network, device, noise."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minicnn import models
from minicnn.backend import resolve_device, seeded_rng, to_device
from minicnn.engine.threads import thread_count
from minicnn.network import Network
from minicnn.objectives import STYLE as GRAMS
from minicnn.tasks import checks, jobs, presets
from minicnn.tasks.networks import load_network
from minicnn.tasks.style_loss import grey_level
from minicnn.tasks.walks import ENGINES

NOISE = 20.0  # grey levels, standard deviation of the noise to start from


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
                (self.pool, models.POOLS, "pooling"),
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
                (self.optimizer, presets.SEARCH, "optimizer"),
                (getattr(self, "gram", None), GRAMS, "gram normalisation"),
            ]
        )


class Opened(NamedTuple):
    """What was opened: `pictures` is role -> uint8 (H, W, 3) as read by the `reader`."""

    reader: jobs.Reader
    pictures: dict
    net: Network
    device: str


def open_all(settings, files=None, pool=None):
    """Return what the checked settings name, `Opened`.

    Parameters
    ----------
    settings : Settings
        With `inputs()`, see `jobs`.
    files : dict, optional
        role -> where a picture named in the settings lies now.
    pool : str, optional
        Pooling where the settings leave it open; that of the network by default.

    Raises
    ------
    MinicnnError
        If a file, the device or the network is not what it should be.
    """
    thread_count(settings.threads)
    device = resolve_device(settings.device)
    reader = jobs.Reader(settings.inputs(), files)
    pictures = {role: reader.read(role) for role in settings.inputs()}
    net = load_network(
        settings.network,
        settings.weights,
        settings.pool or pool,
        seed=settings.seed,
        device=device,
    )
    return Opened(reader, pictures, net, device)


def noise(net, shape, seed, device="cpu", levels=NOISE):
    """Return white noise float32 of `shape` (1, 3, H, W), `levels` grey levels of deviation."""
    drawn = seeded_rng(seed).standard_normal(shape, dtype=np.float32)
    return to_device(drawn * (np.float32(levels) * grey_level(net, drawn)), device)
