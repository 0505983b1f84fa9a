"""A frame of a video: painted from the painted frame before it, and kept near it.

    J(x) = J_style(x) + w J_style(x_0) · 1/D Σ c (x - x_0)²         `objectives.temporal`

The frame before is moved along the optical flow: x_0. There the search starts, and there it is held
as far as the flow is to be believed, c. The weight w counts in the loss at the start, so that it
means the same for every network. Ruder, Dosovitskiy & Brox 2016, arXiv 1604.08610.
"""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from minicnn.backend import array_module
from minicnn.errors import MinicnnError
from minicnn.methods.style.masks import resized
from minicnn.methods.style.previous import FILES
from minicnn.methods.style.run import StyleJob
from minicnn.objectives.priors import PixelPrior
from minicnn.objectives.temporal import temporal
from minicnn.pictures import flow as optical
from minicnn.pictures.arrays import fitted_sides, grey_level, resampled, resize
from minicnn.pictures.colours import luminance


@dataclass(frozen=True, kw_only=True)
class FrameJob(StyleJob):
    """A style transfer that stays near the frame before.

    Attributes
    ----------
    before : float32 (1, 3, H, W), preprocessed, on the device: that frame where it is now
    certain : float32 (H, W), 0..1: how far that is to be believed
    """

    before: np.ndarray = field(repr=False)
    certain: np.ndarray = field(repr=False)

    def function(self):
        """Return what is minimised, fun(x) -> (value, gradient)."""
        fun, level = super().function(), grey_level(self.net, self.content)
        target = resampled(self.before, self.size, self.net) / (255 * level)
        certain = array_module(target).asarray(resized(self.certain, self.size))
        near = PixelPrior(level, partial(temporal, target=target, certain=certain))
        first, _ = fun(self.start)
        return NearFrame(fun, self.settings.temporal_weight * first, near)


class NearFrame:
    """The `PictureFunction` of a frame: that of its style transfer, and a weighted prior."""

    def __init__(self, fun, weight, prior):
        self.fun, self.weight, self.prior, self.terms = fun, weight, prior, {}

    def __call__(self, x):
        """Return (value, gradient) at picture x."""
        value, dx = self.fun(x)
        near, slope = self.prior(x)
        self.terms = {**self.fun.terms, "temporal": self.weight * near}
        return value + self.weight * near, dx + np.float32(self.weight) * slope


def moved(reader, read, size):
    """Return the frame before, moved, float32 (H, W, 3) in 0..255, and where it is certain (H, W).

    `read` is role -> what the `reader` has read, `size` the rows and columns of the result.
    """
    shape = read["content"].shape
    for role in FILES[1:]:
        if role in read and read[role].shape[:2] != shape[:2]:
            theirs, ours = (f"{cols} x {rows}" for rows, cols, _ in (read[role].shape, shape))
            raise MinicnnError(
                f"{str(reader.path(role))!r} is {theirs}, its frame {ours}; make it of that size"
            )
    before = read["previous"]
    if fitted_sides(before.shape, max(size)) != list(size):
        raise MinicnnError(
            f"{str(reader.path('previous'))!r} is {before.shape[1]} x {before.shape[0]}, which is "
            f"not the shape of a frame of {size[1]} x {size[0]}; give the painted frame before"
        )
    flow = read["flow"] if "flow" in read else np.float32(np.broadcast_to([0, 0, 1], shape))
    certain = optical.certain(flow, read.get("forward_flow"))
    if "flow_mask" in read:
        certain *= (luminance(read["flow_mask"]) / 255).astype(np.float32)
    certain = resized(certain, size)
    picture, inside = optical.warped(resize(before, size), optical.resized(flow, size))
    return picture, certain * inside
