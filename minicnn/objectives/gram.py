"""The style loss: the squared distance of Gram matrices (equations 4 to 7).

    G     = F Fᵀ                        F (C, M): a row for each channel, a column for each position
    value = c · Σ (G/M - A)²            A = G_style / M_style, the target
    dF    = (4 c / M) (G/M - A) F

      mean      c = 1 / C⁴             the mean square of G/(C·M), as in the program neural-style
      gatys     c = 1 / (4 C²)         E_l = 1/(4 C² M²) Σ (G - G_style)², Gatys et al. 2015
      lecture   c = 1 / 4              equation 6 as printed, which leaves out the 1/C² of the paper

The gradient, with D = G/M - A, which is symmetric, and · entry by entry, for a small change δF:

    δvalue = 2 c Σ D · δD,  δD = (δF Fᵀ + F δFᵀ) / M
    Σ D · (δF Fᵀ) = Σ (D F) · δF = Σ D · (F δFᵀ)       so δvalue = (4 c / M) Σ (D F) · δF

Every Gram is divided by its own number of positions before it is compared, so a style picture
may have another size than the generated one; for equal sizes this is the published formula.
"mean" and "gatys" differ by 4/C² only: "mean" gives shallow, narrow layers more weight.
"""

import math

from minicnn.backend import array_module
from minicnn.objectives.layer_losses import LayerLoss, sum_squares
from minicnn.objectives.term_checks import check_gram, row_of

STYLE = {
    "mean": lambda channels: 1 / channels**4,
    "gatys": lambda channels: 1 / (4 * channels**2),
    "lecture": lambda channels: 0.25,
}


def gram(f):
    """Gram matrix of the channels, G = F Fᵀ, for each picture.

    Parameters
    ----------
    f : array, shape (N, C, H, W)

    Returns
    -------
    array, shape (N, C, C), dtype of f. Sums in float32 lose 1e-6, less than the convolutions did.
    """
    F = f.reshape(*f.shape[:2], -1)  # (N, C, M), a view for both usual memory layouts
    # picture by picture: NumPy sees one matrix twice (syrk, half the work), CuPy copies neither
    return array_module(f).stack([one @ one.T for one in F])


def mean_gram(f):
    """Gram matrix divided by the number of positions, G / M: the target of a style loss."""
    g = gram(f)
    g *= f.shape[1] / f[0].size  # 1 / M
    return g


def style(f, target, factor):
    """Return (value, df) with c = `factor`.

    Parameters
    ----------
    f : array, shape (N, C, H, W)
    target : array, shape (N, C, C) or (1, C, C) or (C, C), a `mean_gram`
    factor : float, the weight times a value of the table `STYLE`
    """
    value, matrix = compare(mean_gram(f), target, factor, f.shape)
    return value, times(matrix, f)


def compare(g, target, factor, f_shape):
    """Return the value and the matrix (4 c / M) (G/M - A) for g = G/M, which is overwritten."""
    g -= target
    value = factor * sum_squares(g)
    g *= 4 * factor / math.prod(f_shape[2:])
    return value, g


def times(matrix, f):
    """Return the product of matrices (N, C, C) with the F of f (N, C, H, W), in the layout of f."""
    df = array_module(f).empty_like(f)
    F, dF = (a.reshape(*f.shape[:2], -1) for a in (f, df))  # (N, C, M)
    array_module(f).matmul(matrix, F, out=dF)
    return dF.reshape(f.shape)  # (N, C, H, W)


class GramStyleLoss(LayerLoss):
    """Weighted sum over layers of the distance between mean Gram matrices (equation 7).

    Parameters
    ----------
    targets : dict, layer name -> mean Gram matrix, shape (C, C) or (N, C, C)
        `style_targets` makes them; the style picture may have any size.
    layer_weights : dict, layer name -> float, optional
        The λ of equation 7, see `LayerLoss`.
    normalisation : {"mean", "gatys", "lecture"}
    """

    only_grams = True  # nothing else is read of activations: the engine may form S F part by part

    def __init__(self, targets: dict, layer_weights=None, normalisation: str = "mean"):
        row = row_of(STYLE, normalisation, "style")
        super().__init__("style", targets, layer_weights, lambda target: row(target.shape[-1]))

    def term(self, name, f, factor):
        """Return (value, df) of a layer."""
        return style(f, self.targets[name], factor)

    def check(self, name, f):
        """Refuse an activation that cannot be compared with the target."""
        check_gram(name, f, self.targets[name])


def style_targets(acts: dict, layers: list | None = None) -> dict:
    """Mean Gram matrices {layer: (N, C, C)} of a style picture's activations."""
    return {name: mean_gram(acts[name]) for name in (acts if layers is None else layers)}
