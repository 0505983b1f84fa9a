"""From the settings of a texture synthesis to its arrays, all checked before the long run."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from minicnn.backend import to_device
from minicnn.engine.cpu.conv2d import FastConvolution
from minicnn.errors import MinicnnError
from minicnn.methods import network_defaults
from minicnn.methods.texture import loss
from minicnn.network.folding import fold_batch_norm, normalize_activations
from minicnn.network.layers import BatchNorm2d
from minicnn.network.network import Network
from minicnn.network.replicate_edges import PADDINGS, replicate_first
from minicnn.ops import conv2d
from minicnn.pictures.arrays import fit, preprocess
from minicnn.runs import checks, job
from minicnn.runs import inputs as runs_inputs
from minicnn.runs import search as runs_search
from minicnn.runs import settings as runs_settings
from minicnn.runs.sizes import check_size, least_side

SOURCE_SIZE = 256  # long side in pixels
ITERATIONS = {"lbfgs": 500, "lbfgs-device": 500}

NORMALIZE = ("layers", "channels", "none")
BOUNDS = ("source", "none")


@dataclass(frozen=True)
class TextureSettings(runs_settings.SearchSettings):
    """Everything that decides the texture; None is the default of the network or the optimizer.

    Attributes
    ----------
    sources : list of str, picture files; several only for a sweep
    source_size : int, long side that the source is brought to; 256, or less for a small one
    width, height : int, of the texture; those of the source by default
    layers : dict, name -> weight
    normalize : "layers" measures the error of each Gram matrix by its size, "channels" scales every
        channel to the mean activation 1 over the source, "none" does neither; by default the
        first, unless the weights are normalised already
    bounds : "source" keeps every value between the source's least and largest, "none" does not
    histogram : bool, match the histogram of the source afterwards
    seamless : bool, make one tile of an endless wall
    sweep : bool, make figure 12: a row for each number of layers, on one sheet
    padding : "zero" or "replicate", of the first layer
    tile : int, pixels a side of the tiles that the texture is done in; all at once by default
    bits : 8 or 16, a channel of the picture file
    """

    sources: list
    source_size: int | None = None
    width: int | None = None
    height: int | None = None
    layers: Mapping | None = None
    gram: str = "gatys"
    tv_weight: float | None = None
    normalize: str | None = None
    bounds: str = "source"
    histogram: bool = False
    seamless: bool = False
    sweep: bool = False
    padding: str | None = job.since(None, before="zero")
    tile: int | None = None
    bits: int = 8

    def inputs(self):
        """Return {role: picture file}."""
        return {f"source{i or ''}": path for i, path in enumerate(self.sources)}

    def prepare(self, files=None):
        """Return the `Job`, see `prepare`."""
        return prepare(self, files)


@dataclass(frozen=True)
class Job(job.Job):
    """Checked settings with nothing left open, and the arrays that they stand for.

    Attributes
    ----------
    net : Network, as loaded
    nets : list of Network, channels normalised over each source where that is wanted
    sources : list of float32 (1, 3, H', W'), preprocessed
    start : float32 (1, 3, H, W), the noise to start from
    pictures : list of uint8 (H', W', 3), the sources as resized
    """

    settings: TextureSettings
    net: Network
    nets: list
    sources: list
    start: np.ndarray
    notes: list
    inputs: dict
    pictures: list = field(repr=False)
    device: str = "cpu"

    verb = "texture"

    @property
    def steps(self):
        """Iterations of the whole run."""
        s = self.settings
        return s.iterations * (len(s.layers) * len(s.sources) if s.sweep else 1)

    @property
    def size(self):
        """Rows and columns of the picture."""
        return self.start.shape[2:]

    def run(self, callback=None):
        """Return the `texture.Outcome`."""
        return loss.run(self, callback)

    def snapshot(self, x):
        """Return the picture of x."""
        return loss.picture(self, x)

    def colours(self, x):
        """Return the same before it is rounded and clipped, float64 in 0..255."""
        return loss.colours(self, x)

    def row(self, outcome):
        """Return {label: picture} of the sheet."""
        return {"source": self.pictures[0], "texture": outcome.picture}

    def bounds(self, number):
        """Return (least, largest) value of a source, or None."""
        source = self.sources[number]
        wanted = self.settings.bounds == "source"
        return (float(source.min()), float(source.max())) if wanted else None


def prepare(settings, files=None):
    """Return the `Job` of the settings: checked, files read, defaults filled in; see `jobs`."""
    _check(settings)
    reader, read, net, device = runs_inputs.open_all(settings, files, pool="average")
    padding = "zero" if settings.seamless else network_defaults.padding(net.attrs["name"])
    settings = job.filled(settings, {"padding": padding})
    net = replicate_first(net) if settings.padding == "replicate" else net
    size = settings.source_size or min(SOURCE_SIZE, max(max(p.shape[:2]) for p in read.values()))
    settings = replace(settings, source_size=size, **_layers(settings, net))
    used = [name for name, weight in settings.layers.items() if weight]
    for role, rgb in read.items():
        check_size(reader.path(role), rgb, net, used, size, "--source-size")
        checks.tones(reader.path(role), rgb)
    pictures = [fit(rgb, size) for rgb in read.values()]
    settings = resolve(settings, net, pictures[0].shape)
    _check_output(settings, net, used)
    sources = [to_device(preprocess(rgb, net.attrs["preprocess"]), device) for rgb in pictures]
    nets = [_normalized(net, source, settings.normalize) for source in sources]
    shape = (1, 3, settings.height, settings.width)
    start = runs_inputs.noise(net, shape, settings.seed, device)
    return Job(settings, net, nets, sources, start, reader.notes, reader.inputs, pictures, device)


def resolve(settings, net, shape):
    """Return the settings with every None replaced by what it stands for.

    Parameters
    ----------
    shape : (int, int, 3) of the first source as resized
    """
    search = runs_search.SEARCH[settings.optimizer]
    rows, columns = shape[:2]
    if settings.seamless:
        step = _stride(net, settings.layers)
        rows, columns = (max(step, side // step * step) for side in (rows, columns))
    defaults = {
        "network": net.attrs["name"],
        "pool": net.attrs["pool"],
        "width": columns,
        "height": rows,
        "tv_weight": network_defaults.texture_tv(net.attrs["name"]),
        "normalize": "none" if net.attrs.get("normalized") else "layers",
        "iterations": settings.evaluations or ITERATIONS.get(settings.optimizer, search.iterations),
        "learning_rate": search.learning_rate,
    }
    return job.filled(settings, defaults)


def _layers(settings, net):
    """Return {"layers": name -> weight}: those of the settings, or the network's, in its order."""
    if settings.layers:
        place = {layer: i for i, layer in enumerate(net.layers)}
        return {"layers": dict(sorted(settings.layers.items(), key=lambda e: place.get(e[0], 0)))}
    name = net.attrs["name"]
    if not network_defaults.texture_layers(name):
        raise MinicnnError(
            f"no default layers for the network {name}; name them with --layers, from "
            f"{', '.join(net.layers)}"
        )
    return {"layers": network_defaults.texture_layers(name)}


