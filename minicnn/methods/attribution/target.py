"""What is attributed: one number S of each picture, the value of a unit; and its gradient.

S[n]    = y[n, k_n, p_n, q_n]          a unit at a position; a class is a unit of the scores
S[n]    = Σ over p, q of y[n, k_n, p, q]          or at all positions

dS/dy   = 1 there, 0 elsewhere, taken down by the chain rule
"""

from dataclasses import dataclass

import numpy as np

from minicnn.backend import array_module, to_host
from minicnn.methods.deconvnet.projection import make_seed


@dataclass(frozen=True)
class Target:
    """A unit of `layer` for each of N pictures.

    Attributes
    ----------
    layer : str
    units : int array (N,)
    positions : "all", or int array (N, 2) of rows and columns
    """

    layer: str
    units: np.ndarray
    positions: object = "all"

    def repeated(self, times):
        """Return the target of the N pictures one after the other, so many times."""
        at_all = isinstance(self.positions, str)
        positions = self.positions if at_all else np.tile(self.positions, (times, 1))
        return Target(self.layer, np.tile(self.units, times), positions)

    def seed(self, y):
        """Return dS/dy for y (N, K, P, Q)."""
        xp = array_module(y)
        at_all = isinstance(self.positions, str)
        positions = self.positions if at_all else xp.asarray(self.positions)
        return make_seed(y, self.layer, xp.asarray(self.units), positions, "one")[0]


def at_maximum(y, layer, units):
    """Return the `Target` of each unit at the largest value of its map in y (N, K, P, Q)."""
    positions = make_seed(y, layer, array_module(y).asarray(units), "max", "one")[2]
    return Target(layer, np.asarray(units), to_host(positions))


def value_and_gradient(evaluator, x, target, rule="gradient"):
    """Return S, float64 (N,) on the host, and dS/dx (N, 3, H, W).

    Parameters
    ----------
    evaluator : Network, or what evaluates one
    x : array (N, 3, H, W), preprocessed
    target : Target
    rule : str, of `ops.relu.RULES`; only "gradient" is one
    """
    y = evaluator.forward(x, [target.layer])[target.layer]
    seed = target.seed(y)
    values = (y * seed).sum(axis=(1, 2, 3), dtype="float64")
    return to_host(values), evaluator.backward({target.layer: seed}, rule)


def layer_gradient(evaluator, x, target, layer):
    """Return the activation A (N, K, P, Q) of a layer, and dS/dA; None where S is not above it."""
    acts = evaluator.forward(x, [layer, target.layer])
    seed = target.seed(acts[target.layer])
    return acts[layer], evaluator.gradient_at(layer, {target.layer: seed})
