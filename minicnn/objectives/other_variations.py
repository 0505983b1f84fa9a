"""Other total variations than `total_variation.tv`, with its `down` and `right`.

    tv_beta           Σ_cij (down² + right²)^(beta/2)            per channel, isotropic
    tv_neural_style   ½ Σ over i < H-1, j < W-1 of (down² + right²)
    tv_absolute       Σ_cij |down| + |right|                     per channel, anisotropic

The first may be divided by C·H·W ("mean", its default); the others are there to be those of two
programs, whose default is the sum.
"""

from minicnn.backend import array_module
from minicnn.errors import MinicnnError
from minicnn.objectives.total_variation import (
    differences,
    differences_adjoint,
    factor_of,
    sum_squares,
    tv,
)


def tv_beta(x, beta=2.0, normalisation="mean"):
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


def tv_neural_style(x, normalisation="sum"):
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


def tv_absolute(x, normalisation="sum"):
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
