"""Image priors: total variation and the alpha-norm, each with its gradient beside it.

Parameters and results of all of them:

    x              array (N, C, H, W), float32 or float64: N pictures, whose values are added
    normalisation  "mean" or "sum", see below
    value          float, summed in float64
    dx             array of the shape and dtype of x

With the neighbour differences

    down[c,i,j]  = x[c,i+1,j] - x[c,i,j]      0 in the last row
    right[c,i,j] = x[c,i,j+1] - x[c,i,j]      0 in the last column

the priors of one picture are, up to the chosen normalisation,

    tv_beta           sum_cij (down² + right²)^(beta/2)          per channel, isotropic
    tv                the same with beta = 2
    tv_neural_style   ½ sum over i < H-1, j < W-1 of (down² + right²)
    tv_absolute       sum_cij |down| + |right|                   per channel, anisotropic
    alpha_norm        sum_cij |x|^alpha
    colour_norm       sum_ij (sum_c x²)^(alpha/2)                over the H·W pixels

Normalisations: "sum" is the formula as printed; "mean" divides it by C·H·W, so that a weight keeps
its meaning when the picture changes size. It is the default, except for tv_neural_style and
tv_absolute, which are there to be those of two programs.

Equation 3 of the lecture notes takes the neighbour from the generated picture and the pixel from
the content picture, a_(G)[i,j+1] - a_(C)[i,j]. That is no variation of either picture: the content
picture itself would not be its own smoothest copy. We follow the paper (Mahendran & Vedaldi 2014,
arXiv 1412.0035, section 3), where both belong to the generated picture.
"""

from minicnn.backend import array_module
from minicnn.errors import MinicnnError


def tv(x, normalisation="mean"):
    """Total variation with beta = 2, the mean (or sum) of all squared neighbour differences.

    Examples
    --------
    >>> import numpy as np
    >>> value, dx = tv(np.array([[[[0.0, 1.0, 3.0]]]]), "sum")
    >>> value, dx.tolist()
    (5.0, [[[[-2.0, -2.0, 4.0]]]])
    """
    down, right = _differences(x)
    factor = _factor(x, normalisation)
    value = factor * (_sum_squares(down) + _sum_squares(right))
    down *= 2 * factor
    right *= 2 * factor
    return value, _differences_adjoint(down, right, x)


class PixelTV:
    """Total variation of the picture in pixels 0..1, whatever the network's units.

    Parameters
    ----------
    grey_level : array (1, C, 1, 1)
        How much one grey level of 0..255 is in the network's units.
    variation : callable, x -> (value, dx)
        `tv`, or one like it.
    """

    def __init__(self, grey_level, variation=tv):
        self.unit, self.variation = 1 / (255 * grey_level), variation

    def __call__(self, x):
        """Return (value, dx) of x (N, C, H, W)."""
        value, dx = self.variation(x * self.unit)
        dx *= self.unit
        return value, dx


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
    down, right = _differences(x)
    factor = _factor(x, normalisation)
    v = xp.zeros_like(x)
    v[:, :, :-1] += xp.square(down)
    v[:, :, :, :-1] += xp.square(right)
    value = factor * float(xp.sum(v ** (beta / 2), dtype=xp.float64))
    # any finite factor does at flat pixels: it meets a difference of 0
    slope = xp.where(v > 0, v, 1) ** (beta / 2 - 1)
    slope *= beta * factor
    down *= slope[:, :, :-1]
    right *= slope[:, :, :, :-1]
    return value, _differences_adjoint(down, right, x)


