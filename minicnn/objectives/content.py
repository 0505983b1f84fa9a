"""The content loss: the squared distance of activations from those of a picture."""

from minicnn.errors import MinicnnError
from minicnn.objectives.layer_losses import over_layers, row_of, sum_squares, used_weights

CONTENT = {
    "mean": lambda target: 1 / target[0].size,
    "sum": lambda target: 1.0,
    "half-sum": lambda target: 0.5,
    "relative": lambda target: 1 / _positive(sum_squares(target) / len(target)),
}


def content(f, target, factor):
    """Squared distance of activations, value = factor · sum (f - target)².

    Parameters
    ----------
    f : array, shape (N, ...)
    target : array, shape (N, ...) or (1, ...)
    factor : float, the weight times a value of the table `CONTENT`

    Returns
    -------
    value : float
    df : array like f, 2 · factor · (f - target)
    """
    df = f - target
    value = factor * sum_squares(df)
    df *= 2 * factor
    return value, df


class ContentLoss:
    """Weighted sum over layers of the distance to target activations (equation 2).

    Parameters
    ----------
    targets : dict, layer name -> activation of the content picture
    weights : dict, layer name -> float, optional
        1 for every layer where not given; a layer of weight 0 is left out.
    normalisation : {"mean", "sum", "half-sum", "relative"}
    """

    def __init__(self, targets, weights=None, normalisation="mean"):
        factor = row_of(CONTENT, normalisation, "content")
        self.weights = used_weights(targets, weights, "content")
        self.targets = {name: targets[name] for name in self.weights}
        self.factors = {name: factor(target) for name, target in self.targets.items()}
        self.layers = list(self.weights)

    def __call__(self, acts, weight=1.0, report=None):
        """Return (weight · value, {layer: weight · gradient}); `report` receives each layer's part.

        Parameters
        ----------
        acts : dict, layer name -> array
        weight : float
        report : dict, optional
            Gets layer name -> weighted value of that layer.
        """
        return over_layers(self, acts, weight, report, self.term)

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
