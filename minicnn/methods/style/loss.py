"""The function that style transfer minimises; its formula stands in `run`.

Several styles: their Gram matrices are mixed, `objectives.blend_targets`; or each has its own
region of the picture, `guidance`. Masks are given in pixels and brought to each layer here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minicnn.backend import array_module
from minicnn.engine.select import (
    Evaluation,
    device_function,
    evaluator_of,
    image_function,
    layer_weights,
    mean_grams,
)
from minicnn.errors import MinicnnError
from minicnn.methods.style.settings import check_counts
from minicnn.network.network import Network
from minicnn.network.sizes import layer_shapes
from minicnn.objectives.content import ContentLoss
from minicnn.objectives.gram import GramStyleLoss, blend_targets
from minicnn.objectives.guidance import GuidedStyleLoss, at_layer
from minicnn.objectives.priors import TV
from minicnn.objectives.weighted_sum import PictureFunction, WeightedSum
from minicnn.pictures.arrays import grey_level

Layers = Sequence[str] | Mapping[str, float]  # names, or name -> weight of that layer


def style_objective(
    net: Network,
    content: Any,
    style: Any,
    *,
    content_layers: Layers,
    style_layers: Layers,
    content_weight: float,
    style_weight: float,
    tv_weight: float,
    gram: str = "mean",
    content_loss: str = "mean",
    tv: str = "mean",
    blend: Sequence[float] | None = None,
    content_masks: Sequence | None = None,
    style_masks: Sequence | None = None,
    evaluation: Evaluation | None = None,
    **old: Any,
) -> PictureFunction:
    """Return J as a function of the picture, fun(x) -> (value, gradient).

    Parameters
    ----------
    net : Network
    content : array, shape (1, 3, H, W), preprocessed for `net`; x has its size
    style : array, shape (1, 3, H', W'), preprocessed; any size; or a list of such
    content_layers, style_layers : list of str, or dict name -> weight of that layer
    content_weight, style_weight, tv_weight : float, finite, not negative
        A term of weight 0 is not computed.
    gram : {"mean", "gatys", "lecture"}
        Normalisation of the style term, a row of `objectives.STYLE`.
    content_loss : {"mean", "sum", "half-sum", "relative"}
        Normalisation of the content term, a row of `objectives.CONTENT`.
    tv : {"mean", "neural-style", "absolute"}
        Form of the total variation, a row of `TV`.
    blend : list of float, optional
        One weight a style, their sum is made 1; equal by default. Not with content masks.
    content_masks : list of arrays (H, W), values 0..1, optional
        Where in the picture each of the styles is wanted. Elsewhere no style has a say.
    style_masks : list of arrays (H', W'), values 0..1, optional
        What part of each style picture is meant.
    evaluation : engine.select.Evaluation, optional
        Engine, threads, tiles, precision.
    **old
        `engine`, `threads`, `tile`, `precision`: the same one by one, as they were given before.

    Returns
    -------
    fun : ImageFunction, or the like
        value: float; gradient: array like x. `fun.terms` has the weighted value of each term of
        the last call: "content", "style", "tv" and "style.relu1_1" and so on.

    Raises
    ------
    MinicnnError
        If a layer is unknown, a weight is negative or not finite, all are 0, a picture is too
        small for the layers, or masks or blend weights are not one for each style.
    """
    for name, weight in (("content", content_weight), ("style", style_weight), ("tv", tv_weight)):
        if not 0 <= weight < float("inf"):
            raise MinicnnError(f"{name} weight {weight}; use a finite number that is not negative")
    if tv not in TV:
        raise MinicnnError(f"no total variation {tv!r}; use {', '.join(TV)}")
    styles = list(style) if isinstance(style, list | tuple) else [style]
    check_counts(len(styles), blend, content_masks, style_masks)
    how = replace(evaluation or Evaluation(), **old)
    evaluator = evaluator_of(net, how)
    objectives = {}
    if content_weight:
        weights = layer_weights(content_layers)
        targets = evaluator.forward(content, list(weights), keep=False)
        objectives["content"] = (content_weight, ContentLoss(targets, weights, content_loss))
    if style_weight:
        weights = layer_weights(style_layers)
        masks = style_masks or [None] * len(styles)
        targets = [
            _style_targets(net, evaluator, picture, mask, list(weights))
            for picture, mask in zip(styles, masks, strict=True)
        ]
        if content_masks:
            guides = _guides(net, content, content_masks, list(weights))
            grams = {name: _stacked([target[name] for target in targets]) for name in weights}
            loss = GuidedStyleLoss(grams, guides, weights, gram)
        else:
            mixed = blend_targets(targets, blend or [1.0] * len(styles))
            loss = GramStyleLoss(mixed, weights, gram)
        objectives["style"] = (style_weight, loss)
    variation = TV[tv](grey_level(net, content))
    objective = WeightedSum(objectives, {"tv": (tv_weight, variation)})
    compiled = device_function(objective, net, content, how)
    return compiled or image_function(objective, evaluator, how.threads)


def _style_targets(net, evaluator, picture, mask, layers):
    """Return the mean Gram matrices {layer: (1, C, C)} of a picture, or of its masked part."""
    if mask is None:
        return mean_grams(evaluator, picture, layers)
    guides = _guides(net, picture, [mask], layers)
    for name, guide in guides.items():
        if not guide.any():
            raise MinicnnError(f"a style mask leaves nothing of layer {name}; it covers too little")
    return mean_grams(
        evaluator, picture, layers, {name: guide[0] for name, guide in guides.items()}
    )


def _guides(net, picture, masks, layers):
    """Return {layer: (R, P, Q)}, the masks at each layer."""
    xp, fields = array_module(picture), net.receptive_fields()
    sizes = layer_shapes(net, layers, picture.shape[1:])
    return {
        name: xp.asarray(
            np.stack([at_layer(mask, fields[name], sizes[name][1:]) for mask in masks]),
            picture.dtype,
        )
        for name in layers
    }


def _stacked(grams):
    """Put the matrices (1, C, C) of the regions together, (R, C, C)."""
    return array_module(grams[0]).concatenate(grams)
