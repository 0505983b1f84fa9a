"""Weighted sum of objectives and priors, and the function of a picture that it makes.

    J(x) = Σ_o w_o · J_o(activations of x) + Σ_p w_p · R_p(x)          (equation 8)

    dJ/dx = backward(Σ_o w_o · dJ_o/dactivations) + Σ_p w_p · dR_p/dx

Objectives meet the picture through a network, priors directly. Neither knows the network: its
forward and backward pass are two functions, given to `ImageFunction`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from minicnn.kernels import launch
from minicnn.kernels.strips import Strips
from minicnn.objectives.term_checks import used_terms


class WeightedSum:
    """Sum of weighted objectives on activations and weighted priors on the picture (equation 8).

    Parameters
    ----------
    objectives : dict, name -> (weight, objective)
        An objective is such as `LayerLoss`.
    priors : dict, name -> (weight, prior), optional
        A prior is a function x -> (value, dx), see `minicnn.objectives.priors`.

    Attributes
    ----------
    layers : list of str, the activations that the objectives need
    """

    def __init__(self, objectives: dict, priors: dict | None = None):
        self.objectives, self.priors = used_terms(objectives, priors or {})
        named = [name for _, objective in self.objectives.values() for name in objective.layers]
        self.layers = list(dict.fromkeys(named))

    def __call__(self, acts, x=None, report=None):
        """Evaluate every term.

        Parameters
        ----------
        acts : dict, layer name -> array
        x : array, shape (N, C, H, W), the picture; needed only for priors
        report : dict, optional
            Gets name -> weighted value of each term (they add up to the value) and, for an
            objective on several layers, "name.layer" -> its part.

        Returns
        -------
        value : float
        dacts : dict, layer name -> gradient
        dx : gradient of the priors, or None where there is no prior
        """
        total, dacts, dx = 0.0, {}, None
        report = {} if report is None else report
        for name, (weight, objective) in self.objectives.items():
            parts = {}
            value, gradients = self.evaluate(objective, acts, weight, parts)
            total += value
            for layer, df in gradients.items():
                dacts[layer] = dacts[layer] + df if layer in dacts else df
            report[name] = value
            if len(parts) > 1:
                report.update({f"{name}.{layer}": part for layer, part in parts.items()})
        for name, (weight, prior) in self.priors.items():
            value, gradient = prior(x)
            total += weight * value
            gradient *= weight
            dx = gradient if dx is None else dx + gradient
            report[name] = weight * value
        return total, dacts, dx

    def evaluate(self, objective, acts, weight, report):
        """Return (weight · value, {layer: weight · gradient}); the engine has another way."""
        return objective(acts, weight, report)


class PictureFunction(Protocol):
    """A function of the picture, however it is evaluated: what an optimizer minimises."""

    terms: dict[str, float]

    def __call__(self, x: Any) -> tuple[float, Any]:
        """Return (value, gradient) at picture x."""


class ImageFunction:
    """The `PictureFunction` of a weighted sum and a network, fun(x) -> (value, gradient).

    Parameters
    ----------
    objective : WeightedSum
    forward : callable, (x, layer names) -> {layer: activation}, such as `net.forward`
    backward : callable, {layer: gradient} -> dx, such as `net.backward`

    Attributes
    ----------
    terms : dict, name -> weighted value of every term at the last picture evaluated
    strips : Strips
        How large strips on a device may be, as far as this function has learnt.
    """

    def __init__(self, objective: WeightedSum, forward: Callable, backward: Callable):
        self.objective, self.forward, self.backward = objective, forward, backward
        self.terms, self.strips = {}, Strips()

    def __call__(self, x):
        """Return (value, gradient) at picture x, both for all terms together."""
        if launch.suit(x):  # on a GPU: again with smaller strips if its memory does not suffice
            return self.strips.fitted(partial(self._evaluate, x), launch.release)
        return self._evaluate(x)

    def _evaluate(self, x):
        terms, layers = {}, self.objective.layers
        acts = self.forward(x, layers) if layers else {}
        value, dacts, dx = self.objective(acts, x, terms)
        if dacts:
            through = self.backward(dacts)
            if dx is None:
                dx = through
            else:
                dx += through  # the network may own its array, dx is ours
        self.terms = terms
        return value, dx
