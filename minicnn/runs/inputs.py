"""From arguments to arrays: what a run opens (pictures, network, device), the noise it starts from.

`SettingsVerb` is what all verbs of declared settings share.
"""

import hashlib
import math
import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minicnn.backend import resolve_device, seeded_rng, to_device
from minicnn.engine import kept
from minicnn.engine.cpu.threads import thread_count
from minicnn.errors import MinicnnError
from minicnn.network import build
from minicnn.network.network import Network
from minicnn.network.sizes import least_side
from minicnn.pictures.arrays import grey_level
from minicnn.pictures.flow import read_flow
from minicnn.pictures.reader import load_image
from minicnn.runs.options import add_settings
from minicnn.runs.settings import Settings, settings_of
from minicnn.storage import atomic
from minicnn.terminal.report import Report
from minicnn.weights import checkpoint, locations

DEFAULT = "minivgg"  # it has a classifier
PAINTER = "slimvgg"  # the default where pictures are to look like others
NOISE = 20.0  # grey levels, standard deviation of the noise to start from
STDIN = "-"  # in the place of a picture file
OWN = "own"  # pooling as in training, as in the file
RANDOM = "random"  # in the place of a weight file: He weights drawn from the seed


def load_network(name=None, weights=None, pool=None, *, seed=0, device="cpu", default=DEFAULT):
    """Return a network.

    Parameters
    ----------
    name : str, optional
        That of an embedded or fetched network, or of the one that `weights` must hold; or a file.
    weights : path, or "random", optional
    pool : {"max", "average", "own"}, or name -> one of these, optional
        By default "own", what the network was trained with.
    seed : int, for random weights
    device : {"cpu", "cuda", "cuda:1"}
    default : str
        The network where neither a name nor weights are given.

    Raises
    ------
    MinicnnError
        If there is no such network, no weights of it, or something is wrong with the file.
    """
    if weights is None and name not in (None, *build.names()) and Path(name).is_file():
        name, weights = None, name
    if weights in (None, RANDOM):
        actual = name or default
        if actual not in build.names():
            raise MinicnnError(
                f"no network named {actual!r}; the networks are {', '.join(build.names())}; one of "
                "your own is given by --weights FILE"
            )
    else:
        actual = checkpoint.info(weights)["architecture"]
        if name not in (None, actual):
            raise MinicnnError(f"{str(weights)!r} holds weights of {actual}, not of {name}")
    pool = pool(actual) if callable(pool) else pool
    pool = None if pool == OWN else pool
    if weights == RANDOM:
        return kept.once(
            lambda: ("random", actual, pool, seed, device),
            lambda: _random_network(actual, pool, seed, device),
            _bytes,
        )
    available = locations.available()
    if weights is None and actual not in available:
        raise MinicnnError(
            f"minicnn comes without weights of {actual}; give --weights FILE, or --weights random "
            f"for untrained ones, or try `minicnn weights fetch {actual}` "
            f"(it has: {', '.join(available) or 'none'})"
        )
    file = locations.find(weights or actual)
    return kept.once(
        lambda: ("network", pool, device, *kept.of_file(file)),
        lambda: checkpoint.load(file, pool=pool, device=device),
        _bytes,
    )


def _random_network(name, pool, seed, device):
    net = build.build(name, seed=seed, pool=pool)
    net.params = {key: to_device(value, device) for key, value in net.params.items()}
    return net


def _bytes(net):
    return kept.arrays_bytes(net.params)


