"""Style transfer as others have published it, to the letter: losses, pixels, sizes, budgets.

    name             content            style, per layer          total variation    white is
    seed             Σ ΔF²              100 · λ/4 · Σ ΔG²         none               255
    gatys            mean ΔF²           1000 · Σ ΔG² / C⁴         none               255
    neural-style     5 · mean ΔF²       100 · Σ ΔG² / C⁴          1e-3 · ½ Σ d²+r²   256
    neural-style-pt  5 · mean ΔF²       100 · Σ ΔG² / C⁴          1e-3 · Σ |d|+|r|   255
    deeptextures     none               1e9 / 4 · Σ ΔG² / C²      none               255

    ΔF  activation - that of the content       ΔG  F Fᵀ/M - that of the style, C channels
    d, r  differences to the pixel below and to the right

seed is equations 2 and 4 to 8 of the lecture notes as printed; they give no numbers, λ = 1/5 and
the weights are ours. gatys is the authors' PyTorch notebook, at its first size: (1000/C²) ·
mean ΔG². deeptextures is their program of 2015, 1e9 · E_l; the content gives the size alone.
neural-style pools with `ceil` and adds the gradient of the total variation without counting its
value; a line search needs both. neural-style-pt is the one that multiplies pictures by 255, as what
derives from its later versions does; commit e3a099a, for one, still has the 256 of neural-style.

Sizes are cut off where the programs cut them off, and pictures resampled as there: bilinearly, in
neural-style by Torch's own means (`torch_resize`).

A preset fixes the formulas; weights, layers, sizes and budgets of what it has can be changed. All
were made for VGG-19. Other networks get their own layers, and no total variation unless a weight is
given: theirs was set against the activations of VGG-19, and on minivgg, where they are about 1, it
leaves nothing but grey. The content term grows with the square of the activations and the style
term with their fourth power: on minivgg neural-style and neural-style-pt, which start from next to
nothing, paint edges on grey, and need some hundred times the style weight (`STRONGER`). Total
variation and the noise to start from are measured in the network's own units, as in the programs.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from minicnn.methods.network_defaults import FIVE_BLOCKS, Style, texture_layers
from minicnn.methods.style.torch_resize import torch_resize
from minicnn.pictures.arrays import fitted_sides, resize

VGG_CONTENT = {"relu4_2": 1.0}
VGG_STYLE = dict.fromkeys(FIVE_BLOCKS, 1.0)
VGG_TEXTURE = texture_layers("vgg19")
VGG = ("vgg16", "vgg19")
BILINEAR = partial(resize, bilinear=True)


class Preset(NamedTuple):
    """How one of them is run; `loss` is what it minimises."""

    loss: Style
    evaluations: int
    size: int = 512
    side: str = "long"  # of which side `size` is: long or short, or "area" for that of a square
    init: str = "noise"
    noise: float | None = None  # its deviation in the network's units; else 20 grey levels
    pixels: float = 255.0  # value of white
    ceil: bool = False  # max pooling lets a last window hang over the edge
    bounds: bool = False  # between the least and largest value of the style picture
    pairs: int | None = None  # that L-BFGS remembers
    scaled: Callable | None = None  # (side, long side, its new length) -> new length; else rounded
    resized: Callable = resize  # (picture, (rows, columns)) -> picture

    def long_side(self, shape):
        """Return the long side in pixels of a picture of `shape` (H, W, 3)."""
        long, short = max(shape[:2]), min(shape[:2])
        if self.side == "short":
            return int(self.size * long / short)
        return round(self.size * math.sqrt(long / short)) if self.side == "area" else self.size

    def fitted(self, rgb, size):
        """Return a picture with a long side of `size` pixels."""
        long = max(rgb.shape[:2])
        if self.scaled is None:
            sides = fitted_sides(rgb.shape, size)
        else:
            sides = [max(1, int(self.scaled(side, long, size))) for side in rgb.shape[:2]]
        return self.resized(rgb, sides)

    def loss_on(self, network, own):
        """Return the loss on a network; `own` is the row that it has without a preset."""
        if network in VGG:
            return self.loss
        if not self.loss.content_layers:
            return self.loss._replace(style_layers=texture_layers(network))
        layers = {name: getattr(own, name) for name in ("content_layers", "style_layers")}
        return self.loss._replace(**layers, tv_weight=0.0)


PRESETS = {
    "seed": Preset(
        Style(
            VGG_CONTENT, dict.fromkeys(FIVE_BLOCKS, 0.2), 1.0, 100.0, 0.0,
            gram="lecture", pool="average", content_loss="sum",
        ),
        evaluations=500,
    ),
    "gatys": Preset(
        Style(VGG_CONTENT, VGG_STYLE, 1.0, 1000.0, 0.0, pool="max"),
        evaluations=500,
        side="short",
        init="content",
        scaled=lambda side, long, size: -(-side * size // long),  # the long side is cut off
        resized=BILINEAR,
    ),
    "neural-style": Preset(
        Style(
            VGG_CONTENT, VGG_STYLE, 5.0, 100.0, 1e-3, pool="max", tv="neural-style"
        ),
        evaluations=1000,
        noise=1e-3,
        pixels=256.0,
        ceil=True,
        scaled=lambda side, long, size: side / long * size,
        resized=torch_resize,
    ),
    "neural-style-pt": Preset(
        Style(VGG_CONTENT, VGG_STYLE, 5.0, 100.0, 1e-3, pool="max", tv="absolute"),
        evaluations=1000,
        noise=1e-3,
        scaled=lambda side, long, size: size / long * side,
        resized=BILINEAR,
    ),
    "deeptextures": Preset(
        Style({}, VGG_TEXTURE, 0.0, 1e9, 0.0, gram="gatys", pool="average"),
        evaluations=2000,
        size=256,
        side="area",
        noise=1.0,
        bounds=True,
        pairs=20,
    ),
}  # fmt: skip

# network -> preset -> style weight at which it paints there, found by looking at 160 pixels
STRONGER = {"minivgg": {"neural-style": 3e4, "neural-style-pt": 3e4}}
