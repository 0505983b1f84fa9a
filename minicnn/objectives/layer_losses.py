"""What losses of named layers share: sums, weights, the sum over the layers."""

import numpy as np

from minicnn.backend import array_module
from minicnn.errors import MinicnnError


def sum_squares(a):
    """Sum of squares in float64: exact to about 1e-15, without a float64 copy of the array."""
    xp = array_module(a)
    if xp is not np:
        return float(xp.sum(xp.square(a), dtype=xp.float64))
    flat = a.ravel(order="K")
    block = 65536  # half a megabyte of float64, which stays in the cache between cast and product
    total = 0.0
    for start in range(0, flat.size, block):
        part = flat[start : start + block].astype(np.float64, copy=False)
        total += float(part @ part)
    return total


def over_layers(loss, acts, weight, report, term):
    """Return (sum of the weighted terms, {layer: gradient}) of a loss with one term a layer.

    `term(name, f, factor)` returns (value, gradient) of a layer.
    """
    total, gradients = 0.0, {}
    for name, layer_weight in loss.weights.items():
        f = activation(acts, name)
        loss.check(name, f)
        factor = weight * layer_weight * loss.factors[name]
        value, gradients[name] = term(name, f, factor)
        total += value
        if report is not None:
            report[name] = value
    return total, gradients


def activation(acts, name):
    """Return the activation of a layer; an unknown one is an error that lists those there are."""
    if name not in acts:
        there = ", ".join(acts) or "none"
        raise MinicnnError(f"no activation of layer {name!r}; there are {there}")
    return acts[name]


def used_weights(targets, weights, kind):
    """Return {layer: weight}, 1 by default, without layers of weight 0."""
    weights = weights or {}
    for name, weight in weights.items():
        if name not in targets:
            raise MinicnnError(
                f"weight for {kind} layer {name!r}, which has no target; "
                f"there are {', '.join(targets) or 'none'}"
            )
        check_weight(weight, f"{kind} layer {name}")
    chosen = {name: weights.get(name, 1.0) for name in targets}
    if not any(chosen.values()):
        raise MinicnnError(f"no {kind} layer with a weight other than 0; name at least one")
    return {name: weight for name, weight in chosen.items() if weight}


def check_weight(weight, name):
    """Refuse a weight that is not finite."""
    if not abs(weight) < float("inf"):
        raise MinicnnError(f"weight {weight} of {name}; use a finite number")


def row_of(table, normalisation, kind):
    """Return the row of a table of normalisations."""
    if normalisation not in table:
        raise MinicnnError(f"no {kind} normalisation {normalisation!r}; use {', '.join(table)}")
    return table[normalisation]