@contextmanager
def piped(settings, outputs):
    """Context with {role: file} of the picture that is called "-" in the settings: from stdin."""
    roles = [role for role, path in settings.inputs().items() if path == STDIN]
    if not roles:
        yield {}
        return
    if len(roles) > 1:
        raise MinicnnError(f"stdin has one picture; {' and '.join(roles)} cannot both be -")
    if getattr(outputs, "sweep", None) or getattr(outputs, "estimate", None):
        raise MinicnnError("several runs read their pictures again; save the one on stdin first")
    if sys.stdin is None or sys.stdin.isatty():
        raise MinicnnError(
            f"- is a picture on stdin, and there is none for {roles[0]}; pipe one in"
        )
    with tempfile.TemporaryDirectory(prefix="minicnn-") as folder:
        file = Path(folder, "stdin")
        with file.open("wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        yield {roles[0]: file}


class SettingsVerb:
    """A verb of declared settings: what `PictureVerb` and `LookVerb` share.

    Parameters
    ----------
    name : str
    settings, outputs : classes of settings
    opener : str, module with `open_job(settings, files=None)`, imported when it runs
    example : str, for the help
    """

    def __init__(self, name, settings, outputs, opener, example):
        self.name, self.settings, self.outputs = name, settings, outputs
        self.opener, self.example = opener, example

    def add(self, parser) -> None:
        """Declare the options."""
        add_settings(parser, self.settings, self.outputs)

    def open_job(self, settings, files=None):
        """Return the job of settings: checked, pictures read, nothing left open."""
        settings.check()
        return import_module(self.opener).open_job(settings, files)

    def run(self, args) -> int:
        """Do what the arguments ask for."""
        settings, outputs = (settings_of(kind, args) for kind in (self.settings, self.outputs))
        with piped(settings, outputs) as files:
            return self.make(settings, outputs, Report(outputs.json, outputs.quiet), files)


class Reader:
    """Read the pictures of a job, remembering their hashes and what was done to them.

    Parameters
    ----------
    named : dict, role -> file as the settings name it
    files : dict, role -> where it lies now, if elsewhere; or the picture itself, uint8 (H, W, 3)
    """

    def __init__(self, named, files=None):
        self.named, self.files = named, files or {}
        self.notes, self.inputs = [], {}

    def path(self, role):
        """Return where the picture lies, or how it is called if it is an array."""
        found = self.files.get(role, self.named[role])
        return Path(self.named[role] if isinstance(found, np.ndarray) else found)

    def read(self, role):
        """Return the picture uint8 (H, W, 3), or for a role that ends in "flow" that of a file."""
        path, mask, given = self.path(role), "mask" in role, self.files.get(role)
        if isinstance(given, np.ndarray):
            if given.dtype != np.uint8 or given.ndim != 3 or given.shape[2] != 3 or not given.size:
                raise MinicnnError(
                    f"{path} is {given.dtype} {given.shape}; a picture is uint8 (H, W, 3)"
                )
            sha256 = hashlib.sha256(np.ascontiguousarray(given)).hexdigest()
            self.inputs[role] = {"path": str(path), "sha256": sha256}
            return given
        if role.endswith("flow"):
            flow, sha256 = read_flow(path), atomic.file_hash(path)
            self.inputs[role] = {"path": str(self.named[role]), "sha256": sha256}
            return flow
        (pixels, notes), sha256 = kept.once(
            lambda: ("picture", mask, *kept.of_file(path)),
            lambda: (load_image(path, mask=mask), atomic.file_hash(path)),
            lambda read: read[0].pixels.nbytes,
        )
        self.notes += [f"{path}: {note}" for note in notes]
        self.inputs[role] = {"path": str(self.named[role]), "sha256": sha256}
        return pixels


@dataclass(frozen=True, kw_only=True)
class Job:
    """Settings of a verb with nothing left open; a method adds the arrays that they stand for.

    Attributes
    ----------
    notes : list of str, what was done to the files on reading them
    inputs : dict, role -> {"path", "sha256"} of every picture file
    """

    settings: Settings
    net: Network = field(repr=False)
    notes: list = field(default_factory=list)
    inputs: dict = field(default_factory=dict)
    device: str = "cpu"

    verb = ""


class Opened(NamedTuple):
    """What was opened: `pictures` is role -> uint8 (H, W, 3) as read by the `reader`."""

    reader: Reader
    pictures: dict
    net: Network
    device: str

    def job(self, kind, settings, net=None, notes=(), **arrays):
        """Return the `Job` of a class: as opened, but for the settings, and maybe the network."""
        notes = [*self.reader.notes, *notes]
        common = {"notes": notes, "inputs": self.reader.inputs, "device": self.device}
        return kind(settings=settings, net=net or self.net, **common, **arrays)


def open_all(settings, files=None, pool=None, default=DEFAULT):
    """Return what the checked settings name, `Opened`.

    Parameters
    ----------
    settings : Settings, checked
    files : dict, role -> where a picture named in the settings lies now, optional
    pool : optional
        Pooling where the settings leave it open, see `load_network`.
    default : str
        The network where the settings leave it open.

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
        default=default,
    )
    return Opened(reader, pictures, net, device)


def noise(net, shape, seed, device="cpu", levels=NOISE):
    """Return white noise float32 of `shape` (1, 3, H, W), `levels` grey levels of deviation."""
    drawn = seeded_rng(seed).standard_normal(shape, dtype=np.float32)
    return to_device(drawn * (np.float32(levels) * grey_level(net, drawn)), device)


def check_size(path, rgb, net, layers, size, option):
    """Refuse a picture that is too small for the layers, as it is or as resized."""
    least = least_side(net, layers)
    rows, cols = rgb.shape[:2]
    if min(rows, cols) < least:
        raise MinicnnError(
            f"{str(path)!r} is too small: {cols} x {rows} pixels, the layers of "
            f"{net.attrs['name']} need at least {least} x {least}; use a larger picture"
        )
    if min(rows, cols) * size < (least - 0.5) * max(rows, cols):
        wanted = math.ceil(least * max(rows, cols) / min(rows, cols))
        raise MinicnnError(
            f"{option} {size} makes {str(path)!r} too small for the layers of "
            f"{net.attrs['name']}, which need at least {least} x {least} pixels; "
            f"use {option} {wanted} or more"
        )


def tones(path, rgb, what="texture"):
    """Refuse a picture uint8 (H, W, 3) of one flat colour, which has no `what`."""
    if (rgb == rgb[:1, :1]).all():
        raise MinicnnError(
            f"{str(path)!r} is one flat colour, there is no {what} in it; use another picture"
        )
