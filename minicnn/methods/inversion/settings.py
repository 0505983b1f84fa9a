"""From the settings of an inversion to its arrays, everything checked before the long run."""

import math
from dataclasses import dataclass, field

import numpy as np

from minicnn.backend import to_device
from minicnn.errors import MinicnnError
from minicnn.methods.inversion import energy
from minicnn.methods.inversion import run as inversion_run
from minicnn.network.network import Network
from minicnn.optimizers import WITHOUT_RATE
from minicnn.pictures.arrays import deprocess, grey_level, preprocess, resize, to_uint8
from minicnn.runs import checks, job
from minicnn.runs import inputs as runs_inputs
from minicnn.runs import settings as runs_settings

MOST = 64  # restarts


@dataclass(frozen=True)
class InvertSettings(runs_settings.Settings):
    """Everything that decides the reconstruction; None is the default of the preset.

    Attributes
    ----------
    image : str, picture file
    layers : list of str
    preset : "lbfgs", "cvpr15" or "ijcv16", see `inversion`
    optimizer : "lbfgs" or "lbfgs-device", of the preset lbfgs
    evaluations : int, calls of the energy at most (for each layer and restart)
    restarts : int, reconstructions of each layer, from the seeds seed, seed + 1, ...
    width, height : int, what the picture is stretched to; what the network was made for by default
    data_weight, alpha_weight, tv_weight : float, w, λα and λV of `inversion`
    tv_beta : float, β
    jitter : int, places of the window in each direction; ijcv16 alone
    bits : 8 or 16, a channel of the picture file; 16 for a single reconstruction
    """

    image: str
    layers: list
    preset: str = "lbfgs"
    restarts: int = 1
    width: int | None = None
    height: int | None = None
    optimizer: str = "lbfgs"
    iterations: int | None = None
    evaluations: int | None = None
    data_weight: float | None = None
    alpha_weight: float | None = None
    tv_weight: float | None = None
    tv_beta: float = 2.0
    jitter: int | None = None
    bits: int = 8

    def inputs(self):
        """Return {role: picture file}."""
        return {"image": self.image}

    def prepare(self, files=None):
        """Return the `Job`, see `prepare`."""
        return prepare(self, files)


@dataclass(frozen=True)
class Job(job.Job):
    """Checked settings with nothing left open, and the arrays that they stand for.

    Attributes
    ----------
    x : float32 (1, 3, H, W), the picture, preprocessed for `net`, on its device
    picture : uint8 (H, W, 3), the same as resized
    """

    settings: InvertSettings
    net: Network
    x: np.ndarray
    notes: list
    inputs: dict
    picture: np.ndarray = field(repr=False)
    device: str = "cpu"

    verb = "invert"

    @property
    def steps(self):
        """Iterations of the whole run."""
        s = self.settings
        batches = s.restarts if s.preset == "lbfgs" else 1
        return s.iterations * len(s.layers) * batches

    def strengths(self, layer):
        """Return the `inversion.Strengths` for a layer."""
        s = self.settings
        by_preset = energy.strengths(s.preset, self.net, layer, self.x.shape[1:], s.tv_beta)
        own = {"data": s.data_weight, "alpha": s.alpha_weight, "tv": s.tv_weight}
        return by_preset._replace(**{k: v for k, v in own.items() if v is not None})

    def run(self, callback=None):
        """Return the outcome, see `invert.run`."""
        return inversion_run.run(self, callback)

    @property
    def size(self):
        """Rows and columns of a reconstruction."""
        return self.x.shape[2:]

    @property
    def scale(self):
        """One unit of the x' that is searched for, in the network's: float32 (1, 3, 1, 1)."""
        unit = energy.unit(self.settings.preset, self.x.shape[1:])
        return grey_level(self.net, self.x) * self.x.dtype.type(unit)

    def snapshot(self, x):
        """Return the picture of x'."""
        return to_uint8(self.colours(x))

    def colours(self, x):
        """Return the same before it is rounded and clipped, float64 in 0..255."""
        seen = energy.middle(x, self.size)
        return deprocess(seen * self.scale, self.net.attrs["preprocess"])

    def row(self, outcome):
        """Return {label: picture} of the sheet."""
        return {"source": self.picture, "inverted": outcome.picture}


def prepare(settings, files=None):
    """Return the `Job` of the settings: checked, picture read, defaults filled in; see `jobs`."""
    _check(settings)
    reader, read, net, device = runs_inputs.open_all(settings, files, pool="max")
    settings = resolve(settings, net)
    _check_layers(settings, net)
    picture = resize(read["image"], (settings.height, settings.width))
    x = to_device(preprocess(picture, net.attrs["preprocess"]), device)
    return Job(settings, net, x, reader.notes, reader.inputs, picture, device)


def resolve(settings, net):
    """Return the settings with every None replaced by what it stands for, but the weights.

    Those depend on the layer: see `Job.strengths`.
    """
    defaults = {
        "network": net.attrs["name"],
        "pool": net.attrs["pool"],
        "height": net.input_shape[1],
        "width": net.input_shape[2],
        "iterations": settings.evaluations or energy.PRESETS[settings.preset].iterations,
    }
    return job.filled(settings, defaults)


def _check_layers(settings, net):
    """Refuse layers that are not there, or that a picture of this size does not reach."""
    last = net.nodes_until(settings.layers)[-1].name
    try:
        net.shapes((net.input_shape[0], settings.height, settings.width), settings.layers)
    except MinicnnError as error:
        raise MinicnnError(
            f"a picture of {settings.width} x {settings.height} pixels does not reach layer "
            f"{last} ({error}); {_size_that_does(net, settings.layers)}"
        ) from None


def _size_that_does(net, layers):
    """Say the least size of pictures for layers; or the only one, which the weights ask for."""
    channels, rows, columns = net.input_shape

    def fits(side):
        try:
            return bool(net.shapes((channels, side, side), layers))
        except MinicnnError:
            return False

    least = next(filter(fits, range(1, max(rows, columns) + 1)), None)
    if least is None or not fits(2 * least):
        return f"use --size {columns}x{rows}, which the network is made for"
    return f"use --size {least} or more"


def _check(s):
    if not s.layers or len(set(s.layers)) < len(s.layers):
        raise MinicnnError(f"layers {', '.join(s.layers) or 'none'}; name at least one, each once")
    checks.bits(s, sheet=len(s.layers) > 1 or s.restarts > 1)
    counts = {"width": checks.LARGEST, "height": checks.LARGEST, "restarts": MOST}
    checks.counts(s, {**counts, **dict.fromkeys(("iterations", "evaluations", "jitter"))})
    weights = ("data_weight", "alpha_weight", "tv_weight")
    checks.not_negative({name: getattr(s, name) for name in weights})
    if s.data_weight == 0:
        raise MinicnnError("data_weight = 0 leaves nothing to invert; use a positive number")
    if not 1 <= s.tv_beta < math.inf:
        raise MinicnnError(f"tv_beta = {s.tv_beta}; use a number of at least 1, such as 2")
    s.check()
    checks.one_of([(s.preset, energy.PRESETS, "preset"), (s.optimizer, WITHOUT_RATE, "optimizer")])
    if s.optimizer != "lbfgs" and s.preset != "lbfgs":
        raise MinicnnError(f"the preset {s.preset} has its own optimizer; leave out --optimizer")
    if s.jitter is not None and s.preset != "ijcv16":
        raise MinicnnError(f"the preset {s.preset} has no jitter; leave it out or use ijcv16")
