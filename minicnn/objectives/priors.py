"""Image priors: total variations and norms of a picture, each x -> (value, dx).

tv                Σ_cij (down² + right²)                     `total_variation`, with down, right
tv_beta           Σ_cij (down² + right²)^(beta/2)            per channel, isotropic
tv_neural_style   ½ Σ over i < H-1, j < W-1 of (down² + right²)
tv_absolute       Σ_cij |down| + |right|                     per channel, anisotropic
alpha_norm        Σ_cij |x|^alpha
colour_norm       Σ_ij (Σ_c x²)^(alpha/2)                    over pixels

x              array (N, C, H, W), float32 or float64: N pictures, whose values are added
normalisation  "mean" or "sum": "sum" is the formula as printed; "mean" divides it by C·H·W
               (colour_norm: H·W), so that a weight keeps its meaning when the picture changes
               size. Of tv_neural_style and tv_absolute, which are those of two programs, the
               sum is the default.
value          float, summed in float64
dx             array of the shape and dtype of x
"""

from typing import Any

from minicnn.backend import array_module
from minicnn.errors import MinicnnError
from minicnn.objectives.total_variation import (
    PixelPrior,
    differences,
    differences_adjoint,
    factor_of,
    sum_squares,
    tv,
)

__all__ = ["TV", "PixelPrior", "alpha_norm", "colour_norm", "tv"]
__all__ += ["tv_absolute", "tv_beta", "tv_neural_style"]


def tv_beta(x: Any, beta: float = 2.0, normalisation: str = "mean") -> tuple[float, Any]:
    """Total variation to the power beta, (down² + right²)^(beta/2); beta = 1 keeps edges sharp.

    With v = down² + right² the derivative by a difference d is beta · v^(beta/2 - 1) · d. For
    beta < 2 the power grows without limit where the picture is flat, v = 0; the difference is 0
    there too, and so is the gradient that we return (for beta = 1 one of many subgradients).

    Parameters
    ----------
    beta : float, at least 1 (below it the gradient has no bound near flat pixels)
    """
    if not 1 <= beta < float("inf"):
        raise MinicnnError(f"TV exponent beta = {beta}; use a number of at least 1, such as 2")
    if beta == 2:
        return tv(x, normalisation)
    xp, beta = array_module(x), float(beta)
    down, right = differences(x)
    factor = factor_of(x, normalisation)
    v = xp.zeros_like(x)
    v[:, :, :-1] += xp.square(down)
    v[:, :, :, :-1] += xp.square(right)
    value = factor * float(xp.sum(v ** (beta / 2), dtype=xp.float64))
    # any finite factor does at flat pixels: it meets a difference of 0
    slope = xp.where(v > 0, v, 1) ** (beta / 2 - 1)
    slope *= beta * factor
    down *= slope[:, :, :-1]
    right *= slope[:, :, :, :-1]
    return value, differences_adjoint(down, right, x)


def tv_neural_style(x: Any, normalisation: str = "sum") -> tuple[float, Any]:
    """Total variation of jcjohnson/neural-style: half the sum of squares, inner pixels only.

    It differs from `tv` by the factor ½ and by leaving out the last row's horizontal and the last
    column's vertical differences. That program adds only the gradient and prints a loss without
    this term; a line search needs the value too, so we return both.
    """
    down, right = differences(x)
    down[:, :, :, -1:] = 0
    right[:, :, -1:] = 0
    factor = factor_of(x, normalisation)
    value = factor / 2 * (sum_squares(down) + sum_squares(right))
    down *= factor
    right *= factor
    return value, differences_adjoint(down, right, x)


def tv_absolute(x: Any, normalisation: str = "sum") -> tuple[float, Any]:
    """Total variation of ProGamerGov/neural-style-pt: the sum of absolute neighbour differences.

    The derivative by a difference is its sign; where two neighbours are equal we return 0, one of
    many subgradients. An edge costs the same whether it is one step or many small ones, so edges
    stay. It grows with the amplitude and the squares with its square: their weights do not compare.

    Examples
    --------
    >>> import numpy as np
    >>> value, dx = tv_absolute(np.array([[[[0.0, 1.0, 3.0]]]]))
    >>> value, dx.tolist()
    (3.0, [[[[-1.0, 0.0, 1.0]]]])
    """
    xp = array_module(x)
    factor = factor_of(x, normalisation)
    value, signs = 0.0, []
    for difference in differences(x):
        value += factor * float(xp.sum(xp.abs(difference), dtype=xp.float64))
        sign = xp.sign(difference)
        sign *= factor
        signs.append(sign)
    return value, differences_adjoint(*signs, x)


def alpha_norm(x: Any, alpha: float = 6.0, normalisation: str = "mean") -> tuple[float, Any]:
    """Alpha-norm to the power alpha, sum |x|^alpha, alpha >= 1; it keeps the pixels within a range.

    x is the picture minus the mean colour, so that 0 is mean grey. The derivative is alpha ·
    |x|^(alpha-1) · sign(x). With alpha = 2 it is the squared Euclidean norm of Simonyan et al. 2013
    (arXiv 1312.6034); Mahendran & Vedaldi use 6.
    """
    if not 1 <= alpha < float("inf"):
        raise MinicnnError(
            f"alpha-norm with alpha = {alpha}; use a number of at least 1, such as 6"
        )
    xp = array_module(x)
    factor = factor_of(x, normalisation)
    dx = xp.abs(x) ** float(alpha - 1)
    dx *= xp.sign(x)
    value = factor * float(xp.sum(dx * x, dtype=xp.float64))
    dx *= alpha * factor
    return value, dx


def colour_norm(x: Any, alpha: float = 6.0, normalisation: str = "mean") -> tuple[float, Any]:
    """Alpha-norm of the colour of each pixel, sum over pixels of (sum_c x²)^(alpha/2), alpha >= 2.

    x is the picture minus the mean colour; "mean" is over the H·W pixels here. Mahendran & Vedaldi
    2016 (arXiv 1512.02017): it does not depend on the direction of a colour, as the sum over single
    channels does. The derivative is alpha · (sum_c x²)^(alpha/2 - 1) · x.
    """
    if not 2 <= alpha < float("inf"):
        raise MinicnnError(f"colour norm with alpha = {alpha}; use a number of at least 2")
    xp = array_module(x)
    factor = factor_of(x, normalisation) * (x.shape[1] if normalisation == "mean" else 1)
    square = xp.square(x).sum(axis=1, keepdims=True)
    value = factor * float(xp.sum(square ** (alpha / 2), dtype=xp.float64))
    return value, alpha * factor * square ** (alpha / 2 - 1) * x


# form -> grey_level -> x -> (value, dx); the second and third see x in the network's own units, as
# the programs do that they are named for
TV = {
    "mean": PixelPrior,
    "neural-style": lambda grey_level: tv_neural_style,
    "absolute": lambda grey_level: tv_absolute,
}
