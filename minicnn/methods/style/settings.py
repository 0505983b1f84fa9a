"""From the settings of a style transfer to its arrays, everything checked before the long run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from minicnn.backend import to_device
from minicnn.errors import MinicnnError
from minicnn.methods.style import checks as style_checks
from minicnn.methods.style import masks as style_masks
from minicnn.methods.style import published
from minicnn.methods.style.job import STARTS, Job, coloured, halved_side, start_of
from minicnn.network.replicate_edges import replicate_first
from minicnn.pictures.arrays import fit, preprocess
from minicnn.runs import checks, job
from minicnn.runs import inputs as runs_inputs
from minicnn.runs import search as runs_search
from minicnn.runs import settings as runs_settings
from minicnn.runs.sizes import check_size, least_side

SIZE = 512  # long side in pixels
COARSEST = 96  # long side that the first of several sizes has at least
NOISE_RATIO = 0.5


@dataclass(frozen=True)
class StyleSettings(runs_settings.SearchSettings):
    """Everything that decides the picture; None is the default of the network or the optimizer.

    Attributes
    ----------
    content : str, picture file
    style : str or list of str, picture files
    preset : str, a row of `published.PUBLISHED`: formulas, weights, sizes and budget of others
    blend : list of float, weights of several styles; equal by default
    content_masks : list of str, one for each style, or one label picture, see `masks`
    style_masks : list of str, one for each style
    size : int, long side of the result; 512, or less if the content picture is smaller
    scales : int, how many sizes to paint at, each twice the one before; the last is `size`
    style_size : int, long side of the style pictures (or a list); the same by default
    style_scale : float, the same as a multiple of `size`
    init : "content", "noise", "mix" of both, or a picture file
    noise_ratio : float, share of the noise in the mix; 0.5
    content_layers, style_layers : dict, name -> weight
    gram, content_loss, tv : rows of `gram.STYLE`, `content.CONTENT`, `priors.TV`
    match_color : "mean-cov", "cholesky" or "histogram": give the style the content's colours first
    preserve_color : "luminance" or "histogram": give the result the content's colours
    padding : "zero" or "replicate", of the first layer
    tile : int, pixels a side of the tiles that the picture is done in; all at once by default
    bits : 8 or 16, a channel of the picture file
    precision : "auto", "fp32", "tf32" or "fp16", of matrix products on a GPU
    iterations : int, at full size
    coarse_iterations : int, at each of the sizes before
    """

    content: str
    style: str | list
    preset: str | None = None
    blend: list | None = None
    content_masks: list | None = None
    style_masks: list | None = None
    size: int | None = None
    style_size: int | list | None = None
    style_scale: float | None = None
    scales: int | None = job.since(None, before=1)
    init: str | None = None
    noise_ratio: float | None = None
    coarse_iterations: int | None = None
    content_layers: Mapping | None = None
    style_layers: Mapping | None = None
    content_weight: float | None = None
    style_weight: float | None = None
    tv_weight: float | None = None
    gram: str | None = None
    content_loss: str | None = None
    tv: str | None = None
    match_color: str | None = None
    preserve_color: str | None = None
    padding: str | None = None
    tile: int | None = None
    bits: int = 8
    precision: str = job.since("auto", before="fp32")

    @property
    def styles(self):
        """The style pictures, a list."""
        return [self.style] if isinstance(self.style, str) else list(self.style)

    def inputs(self):
        """Return {role: picture file}."""
        found = {"content": self.content}
        for kind, files in (
            ("style", self.styles),
            ("content_mask", self.content_masks or []),
            ("style_mask", self.style_masks or []),
        ):
            found.update(zip(style_masks.names(kind, len(files)), files, strict=True))
        return found if self.init in (None, *STARTS) else {**found, "init": self.init}

    def prepare(self, files=None):
        """Return the `Job`, see `prepare`."""
        return prepare(self, files)


def prepare(settings, files=None):
    """Return the `Job` of the settings: checked, files read, defaults filled in; see `jobs`."""
    style_checks.check(settings)
    row = published.PUBLISHED.get(settings.preset)
    pool = row.loss.pool if row else None
    reader, read, net, device = runs_inputs.open_all(settings, files, pool)
    net = published.network(net, settings.preset)
    settings = job.filled(settings, {"padding": published.style_of(settings, net).padding})
    net = replicate_first(net) if settings.padding == "replicate" else net
    styles = style_masks.names("style", len(settings.styles))
    settings = resolve(settings, net, read["content"].shape, [read[role].shape for role in styles])
    sides = dict(zip(["content", *styles], [settings.size, *_style_sides(settings)], strict=True))
    style_layers = _used(settings.style_layers, settings.style_weight)
    layers = [*_used(settings.content_layers, settings.content_weight), *style_layers]
    for role, side in sides.items():
        option, needed = ("--size", layers) if role == "content" else ("--style-size", style_layers)
        check_size(reader.path(role), read[role], net, needed, side, option)
        if role != "content" and settings.style_weight:
            checks.tones(reader.path(role), read[role], "style")
    if settings.match_color or settings.preserve_color:
        checks.tones(reader.path("content"), read["content"], "range of colours")
    originals = {role: fit(read[role], side) for role, side in sides.items()}
    masks = _masks(settings, reader, read, originals, net, style_layers)
    pictures = coloured(settings, originals)
    settings = replace(settings, scales=_scales(settings, pictures, net, layers, style_layers))
    attrs = net.attrs["preprocess"]
    x, *painted = (preprocess(rgb, attrs) for rgb in pictures.values())
    start = preprocess(read["init"], attrs) if "init" in read else None
    start = start_of(settings, net, x, start)
    x, start, *painted = (to_device(array, device) for array in (x, start, *painted))
    return Job(
        settings,
        net,
        x,
        painted,
        start,
        [*reader.notes, *published.notes(settings)],
        reader.inputs,
        pictures,
        device,
        originals,
        *masks,
    )


def _masks(settings, reader, read, pictures, net, layers):
    """Return (content masks, style masks) in the sizes of the pictures, or None for either."""
    styles = style_masks.names("style", len(settings.styles))
    found = []
    for kind, owners in (("content_mask", ["content"] * len(styles)), ("style_mask", styles)):
        roles = [role for role in read if role.startswith(kind)]
        if not roles:
            found.append(None)
            continue
        masks = style_masks.masks_of(reader, read, roles, owners)
        masks = [
            style_masks.resized(mask, pictures[owner].shape[:2])
            for mask, owner in zip(masks, owners, strict=True)
        ]
        paths = [reader.path(role) for role in roles] * (len(masks) // len(roles))
        option = "--size" if kind == "content_mask" else "--style-size"
        if layers:
            style_masks.check_areas(net, layers, masks, paths, option)
        found.append(masks)
    return found


def _scales(settings, pictures, net, layers, style_layers):
    """Return the number of sizes: as set, else down to `COARSEST` as far as the layers allow.

    Raises
    ------
    MinicnnError
        If so many were asked for that the first is too small.
    """
    short = {name: min(rgb.shape[:2]) for name, rgb in pictures.items()}
    style_need = least_side(net, style_layers)
    need = {**dict.fromkeys(pictures, style_need), "content": least_side(net, layers)}
    long = min(max(rgb.shape[:2]) for rgb in pictures.values())
    most = 1
    while all(halved_side(short[name], most) >= need[name] for name in short):
        most += 1
    if settings.scales is None:
        return max(1, min(most, 1 + int(math.log2(max(1.0, long / COARSEST)))))
    if settings.scales > most:
        raise MinicnnError(
            f"scales = {settings.scales} starts with a picture too small for the layers; "
            f"use at most {most} at this size"
        )
    return settings.scales


def resolve(settings, net, shape, style_shapes=()):
    """Return the settings with every None replaced by what it stands for.

    Parameters
    ----------
    shape : (int, int, 3) of the content picture as read
    style_shapes : list of the same, of the styles; only presets need them
    """
    name, preset = net.attrs["name"], settings.preset
    loss, row = published.style_of(settings, net), published.PUBLISHED.get(preset)
    search = runs_search.SEARCH[settings.optimizer]
    size = settings.size or (
        published.long_side(preset, shape) if row else min(SIZE, max(shape[:2]))
    )
    evaluations = settings.evaluations
    if row and not settings.iterations:
        evaluations = evaluations or row.evaluations
    defaults = {
        "network": name,
        "pool": net.attrs["pool"],
        "size": size,
        "style_size": _style_size(settings, size, style_shapes),
        "init": row.init if row else "content",
        "scales": 1 if row else None,
        "evaluations": evaluations,
        "iterations": evaluations or search.iterations,
        "coarse_iterations": evaluations or search.coarse_iterations,
        "learning_rate": search.learning_rate,
        **{key: getattr(loss, key) for key in loss._fields if key != "pool"},
    }
    settings = job.filled(settings, defaults)
    if settings.init == "mix" and settings.noise_ratio is None:
        settings = replace(settings, noise_ratio=NOISE_RATIO)
    for kind in ("content", "style"):
        layers, weight = getattr(settings, f"{kind}_layers"), getattr(settings, f"{kind}_weight")
        if weight and not layers:
            raise MinicnnError(
                f"no default {kind} layers for the network {name}; name them with "
                f"--{kind}-layers, from {', '.join(net.layers)}"
            )
    return settings


def _style_size(settings, size, shapes):
    """Return the long side of the style pictures: one number, or one for each if they differ."""
    scale = settings.style_scale or 1
    if not settings.preset:
        return max(1, round(size * scale))
    if settings.size:
        return math.ceil(size * scale)
    sides = [math.ceil(published.long_side(settings.preset, shape) * scale) for shape in shapes]
    return sides[0] if len(set(sides)) == 1 else sides


def _style_sides(settings):
    """Return the long side of every style picture."""
    size = settings.style_size
    return size if isinstance(size, list) else [size] * len(settings.styles)


def _used(layers, weight):
    return [name for name, factor in layers.items() if factor] if weight else []
