"""From the settings of a style transfer to its arrays, everything checked before the long run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from minicnn.backend import to_device, to_host
from minicnn.errors import MinicnnError
from minicnn.images import fit, preprocess
from minicnn.network import Network
from minicnn.tasks import checks, jobs, opening, presets, style
from minicnn.tasks.sizes import check_size, least_side
from minicnn.tasks.style import resampled
from minicnn.tasks.style_loss import style_objective

SIZE = 512  # long side in pixels
COARSEST = 96  # long side that the first of several sizes has at least


@dataclass(frozen=True)
class StyleSettings(opening.SearchSettings):
    """Everything that decides the picture; None is the default of the network or the optimizer.

    Attributes
    ----------
    content, style : str, picture files
    size : int, long side of the result; 512, or less if the content picture is smaller
    scales : int, how many sizes to paint at, each twice the one before; the last is `size`
    style_size : int, long side of the style picture; the same by default
    style_scale : float, the same as a multiple of `size`
    init : "content", "noise" or a picture file
    content_layers, style_layers : dict, name -> weight
    iterations : int, at full size
    coarse_iterations : int, at each of the sizes before
    carry : bool, take the optimizer's memory along from size to size, where it has one
    """

    content: str
    style: str
    size: int | None = None
    style_size: int | None = None
    style_scale: float | None = None
    scales: int | None = jobs.since(None, before=1)
    init: str = "content"
    coarse_iterations: int | None = None
    carry: bool = False
    content_layers: Mapping | None = None
    style_layers: Mapping | None = None
    content_weight: float | None = None
    style_weight: float | None = None
    tv_weight: float | None = None
    gram: str | None = None

    def inputs(self):
        """Return {role: picture file}."""
        found = {"content": self.content, "style": self.style}
        return found if self.init in ("content", "noise") else {**found, "init": self.init}

    def prepare(self, files=None):
        """Return the `Job`, see `prepare`."""
        return prepare(self, files)


@dataclass(frozen=True)
class Job(jobs.Job):
    """Checked settings with nothing left open, and the arrays that they stand for.

    Attributes
    ----------
    content, style, start : float32 (1, 3, H, W), preprocessed for `net`, on its device
    notes : list of str, what was done to the files on reading them
    inputs : dict, role -> {"path", "sha256"} of every picture file
    pictures : dict, "content" and "style" -> uint8 (H, W, 3) as resized
    """

    settings: StyleSettings
    net: Network
    content: np.ndarray
    style: np.ndarray
    start: np.ndarray
    notes: list
    inputs: dict
    pictures: dict = field(repr=False)
    device: str = "cpu"

    verb = "style"

    @property
    def lead(self):
        """Iterations at the sizes before the last."""
        return (self.settings.scales - 1) * self.settings.coarse_iterations

    def function(self):
        """Return what is minimised, fun(x) -> (value, gradient)."""
        s = self.settings
        return style_objective(
            self.net,
            self.content,
            self.style,
            content_layers=s.content_layers,
            style_layers=s.style_layers,
            content_weight=s.content_weight,
            style_weight=s.style_weight,
            tv_weight=s.tv_weight,
            gram=s.gram,
            engine=s.engine,
            threads=s.threads,
        )

    def stages(self):
        """Return [(iterations, Job)] from the smallest size to the full one."""
        s, attrs, stages = self.settings, self.net.attrs["preprocess"], []
        for halvings in range(s.scales - 1, 0, -1):
            content, painted = (
                preprocess(fit(self.pictures[name], _halved(size, halvings)), attrs)
                for name, size in (("content", s.size), ("style", s.style_size))
            )
            start = _start(s, self.net, content, to_host(self.start))
            arrays = (to_device(array, self.device) for array in (content, painted, start))
            small = dict(zip(("content", "style", "start"), arrays, strict=True))
            stages.append((s.coarse_iterations, replace(self, **small)))
        return [*stages, (s.iterations, self)]

    def run(self, callback=None):
        """Return the `style.Outcome`, see `style.run`."""
        return style.run(self, callback)

    def snapshot(self, x):
        """Return the picture of x."""
        return style.picture(x, self.net)

    def row(self, outcome):
        """Return {label: picture} of the sheet."""
        return {**self.pictures, "result": outcome.picture}


def prepare(settings, files=None):
    """Check the settings, read the files, fill in the defaults.

    Parameters
    ----------
    settings : StyleSettings
    files : dict, optional
        Where a picture named in the settings lies now: {"content": path, ...}.

    Returns
    -------
    Job

    Raises
    ------
    MinicnnError
        For whatever would make the run fail, in one line.
    """
    _check_numbers(settings)
    reader, read, net, device = opening.open_all(settings, files)
    content, painted, start = read["content"], read["style"], read.get("init")
    settings = resolve(settings, net, content.shape)
    style_layers = _used(settings.style_layers, settings.style_weight)
    layers = [*_used(settings.content_layers, settings.content_weight), *style_layers]
    check_size(reader.path("content"), content, net, layers, settings.size, "--size")
    check_size(
        reader.path("style"), painted, net, style_layers, settings.style_size, "--style-size"
    )
    pictures = {"content": fit(content, settings.size), "style": fit(painted, settings.style_size)}
    attrs = net.attrs["preprocess"]
    x = preprocess(pictures["content"], attrs)
    settings = replace(settings, scales=_scales(settings, pictures, net, layers, style_layers))
    if start is not None:
        start = preprocess(start, attrs)
    arrays = (x, preprocess(pictures["style"], attrs), _start(settings, net, x, start))
    arrays = (to_device(array, device) for array in arrays)
    return Job(settings, net, *arrays, reader.notes, reader.inputs, pictures, device)


def _start(settings, net, content, given):
    """Return the x to start from: the content, noise, or the x `given` stretched to its size."""
    if settings.init == "content":
        return content
    if settings.init == "noise":
        return opening.noise(net, content.shape, settings.seed)
    return resampled(given, content.shape[2:], net)


def _scales(settings, pictures, net, layers, style_layers):
    """Return the number of sizes: as set, else down to `COARSEST` as far as the layers allow.

    Raises
    ------
    MinicnnError
        If so many were asked for that the first is too small.
    """
    short = {name: min(rgb.shape[:2]) for name, rgb in pictures.items()}
    need = {"content": least_side(net, layers), "style": least_side(net, style_layers)}
    long = min(settings.size, settings.style_size)
    most = 1
    while all(_halved(short[name], most) >= need[name] for name in short):
        most += 1
    if settings.scales is None:
        return max(1, min(most, 1 + int(math.log2(max(1.0, long / COARSEST)))))
    if settings.scales > most:
        raise MinicnnError(
            f"scales = {settings.scales} starts with a picture too small for the layers; "
            f"use at most {most} at this size"
        )
    return settings.scales


def _halved(size, times):
    return max(1, round(size / 2**times))


def resolve(settings, net, shape):
    """Return the settings with every None replaced by what it stands for.

    Parameters
    ----------
    shape : (int, int, 3) of the content picture as read
    """
    name = net.attrs["name"]
    preset = presets.style_preset(name) or presets.Style({}, {}, 1.0, 100.0, 1.0)
    search = presets.SEARCH[settings.optimizer]
    size = settings.size or min(SIZE, max(shape[:2]))
    defaults = {
        "network": name,
        "pool": net.attrs["pool"],
        "size": size,
        "style_size": max(1, round(size * (settings.style_scale or 1))),
        "iterations": settings.evaluations or search.iterations,
        "coarse_iterations": settings.evaluations or search.coarse_iterations,
        "learning_rate": search.learning_rate,
        **{key: getattr(preset, key) for key in preset._fields if key != "pool"},
    }
    missing = {key: value for key, value in defaults.items() if getattr(settings, key) is None}
    settings = replace(settings, **missing)
    for kind in ("content", "style"):
        layers, weight = getattr(settings, f"{kind}_layers"), getattr(settings, f"{kind}_weight")
        if weight and not layers:
            raise MinicnnError(
                f"no default {kind} layers for the network {name}; name them with "
                f"--{kind}-layers, from {', '.join(net.layers)}"
            )
    return settings


def _used(layers, weight):
    return [name for name, factor in layers.items() if factor] if weight else []


def _check_numbers(s):
    whole = ("scales", "iterations", "coarse_iterations")
    most = {"size": checks.LARGEST, "style_size": checks.LARGEST, **dict.fromkeys(whole)}
    checks.counts(s, most)
    weights = {name: getattr(s, name) for name in ("content_weight", "style_weight", "tv_weight")}
    for layers in (s.content_layers, s.style_layers):
        weights |= {f"weight of layer {name}": value for name, value in (layers or {}).items()}
    checks.not_negative(weights)
    checks.positive({"style_scale": s.style_scale})
    s.check()
