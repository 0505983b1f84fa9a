"""A style transfer with nothing left open: its arrays, its sizes, the function to minimise."""

from dataclasses import dataclass, field, replace

import numpy as np

from minicnn.backend import to_device, to_host
from minicnn.engine.select import Evaluation
from minicnn.methods.style import masks as style_masks
from minicnn.methods.style import published
from minicnn.methods.style import run as style_run
from minicnn.methods.style.loss import style_objective
from minicnn.network.network import Network
from minicnn.pictures.arrays import (
    deprocess,
    fit,
    grey_level,
    preprocess,
    resampled,
    resize,
    to_uint8,
)
from minicnn.pictures.colours import MATCHES, grey, luminance, match_luminance, with_luminance
from minicnn.pictures.histograms import match_histogram
from minicnn.runs import inputs as runs_inputs
from minicnn.runs import job

STARTS = ("content", "noise", "mix")  # else a picture file
PRESERVE = ("luminance", "histogram")


@dataclass(frozen=True)
class Job(job.Job):
    """Checked settings with nothing left open, and the arrays that they stand for.

    Attributes
    ----------
    content, start : float32 (1, 3, H, W), preprocessed for `net`, on its device
    styles : list of float32 (1, 3, H', W'), likewise
    notes : list of str, what was done to the files on reading them
    inputs : dict, role -> {"path", "sha256"} of every picture file
    pictures : dict, "content", "style", "style1", ... -> uint8 (H, W, 3) as the network sees them
    originals : dict, the same with the colours of the files
    content_masks, style_masks : list of float32 (H, W), values 0..1, one a style; or None
    """

    settings: object
    net: Network
    content: np.ndarray
    styles: list
    start: np.ndarray
    notes: list
    inputs: dict
    pictures: dict = field(repr=False)
    device: str = "cpu"
    originals: dict = field(default_factory=dict, repr=False)
    content_masks: list | None = field(default=None, repr=False)
    style_masks: list | None = field(default=None, repr=False)

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
            self.styles,
            content_layers=s.content_layers,
            style_layers=s.style_layers,
            content_weight=s.content_weight,
            style_weight=s.style_weight,
            tv_weight=s.tv_weight,
            gram=s.gram,
            content_loss=s.content_loss or "mean",
            tv=s.tv or "mean",
            blend=s.blend,
            content_masks=self.content_masks,
            style_masks=self.style_masks,
            evaluation=Evaluation(s.engine, s.threads, s.tile, s.precision),
        )

    @property
    def size(self):
        """Rows and columns of the picture."""
        return self.content.shape[2:]

    def search_options(self):
        """Return what the preset says about the search: bounds, pairs that L-BFGS remembers."""
        row = published.PUBLISHED.get(self.settings.preset)
        if row is None:
            return {}
        options = {"pairs": row.pairs} if row.pairs else {}
        if row.bounds:
            least = min(float(x.min()) for x in self.styles)
            options["bounds"] = (least, max(float(x.max()) for x in self.styles))
        return options

    def stages(self):
        """Return [(iterations, Job)] from the smallest size to the full one."""
        s, attrs, stages = self.settings, self.net.attrs["preprocess"], []
        for halvings in range(s.scales - 1, 0, -1):
            small = {role: halved(rgb, halvings) for role, rgb in self.pictures.items()}
            content, *styles = (preprocess(rgb, attrs) for rgb in small.values())
            start = start_of(s, self.net, content, to_host(self.start))
            content, start, *styles = (
                to_device(array, self.device) for array in (content, start, *styles)
            )
            stage = replace(
                self,
                content=content,
                styles=styles,
                start=start,
                content_masks=_halved_masks(self.content_masks, [content] * len(styles)),
                style_masks=_halved_masks(self.style_masks, styles),
            )
            stages.append((s.coarse_iterations, stage))
        return [*stages, (s.iterations, self)]

    def run(self, callback=None):
        """Return the `style.Outcome`, see `style.run`."""
        return style_run.run(self, callback)

    def snapshot(self, x):
        """Return the picture of x, with the colours of the content where they are to stay."""
        return to_uint8(self.colours(x))

    def colours(self, x):
        """Return the same before it is rounded and clipped, float64 in 0..255."""
        kept, rgb = self.settings.preserve_color, deprocess(x, self.net.attrs["preprocess"])
        if kept is None:
            return rgb
        content = resize(self.originals["content"], rgb.shape[:2])
        if kept == "histogram":  # values beyond black and white are told apart until then
            return match_histogram(rgb, content)
        return with_luminance(content, luminance(np.clip(rgb, 0, 255)))

    def row(self, outcome):
        """Return {label: picture} of the sheet."""
        return {**(self.originals or self.pictures), "result": outcome.picture}


def halved(rgb, times):
    """Return a picture at 1/2, 1/4, ... of its size."""
    return fit(rgb, halved_side(max(rgb.shape[:2]), times))


def halved_side(side, times):
    """Return 1/2, 1/4, ... of a side in pixels."""
    return max(1, round(side / 2**times))


def _halved_masks(masks, like):
    """Return the masks in the sizes of the arrays `like`."""
    if masks is None:
        return None
    return [style_masks.resized(mask, x.shape[2:]) for mask, x in zip(masks, like, strict=True)]


def start_of(settings, net, content, given):
    """Return the x to start from: the content, noise, both, or the x `given` in its size."""
    if settings.init == "content":
        return content
    if settings.init not in STARTS:
        return resampled(given, content.shape[2:], net)
    row, levels = published.PUBLISHED.get(settings.preset), runs_inputs.NOISE
    if row and row.noise:
        levels = row.noise / grey_level(net, content)
    noise = runs_inputs.noise(net, content.shape, settings.seed, levels=levels)
    if settings.init == "noise":
        return noise
    share = np.float32(settings.noise_ratio)
    return (1 - share) * content + share * noise


def coloured(settings, pictures):
    """Return the pictures as the network is to see them, for the colours that the settings ask.

    Parameters
    ----------
    pictures : dict, "content" and styles -> uint8 (H, W, 3)
    """
    content = pictures["content"]
    seen = dict(pictures)
    styles = [role for role in pictures if role != "content"]
    if settings.match_color is not None:
        match = MATCHES[settings.match_color]
        seen.update({role: to_uint8(match(pictures[role], content)) for role in styles})
    if settings.preserve_color == "luminance":
        y = luminance(content)
        seen = {role: to_uint8(grey(match_luminance(luminance(seen[role]), y))) for role in styles}
        seen = {"content": to_uint8(grey(y)), **seen}
    return seen