def _normalized(net, source, how):
    """Return the network, with every channel scaled to the mean 1 over the source if wanted."""
    if how != "channels":
        return net
    if any(isinstance(node.layer, BatchNorm2d) for node in net.nodes):
        net = fold_batch_norm(net)
    fast = FastConvolution(frozen=True) if isinstance(source, np.ndarray) else conv2d
    return normalize_activations(net.replica(), [source], fast)


def _stride(net, layers):
    fields = net.receptive_fields()
    return max(max(fields[name].stride) for name in layers)


def _check_output(s, net, used):
    """Refuse a texture that is too small for the layers, or no tile of theirs."""
    least = least_side(net, used)
    if min(s.width, s.height) < least:
        raise MinicnnError(
            f"a texture of {s.width} x {s.height} pixels is too small for the layers of "
            f"{net.attrs['name']}; use --size {max(s.width, least)}x{max(s.height, least)} or more"
        )
    if s.seamless and (s.width % (step := _stride(net, used)) or s.height % step):
        near = "x".join(str(-(-side // step) * step) for side in (s.width, s.height))
        raise MinicnnError(
            f"a seamless texture needs sides that are multiples of {step} for the layers of "
            f"{net.attrs['name']}, not {s.width} x {s.height}; use --size {near}"
        )


def _check(s):
    if not s.sources or (len(s.sources) > 1 and not s.sweep):
        raise MinicnnError(f"{len(s.sources)} sources; give one, or several with --sweep")
    side = checks.LARGEST
    sides = dict.fromkeys(("source_size", "width", "height", "tile"), side)
    checks.counts(s, {**sides, "iterations": None})
    checks.bits(s, sheet=s.sweep)
    weights = {f"weight of layer {name}": value for name, value in (s.layers or {}).items()}
    checks.not_negative({"tv_weight": s.tv_weight, **weights})
    s.check()
    checks.one_of(
        [
            (s.normalize, NORMALIZE, "normalisation"),
            (s.bounds, BOUNDS, "bounds"),
            (s.padding, PADDINGS, "padding"),
        ]
    )
    if s.seamless and s.padding == "replicate":
        raise MinicnnError("a seamless texture has no edges to replicate; leave out the padding")
