"""Losses of named layers: a weighted sum with one term a layer.

    L({l: f_l})  = w Σ_l λ_l c_l · d_l(f_l)          dL/df_l = w λ_l c_l · dd_l/df_l

Such an objective maps activations {l: f_l}, each (N, C, H, W), to (value, {l: df_l}). It knows no
network: what it returns is what `Network.backward` takes. d_l is a distance, c_l its normalisation,
λ_l the weight of the layer, w that of the loss; `term` gets w λ_l c_l as one `factor`. Values are
summed in float64; gradients have the dtype and memory layout of f, (N, C, H, W) or channels last.
The values of the pictures of a batch are added: a picture has the gradient that it has alone.
"""

import numpy as np

from minicnn.backend import array_module
from minicnn.objectives.term_checks import activation, used_weights


class LayerLoss:
    """What the losses share; each has `term(name, f, factor)` and `check(name, f)`.

    Parameters
    ----------
    kind : str, for messages
    targets : dict, layer name -> what its activation is compared with
    weights : dict, layer name -> float, the λ; or None
        1 for every layer where not given; a layer of weight 0 is left out.
    normalisation : callable, target -> the constant c of the layer's term
    """

    def __init__(self, kind, targets, weights, normalisation):
        self.weights = used_weights(targets, weights, kind)
        self.targets = {name: targets[name] for name in self.weights}
        self.factors = {name: normalisation(target) for name, target in self.targets.items()}
        self.layers = list(self.weights)

    def __call__(self, acts, weight=1.0, report=None, term=None):
        """Return (weight · value, {layer: weight · gradient}).

        Parameters
        ----------
        acts : dict, layer name -> array
        weight : float
        report : dict, optional
            Gets layer name -> weighted value of that layer.
        term : callable, optional
            `self.term`, or one that does the same in another way, as the engine has.
        """
        total, gradients = 0.0, {}
        for name, layer_weight in self.weights.items():
            f = activation(acts, name)
            self.check(name, f)
            factor = weight * layer_weight * self.factors[name]
            value, gradients[name] = (term or self.term)(name, f, factor)
            total += value
            if report is not None:
                report[name] = value
        return total, gradients


def sum_squares(a):
    """Sum of squares in float64, without a float64 copy; on a GPU of squares in the dtype of a."""
    xp = array_module(a)
    if xp is not np:
        return float(xp.sum(xp.square(a), dtype=xp.float64))
    flat = a.ravel(order="K")
    block = 65536  # half a megabyte of float64, which stays in the processor's cache
    total = 0.0
    for start in range(0, flat.size, block):
        part = flat[start : start + block].astype(np.float64, copy=False)
        total += float(part @ part)
    return total
