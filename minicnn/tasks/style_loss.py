"""The function that style transfer minimises; its formula stands in `tasks.style`."""

from functools import partial

import numpy as np

from minicnn import priors
from minicnn.backend import array_module
from minicnn.errors import MinicnnError
from minicnn.objectives import ContentLoss, GramStyleLoss, style_targets
from minicnn.tasks.walks import image_function, layer_weights, walk_of
from minicnn.weighted_sum import WeightedSum


def style_objective(
    net,
    content,
    style,
    *,
    content_layers,
    style_layers,
    content_weight,
    style_weight,
    tv_weight,
    gram="mean",
    engine="auto",
    threads=None,
):
    """Return J as a function of the picture, fun(x) -> (value, gradient).

    Parameters
    ----------
    net : Network
    content : array, shape (1, 3, H, W), preprocessed for `net`; x has its size
    style : array, shape (1, 3, H', W'), preprocessed; any size
    content_layers, style_layers : list of str, or dict name -> weight of that layer
    content_weight, style_weight, tv_weight : float, finite, not negative
        A term of weight 0 is not computed.
    gram : {"mean", "gatys", "lecture"}
        Normalisation of the style term, a row of `objectives.STYLE`.
    engine : {"auto", "explicit", "fast"}
        How the network is walked: explicit is `Network` itself, fast is `engine.walk` (on the CPU
        alone); auto takes the fast one where it can.
    threads : int, optional
        As `engine.threads.thread_count` says by default.

    Returns
    -------
    fun : ImageFunction
        value: float; gradient: array like x. `fun.terms` has the weighted value of each term of
        the last call: "content", "style", "tv" and "style.relu1_1" and so on.

    Raises
    ------
    MinicnnError
        If a layer is unknown, a weight is negative or not finite, all are 0, or a picture is
        too small for the layers.
    """
    for name, weight in (("content", content_weight), ("style", style_weight), ("tv", tv_weight)):
        if not 0 <= weight < float("inf"):
            raise MinicnnError(f"{name} weight {weight}; use a finite number that is not negative")
    walk = walk_of(net, engine, threads)
    objectives = {}
    if content_weight:
        weights = layer_weights(content_layers)
        targets = walk.forward(content, list(weights))
        objectives["content"] = (content_weight, ContentLoss(targets, weights))
    if style_weight:
        weights = layer_weights(style_layers)
        targets = style_targets(walk.forward(style, list(weights)))
        objectives["style"] = (style_weight, GramStyleLoss(targets, weights, gram))
    variation = partial(pixel_tv, grey_level=grey_level(net, content))
    objective = WeightedSum(objectives, {"tv": (tv_weight, variation)})
    return image_function(objective, walk, threads)


def pixel_tv(x, grey_level, variation=priors.tv):
    """Total variation of the picture in pixels 0..1, whatever the network's units: (value, dx)."""
    unit = 1 / (255 * grey_level)
    value, dx = variation(x * unit)
    dx *= unit
    return value, dx


def grey_level(net, like):
    """Return how much one grey level of 0..255 is in the network's units, shape (1, 3, 1, 1).

    In the library and dtype of the array `like`.
    """
    attrs = net.attrs["preprocess"]
    std = np.asarray(attrs.get("std", (1.0, 1.0, 1.0)), np.float64)
    unit = (float(attrs.get("scale", 1.0)) / std).astype(like.dtype)
    return array_module(like).asarray(unit).reshape(1, 3, 1, 1)