def tv_neural_style(x, normalisation="sum"):
    """Total variation of jcjohnson/neural-style: half the sum of squares, inner pixels only.

    It differs from `tv` by the factor ½ and by leaving out the last row's horizontal and the last
    column's vertical differences. That program adds only the gradient and prints a loss without
    this term; a line search needs the value too, so we return both.
    """
    down, right = _differences(x)
    down[:, :, :, -1:] = 0
    right[:, :, -1:] = 0
    factor = _factor(x, normalisation)
    value = factor / 2 * (_sum_squares(down) + _sum_squares(right))
    down *= factor
    right *= factor
    return value, _differences_adjoint(down, right, x)


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
    factor = _factor(x, normalisation)
    value, signs = 0.0, []
    for difference in _differences(x):
        value += factor * float(xp.sum(xp.abs(difference), dtype=xp.float64))
        sign = xp.sign(difference)
        sign *= factor
        signs.append(sign)
    return value, _differences_adjoint(*signs, x)


def alpha_norm(x, alpha=6.0, normalisation="mean"):
    """Alpha-norm to the power alpha, sum |x|^alpha; it keeps the pixels within a range.

    The derivative is alpha · |x|^(alpha-1) · sign(x). With alpha = 2 it is the squared Euclidean
    norm of Simonyan et al. 2013 (arXiv 1312.6034); Mahendran & Vedaldi use 6.

    Parameters
    ----------
    x : array, as above
        Picture minus the mean colour, so that 0 is mean grey.
    alpha : float, at least 1
    """
    if not 1 <= alpha < float("inf"):
        raise MinicnnError(
            f"alpha-norm with alpha = {alpha}; use a number of at least 1, such as 6"
        )
    xp = array_module(x)
    factor = _factor(x, normalisation)
    dx = xp.abs(x) ** float(alpha - 1)
    dx *= xp.sign(x)
    value = factor * float(xp.sum(dx * x, dtype=xp.float64))
    dx *= alpha * factor
    return value, dx


def colour_norm(x, alpha=6.0, normalisation="mean"):
    """Alpha-norm of the colour of each pixel, sum over pixels of (sum_c x²)^(alpha/2).

    Mahendran & Vedaldi 2016 (arXiv 1512.02017): it does not depend on the direction of a colour,
    as the sum over single channels does. The derivative is alpha · (sum_c x²)^(alpha/2 - 1) · x.

    Parameters
    ----------
    x : array, as above
        Picture minus the mean colour.
    alpha : float, at least 2
    normalisation : {"mean", "sum"}
        The mean is over the H·W pixels here.

    Returns
    -------
    value : float, summed in float64
    dx : array of the shape and dtype of x
    """
    if not 2 <= alpha < float("inf"):
        raise MinicnnError(f"colour norm with alpha = {alpha}; use a number of at least 2")
    xp = array_module(x)
    factor = _factor(x, normalisation) * (x.shape[1] if normalisation == "mean" else 1)
    square = xp.square(x).sum(axis=1, keepdims=True)
    value = factor * float(xp.sum(square ** (alpha / 2), dtype=xp.float64))
    return value, alpha * factor * square ** (alpha / 2 - 1) * x


def _differences(x):
    return x[:, :, 1:] - x[:, :, :-1], x[:, :, :, 1:] - x[:, :, :, :-1]


def _differences_adjoint(down, right, x):
    dx = array_module(x).zeros_like(x)
    dx[:, :, 1:] += down
    dx[:, :, :-1] -= down
    dx[:, :, :, 1:] += right
    dx[:, :, :, :-1] -= right
    return dx


def _sum_squares(a):
    xp = array_module(a)
    return float(xp.sum(xp.square(a), dtype=xp.float64))


def _factor(x, normalisation):
    if normalisation == "sum":
        return 1.0
    if normalisation == "mean":
        return 1.0 / x[0].size
    raise MinicnnError(f"no normalisation {normalisation!r} of an image prior; use mean or sum")


def pixel_tv(x, grey_level, variation=tv):
    """Return (value, dx), see `PixelTV`."""
    return PixelTV(grey_level, variation)(x)


# form -> grey_level -> x -> (value, dx); the second and third see x in the network's own units, as
# the programs do that they are named for
TV = {
    "mean": PixelTV,
    "neural-style": lambda grey_level: tv_neural_style,
    "absolute": lambda grey_level: tv_absolute,
}
