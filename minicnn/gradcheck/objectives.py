"""Where `minicnn gradcheck` tries the gradient of each objective and image prior.

An objective maps activations to a number and one gradient for each layer, a prior maps a picture
to a number and its gradient. Powers with a kink at 0 get values that keep away from it.
"""

from functools import partial

from minicnn.gradcheck.ops import Case, distinct
from minicnn.objectives import class_score, content, gram, guidance, priors, temporal, weighted_sum


def _objective(name, objective, acts):
    """A case of an objective: {layer: activation} -> value, {layer: gradient}."""
    return Case(
        name,
        lambda acts: objective(acts)[0],
        lambda dy, acts: {layer: dy * grad for layer, grad in objective(acts)[1].items()},
        acts,
    )


def _two_layers(rng):
    shapes = {"relu1": (2, 3, 5, 4), "relu2": (2, 4, 2, 3)}
    return [{name: rng.standard_normal(shape) for name, shape in shapes.items()} for _ in "ab"]


def _content(rng):
    acts, target = _two_layers(rng)
    for kind in content.CONTENT:
        yield _objective(kind, content.ContentLoss(target, {"relu2": 0.5}, kind), acts)


def _style(rng):
    acts, picture = _two_layers(rng)
    target = gram.style_targets(picture)
    for kind in gram.STYLE:
        yield _objective(kind, gram.GramStyleLoss(target, {"relu2": 0.5}, kind), acts)


def _guided_style(rng):
    acts, picture = _two_layers(rng)
    guides = {name: rng.uniform(0, 1, (3, *f.shape[2:])) for name, f in acts.items()}
    for masks in guides.values():
        masks[0, :, 1] = 0
        masks[2, 0] = 1
    targets = {name: guidance.guided_gram(f, guides[name])[0] for name, f in picture.items()}
    for kind in gram.STYLE:
        loss = guidance.GuidedStyleLoss(targets, guides, {"relu2": 0.5}, kind)
        yield _objective(kind, loss, acts)


def _class_score(rng):
    for name, shape in [("scores", (2, 5)), ("mean of a map", (2, 5, 3, 4))]:
        yield _objective(
            name, class_score.ClassScore("fc8", 3), {"fc8": rng.standard_normal(shape)}
        )


def _weighted_sum(rng):
    acts, picture = _two_layers(rng)
    terms = {
        "content": (2.0, content.ContentLoss({"relu2": picture["relu2"]})),
        "style": (3.0, gram.GramStyleLoss(gram.style_targets(picture))),
    }
    total = weighted_sum.WeightedSum(terms, {"tv": (0.5, priors.tv)})

    def on_picture_and_layers(point):
        value, dacts, dx = total({name: point[name] for name in acts}, point["x"])
        return value, {**dacts, "x": dx}

    x = rng.standard_normal((2, 3, 4, 5))
    yield _objective("content, style, tv", on_picture_and_layers, {"x": x, **acts})


def prior_cases(prior, *variants):
    """Return the function of rng that makes the cases of a prior, one for each dict of options."""

    def cases(rng):
        for options in variants:
            yield Case(
                ", ".join(f"{key} {value}" for key, value in options.items()) or "default",
                lambda x, options=options: prior(x, **options)[0],
                lambda dy, x, options=options: dy * prior(x, **options)[1],
                distinct(rng, (2, 3, 5, 4)),
            )

    return cases


def _temporal(rng):
    target, certain = rng.standard_normal((2, 3, 5, 4)), rng.uniform(0, 1, (5, 4))
    near = partial(temporal.temporal, target=target, certain=certain)
    yield from prior_cases(near, {})(rng)


CASES = {
    "content": _content,
    "style": _style,
    "guided_style": _guided_style,
    "class_score": _class_score,
    "weighted_sum": _weighted_sum,
    "temporal": _temporal,
    "tv": prior_cases(priors.tv, {}, {"normalisation": "sum"}),
    "tv_beta": prior_cases(priors.tv_beta, {"beta": 1.0}, {"beta": 1.5}, {"beta": 3.0}),
    "tv_neural_style": prior_cases(priors.tv_neural_style, {}, {"normalisation": "mean"}),
    "tv_absolute": prior_cases(priors.tv_absolute, {}, {"normalisation": "mean"}),
    "alpha_norm": prior_cases(priors.alpha_norm, {}, {"alpha": 1.5}, {"alpha": 2.0}),
    "colour_norm": prior_cases(priors.colour_norm, {}, {"alpha": 3.0}, {"normalisation": "sum"}),
}
