"""Neural style transfer: the content of one picture in the style of another.

`loss` has the formula of what is minimised, J. x starts as the content picture, as noise or as a
given picture and is changed until J is small; the network stays fixed. A unit sees a fixed number
of pixels: in a small picture it sees larger parts, and paints larger strokes. So content and style
are halved some times. Each size has targets of its own, and starts where the one before has ended.
"""

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from minicnn.backend import to_device, to_host
from minicnn.methods.style.loss import style_objective
from minicnn.methods.style.masks import resized
from minicnn.methods.style.settings import STARTS
from minicnn.pictures.arrays import detail, fit, grey_level, preprocess, resampled, resize
from minicnn.pictures.colours import luminance, with_luminance
from minicnn.pictures.histograms import match_histogram
from minicnn.runs.inputs import NOISE, noise
from minicnn.runs.search import Outcome, SearchJob, from_small_to_large, halved_side, search


@dataclass(frozen=True, kw_only=True)
class StyleJob(SearchJob):
    """A style transfer with nothing left open.

    Attributes
    ----------
    content, start : float32 (1, 3, H, W), preprocessed for `net`, on its device
    styles : list of float32 (1, 3, H', W'), likewise
    pictures : dict, "content", "style", "style1", ... -> uint8 (H, W, 3) as the network sees them
    originals : dict, the same with the colours of the files
    content_masks, style_masks : list of float32 (H, W), values 0..1, one a style; or None
    row : what `--preset` names, a row of `presets`: a published set of choices; or None
    """

    content: np.ndarray
    styles: list
    start: np.ndarray
    pictures: dict = field(default_factory=dict, repr=False)
    originals: dict = field(default_factory=dict, repr=False)
    content_masks: list | None = field(default=None, repr=False)
    style_masks: list | None = field(default=None, repr=False)
    row: object = None

    verb = "style"
    taps_only = True

    @property
    def size(self):
        """Rows and columns of the picture."""
        return self.content.shape[2:]

    @property
    def own_pairs(self):
        """Pairs that the preset has L-BFGS remember."""
        return (self.row and self.row.pairs) or SearchJob.own_pairs

    def run(self, callback=None, minimize=None):
        """Make the picture, from its smallest size to the largest; return the `Outcome`."""
        last = from_small_to_large(self.lowered(), partial(_at_size, minimize), callback)
        return Outcome(self.snapshot(last.x), last)

    def halved(self, times):
        """Return the job with all its pictures halved so many times."""
        attrs = self.net.attrs["preprocess"]
        small = [fit(rgb, halved_side(max(rgb.shape[:2]), times)) for rgb in self.pictures.values()]
        content, *styles = (preprocess(rgb, attrs) for rgb in small)  # in the order of `pictures`
        # the smallest size alone starts there
        start = start_of(self.settings, self.net, content, to_host(self.start), self.row)
        content, start, *styles = (to_device(a, self.device) for a in (content, start, *styles))
        masks = {}
        for kind, owners in (("content_masks", [content] * len(styles)), ("style_masks", styles)):
            if (given := getattr(self, kind)) is not None:
                masks[kind] = [
                    resized(mask, x.shape[2:]) for mask, x in zip(given, owners, strict=True)
                ]
        return replace(self, content=content, styles=styles, start=start, **masks)

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
            content_loss=s.content_loss,
            tv=s.tv,
            blend=s.blend,
            content_masks=self.content_masks,
            style_masks=self.style_masks,
            evaluation=self.evaluation,
        )

    def search_options(self):
        """Return what the preset says about the search: bounds, pairs that L-BFGS remembers."""
        options = {"pairs": self.pairs}
        if self.row and self.row.bounds:
            least = min(float(x.min()) for x in self.styles)
            options["bounds"] = (least, max(float(x.max()) for x in self.styles))
        return options

    def colours(self, x):
        """Return the picture of x, with the colours of the content where they are to stay."""
        kept, rgb = self.settings.preserve_color, super().colours(x)
        if kept is None:
            return rgb
        content = resize(self.originals["content"], rgb.shape[:2])
        if kept == "histogram":  # values beyond black and white are told apart until then
            return match_histogram(rgb, content)
        return with_luminance(content, luminance(np.clip(rgb, 0, 255)))

    def views(self, outcome):
        """Return {label: picture} of the sheet."""
        return {**(self.originals or self.pictures), "result": outcome.picture}


def _at_size(minimize, job, iterations, reached, callback):
    """Minimise at one size, from the x that the size before has `reached`, if there was one."""
    start = job.start
    if reached is not None:  # enlarged as a picture of whole grey levels 0..255
        start = resampled(reached, start.shape[2:], job.net)
        if job.settings.content_weight:  # sharp edges, or dots make up for what Grams lack
            start = start + detail(job.content, reached.shape[2:], job.net)
    return search(  # by L-BFGS: asks function(x) for value and gradient, and steps
        job.settings,
        job.function(),
        start,
        grey_level(job.net, start),  # the unit of a learning rate
        iterations=iterations,
        callback=callback,
        minimize=minimize,
        **job.search_options(),
    )


def start_of(settings, net, content, given, row):
    """Return the x to start from: content, noise, both or `given`; `row`: the preset's or None."""
    if settings.init == "content":
        return content
    if settings.init not in STARTS:  # the file of a picture
        return resampled(given, content.shape[2:], net)
    levels = row.noise / grey_level(net, content) if row and row.noise else NOISE
    drawn = noise(net, content.shape, settings.seed, levels=levels)
    if settings.init == "noise":
        return drawn
    share = np.float32(settings.noise_ratio)
    return (1 - share) * content + share * drawn
