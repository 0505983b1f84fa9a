"""Total variation of a picture: a prior, that is a term that no network sees. It keeps x smooth.

    down[c,i,j]  = x[c,i+1,j] - x[c,i,j]      0 in the last row
    right[c,i,j] = x[c,i,j+1] - x[c,i,j]      0 in the last column

    value = k · Σ_cij (down² + right²)        k = 1 for "sum", 1/(C·H·W) for "mean"
    dx    = Dᵀ (2 k · (down, right))          (down, right) = D x, as a linear map of the picture

Each difference d hands 2 k d to the later of its two pixels and -2 k d to the other: that is Dᵀ.

Both pixels of a difference are of the generated picture (Mahendran & Vedaldi 2014, arXiv 1412.0035,
section 3). Equation 3 of the lecture notes takes one of them from the content picture.
"""

from minicnn.backend import array_module
from minicnn.errors import MinicnnError


def tv(x, normalisation: str = "mean") -> tuple:
    """Sum of the squared differences of neighbours, over C·H·W with "mean".

    Examples
    --------
    >>> import numpy as np
    >>> value, dx = tv(np.array([[[[0.0, 1.0, 3.0]]]]), "sum")
    >>> value, dx.tolist()
    (5.0, [[[[-2.0, -2.0, 4.0]]]])
    """
    down, right = differences(x)
    factor = factor_of(x, normalisation)
    value = factor * (sum_squares(down) + sum_squares(right))
    down *= 2 * factor
    right *= 2 * factor
    return value, differences_adjoint(down, right, x)


def differences(x):
    """Return down (N, C, H-1, W) and right (N, C, H, W-1), without the zeros."""
    return x[:, :, 1:] - x[:, :, :-1], x[:, :, :, 1:] - x[:, :, :, :-1]


def differences_adjoint(down, right, x):
    """Return dx for the derivatives by both differences: each is the later pixel minus this one."""
    dx = array_module(x).zeros_like(x)
    dx[:, :, 1:] += down
    dx[:, :, :-1] -= down
    dx[:, :, :, 1:] += right
    dx[:, :, :, :-1] -= right
    return dx


def sum_squares(a):
    """Sum in float64 of the squares, which have the dtype of a."""
    xp = array_module(a)
    return float(xp.sum(xp.square(a), dtype=xp.float64))


def factor_of(x, normalisation):
    """Return 1 for "sum", 1/(C·H·W) for "mean"."""
    if normalisation == "sum":
        return 1.0
    if normalisation == "mean":
        return 1.0 / x[0].size
    raise MinicnnError(f"no normalisation {normalisation!r} of an image prior; use mean or sum")


class PixelPrior:
    """A prior of the picture in pixels 0..1, whatever the network's units: by default its TV.

    Parameters
    ----------
    grey_level : array (1, C, 1, 1)
        How much one grey level of 0..255 is in the network's units.
    prior : callable, x -> (value, dx)
        Of differences within a picture or to another one: the mean colour drops out of these.
    """

    def __init__(self, grey_level, prior=tv):
        self.unit, self.prior = 1 / (255 * grey_level), prior

    def __call__(self, x):
        """Return (value, dx) of x (N, C, H, W)."""
        value, dx = self.prior(x * self.unit)
        dx *= self.unit
        return value, dx
