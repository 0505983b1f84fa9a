"""What losses of named layers refuse: unknown layers, weights and normalisations."""

from minicnn.errors import MinicnnError


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
