"""Norms of a picture, the priors that keep its pixels within a range.

alpha_norm        k · Σ_cij |x|^alpha                        k = 1 for "sum", 1/(C·H·W) for "mean"
colour_norm       k · Σ_ij (Σ_c x²)^(alpha/2)                over pixels: 1/(H·W) for "mean"
"""

from minicnn.backend import array_module
from minicnn.errors import MinicnnError
from minicnn.objectives.total_variation import factor_of


def alpha_norm(x, alpha=6.0, normalisation="mean"):
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


def colour_norm(x, alpha=6.0, normalisation="mean"):
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
