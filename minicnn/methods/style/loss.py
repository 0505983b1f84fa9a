"""What style transfer minimises, as a function of the picture x (equations 1 to 8).

    J(x) = w_content · Σ_l λ_l c_l Σ (F_l - P_l)²          `objectives.content`
         + w_style   · Σ_l λ_l c_l Σ (G_l / M_l - A_l)²    `objectives.gram`
         + w_tv      · TV(x), for tv="mean" of x in 0..1   `objectives.total_variation`

    dJ/dx = backward({l: dJ/dF_l}) + w_tv · dTV/dx         `Network.backward`

    F_l  activations of x at layer l, (C, M)          P_l  those of the content picture
    G_l  = F_l F_lᵀ, the Gram matrix                  A_l  G_l / M_l of the style picture

P_l and A_l are computed once, by a forward pass of each picture; then the network is walked
forward and backward for every x. The constants c_l make every term a mean by default, so that its
weight means the same at any picture size.

Gatys, Ecker & Bethge 2015, arXiv 1508.06576. They give every layer a factor 1/(4 C²) in the place
of 1/C⁴: `gram="gatys"`. `engine.gram_targets` has several styles, blended or in regions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from minicnn.engine import select
from minicnn.engine.gram_targets import style_loss
from minicnn.errors import MinicnnError
from minicnn.methods.style.settings import check_counts
from minicnn.network.network import Network
from minicnn.objectives.content import ContentLoss
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
    evaluation: select.Evaluation | None = None,
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
    how = replace(evaluation or select.Evaluation(), **old)
    # net.forward and net.backward themselves with engine="explicit", else the same numbers faster
    evaluator = select.evaluator_of(net, how)

    objectives = {}  # name -> (weight, objective)
    if style_weight:
        masks = (content_masks, style_masks)
        loss = style_loss(net, evaluator, content, styles, style_layers, gram, blend, masks)
        objectives["style"] = (style_weight, loss)
    if content_weight:
        weights = select.layer_weights(content_layers)  # {l: λ_l}
        # last: if x starts as the content picture, this is the forward pass of the first x, too
        P, evaluator = select.activations_ahead(evaluator, content, list(weights), objectives)
        loss = ContentLoss(P, weights, content_loss)
        objectives = {"content": (content_weight, loss)} | objectives
    J = WeightedSum(objectives, {"tv": (tv_weight, TV[tv](grey_level(net, content)))})

    compiled = select.device_function(J, net, content, how)  # J compiled for a GPU, or None
    # else x -> (J, dJ/dx) by evaluator.forward, J and evaluator.backward
    return compiled or select.image_function(J, evaluator, how.threads)
