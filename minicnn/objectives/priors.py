"""Image priors by name: total variations and norms of a picture, each x -> (value, dx).

    x              array (N, C, H, W), float32 or float64: N pictures, whose values are added
    normalisation  "mean" or "sum": "sum" is the formula as printed; "mean" divides it by C·H·W, so
                   that a weight keeps its meaning when the picture changes size
    value          float, summed in float64
    dx             array of the shape and dtype of x

`total_variation`, `other_variations` and `pixel_norms` have the formulas.
"""

from minicnn.objectives.other_variations import tv_absolute, tv_beta, tv_neural_style
from minicnn.objectives.pixel_norms import alpha_norm, colour_norm
from minicnn.objectives.total_variation import PixelTV, tv

__all__ = [
    "TV",
    "PixelTV",
    "alpha_norm",
    "colour_norm",
    "pixel_tv",
    "tv",
    "tv_absolute",
    "tv_beta",
    "tv_neural_style",
]

# form -> grey_level -> x -> (value, dx); the second and third see x in the network's own units, as
# the programs do that they are named for
TV = {
    "mean": PixelTV,
    "neural-style": lambda grey_level: tv_neural_style,
    "absolute": lambda grey_level: tv_absolute,
}


def pixel_tv(x, grey_level, variation=tv):
    """Return (value, dx), see `PixelTV`."""
    return PixelTV(grey_level, variation)(x)
