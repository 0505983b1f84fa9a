"""The content loss: the squared distance of activations from those of a picture (equation 2).

value = c · Σ (F - P)²              F the activation, P that of the content picture
dF    = 2 c (F - P)

  mean      c = 1 / (C·M)          the default; M = H·W positions, C channels
  sum       c = 1                  the lecture notes
  half-sum  c = 1/2                Gatys et al. 2015, arXiv 1508.06576
  relative  c = 1 / Σ P²           Mahendran & Vedaldi 2014, arXiv 1412.0035
"""

from minicnn.errors import MinicnnError
from minicnn.objectives.layer_checks import row_of
from minicnn.objectives.layer_losses import LayerLoss, sum_squares

CONTENT = {
    "mean": lambda target: 1 / target[0].size,
    "sum": lambda target: 1.0,
    "half-sum": lambda target: 0.5,
    "relative": lambda target: 1 / _positive(sum_squares(target) / len(target)),
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

    def __init__(self, targets, weights=None, normalisation="mean"):
        super().__init__("content", targets, weights, row_of(CONTENT, normalisation, "content"))

    def term(self, name, f, factor):
        """Return (value, df) of a layer."""
        return content(f, self.targets[name], factor)

    def check(self, name, f):
        """Refuse an activation that cannot be compared with the target."""
        target = self.targets[name]
        if f.shape[1:] != target.shape[1:] or len(target) not in (1, len(f)):
            raise MinicnnError(
                f"content layer {name}: activation {f.shape} against target {target.shape}; "
                "give the generated picture the size of the content picture"
            )


def _positive(value):
    if not value > 0:
        raise MinicnnError(
            "relative content loss: the target activation is all 0; use another layer or mean"
        )
    return value
