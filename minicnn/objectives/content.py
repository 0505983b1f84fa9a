"""The content loss: the squared distance of activations from those of a picture (equation 2).

value = c · Σ (F - P)²              F the activation, P that of the content picture
dF    = 2 c (F - P)

  mean      c = 1 / (C·M)          the default; M = H·W positions, C channels
  sum       c = 1                  the lecture notes
  half-sum  c = 1/2                Gatys et al. 2015, arXiv 1508.06576
  relative  c = 1 / Σ P²           Mahendran & Vedaldi 2014, arXiv 1412.0035; of several pictures
                                   their mean Σ P²

Equation numbers are those of the lecture notes; `methods/README.md` has their list.
"""

from minicnn.objectives.layer_losses import LayerLoss, sum_squares
from minicnn.objectives.term_checks import check_content, positive, row_of

CONTENT = {
    "mean": lambda target: 1 / target[0].size,
    "sum": lambda target: 1.0,
    "half-sum": lambda target: 0.5,
    "relative": lambda target: 1 / positive(sum_squares(target) / len(target)),
}


def content(f, target, factor):
    """Return (value, df) with c = `factor`.

    Parameters
    ----------
    f : array, shape (N, ...)
    target : array, shape (N, ...) or (1, ...)
    factor : float, the weight times a value of the table `CONTENT`
    """
    df = f - target  # F - P
    value = factor * sum_squares(df)
    df *= 2 * factor
    return value, df


class ContentLoss(LayerLoss):
    """Weighted sum over layers of the distance to target activations.

    Parameters
    ----------
    targets : dict, layer name -> activation of the content picture
    weights : dict, layer name -> float, optional
        See `LayerLoss`.
    normalisation : {"mean", "sum", "half-sum", "relative"}
    """

    def __init__(self, targets: dict, weights: dict | None = None, normalisation: str = "mean"):
        super().__init__("content", targets, weights, row_of(CONTENT, normalisation, "content"))

    def term(self, name, f, factor):
        """Return (value, df) of a layer."""
        return content(f, self.targets[name], factor)

    def check(self, name, f):
        """Refuse an activation that cannot be compared with the target."""
        check_content(name, f, self.targets[name])
