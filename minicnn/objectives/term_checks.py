"""What losses and their sum refuse: unknown layers, weights, normalisations, shapes."""

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


def check_content(name, f, target):
    """Refuse an activation that cannot be compared with that of a content picture."""
    if f.shape[1:] != target.shape[1:] or len(target) not in (1, len(f)):
        raise MinicnnError(
            f"content layer {name}: activation {f.shape} against target {target.shape}; "
            "give the generated picture the size of the content picture"
        )


def check_gram(name, f, target):
    """Refuse an activation that cannot be compared with a Gram matrix."""
    fits = f.ndim == 4 and target.shape[-2:] == (f.shape[1], f.shape[1])
    if not fits or (target.ndim == 3 and len(target) not in (1, f.shape[0])):
        raise MinicnnError(
            f"style layer {name}: activation {f.shape} against a Gram matrix {target.shape}; "
            "activation (N,C,H,W) needs a matrix (C,C)"
        )


def positive(value):
    """Return a sum of squares to divide by; refuse 0."""
    if not value > 0:
        raise MinicnnError(
            "relative content loss: the target activation is all 0; use another layer or mean"
        )
    return value


def used_terms(objectives, priors):
    """Return the terms {name: (weight, term)} of both kinds whose weight is not 0."""
    for name, (weight, _) in [*objectives.items(), *priors.items()]:
        check_weight(weight, name)
    twice = sorted(set(objectives) & set(priors))
    if twice:
        raise MinicnnError(f"two terms are called {twice[0]!r}; give each its own name")
    kinds = [{n: term for n, term in terms.items() if term[0]} for terms in (objectives, priors)]
    if not any(kinds):
        raise MinicnnError("nothing to minimise: there is no term with a weight other than 0")
    return kinds
