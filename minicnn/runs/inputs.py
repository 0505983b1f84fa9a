"""What a run opens: its pictures, its network, its device; and the noise to start from."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from minicnn.backend import resolve_device, seeded_rng, to_device
from minicnn.engine.cpu.threads import thread_count
from minicnn.errors import MinicnnError
from minicnn.methods import network_defaults
from minicnn.network import build
from minicnn.network.network import Network
from minicnn.pictures.arrays import grey_level
from minicnn.pictures.reader import load_image
from minicnn.storage import atomic
from minicnn.weights import checkpoint

DEFAULT = "minivgg"
NOISE = 20.0  # grey levels, standard deviation of the noise to start from
OWN = "own"  # pooling as in training, as in the file
RANDOM = "random"  # in the place of a weight file: He weights drawn from the seed


def load_network(name=None, weights=None, pool=None, *, seed=0, device="cpu"):
    """Return a network.

    Parameters
    ----------
    name : str, optional
        That of an embedded or fetched network, or of the one that `weights` must hold.
    weights : path, or "random", optional
    pool : {"max", "average", "own"}, optional
        "own" is what the network was trained with; by default, that of its row in
        `methods.network_defaults`, which is made for style transfer.
    seed : int, for random weights
    device : {"cpu", "cuda", "cuda:1"}

    Raises
    ------
    MinicnnError
        If there is no such network, no weights of it, or something is wrong with the file.
    """
    if name is not None and name not in build.names():
        raise MinicnnError(
            f"no network named {name!r}; the networks are {', '.join(build.names())}"
        )
    if weights in (None, RANDOM):
        actual = name or DEFAULT
    else:
        actual = checkpoint.info(weights)["architecture"]
        if name not in (None, actual):
            raise MinicnnError(f"{str(weights)!r} holds weights of {actual}, not of {name}")
    preset = network_defaults.style_preset(actual)
    pool = None if pool == OWN else pool or (preset.pool if preset else None)
    if weights == RANDOM:
        net = build.build(actual, seed=seed, pool=pool)
        net.params = {key: to_device(value, device) for key, value in net.params.items()}
        return net
    available = checkpoint.available()
    if weights is None and actual not in available:
        raise MinicnnError(
            f"minicnn comes without weights of {actual}; give --weights FILE, or --weights random "
            f"for untrained ones, or try `minicnn weights fetch {actual}` "
            f"(it has: {', '.join(available) or 'none'})"
        )
    return checkpoint.load(weights or actual, pool=pool, device=device)


class Reader:
    """Read the pictures of a job, remembering their hashes and what was done to them.

    Parameters
    ----------
    named : dict, role -> file as the settings name it
    files : dict, role -> where it lies now, if elsewhere
    """

    def __init__(self, named, files=None):
        self.named, self.files = named, files or {}
        self.notes, self.inputs = [], {}

    def path(self, role):
        """Return where the picture lies."""
        return Path(self.files.get(role, self.named[role]))

    def read(self, role):
        """Return the picture uint8 (H, W, 3)."""
        pixels, notes = load_image(self.path(role))
        self.notes += [f"{self.path(role)}: {note}" for note in notes]
        self.inputs[role] = {
            "path": str(self.named[role]),
            "sha256": atomic.file_hash(self.path(role)),
        }
        return pixels


class Opened(NamedTuple):
    """What was opened: `pictures` is role -> uint8 (H, W, 3) as read by the `reader`."""

    reader: Reader
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
    reader = Reader(settings.inputs(), files)
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
