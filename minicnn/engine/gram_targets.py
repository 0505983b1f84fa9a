"""What Gram matrices a picture is to have: of whole style pictures, of their parts, or blended.

    one style       A_l, the mean Gram matrix of its activations at layer l
    several         Σ_k b_k A_l^k with b = blend / Σ blend; a Gram matrix is linear in what it sums
    by regions      each style's own A_l, compared within its mask: `objectives.guidance`

Masks are given in pixels and brought to each layer here.
"""

import numpy as np

from minicnn.backend import array_module
from minicnn.engine.select import layer_weights, mean_grams
from minicnn.errors import MinicnnError
from minicnn.objectives.gram import GramStyleLoss
from minicnn.objectives.guidance import GuidedStyleLoss, at_layer


def style_loss(net, evaluator, content, styles, layers, normalisation, blend, masks):
    """Return the style term of a style transfer, a `GramStyleLoss` or a `GuidedStyleLoss`.

    `evaluator` is from `engine.select.evaluator_of`, `content` (1, 3, H, W) counts for its size
    alone, `styles` is a list of arrays (1, 3, H', W'). The others are those of
    `loss.style_objective`, and `masks` its (content_masks, style_masks).
    """
    weights, (content_masks, style_masks) = layer_weights(layers), masks
    targets = [
        _mean_grams(net, evaluator, picture, mask, list(weights))
        for picture, mask in zip(styles, style_masks or [None] * len(styles), strict=True)
    ]
    if content_masks:
        guides = _guides(net, content, content_masks, list(weights))
        xp = array_module(content)
        grams = {  # (R, C, C), of the regions
            name: xp.concatenate([target[name] for target in targets]) for name in weights
        }
        return GuidedStyleLoss(grams, guides, weights, normalisation)
    return GramStyleLoss(blended(targets, blend or [1.0] * len(styles)), weights, normalisation)


def blended(targets, weights):
    """Mix the targets of several style pictures: Σ_k b_k A_k, with b = weights / Σ weights.

    `targets` has {layer: mean Gram matrix} of each picture, with the same layers.
    """
    total = float(sum(weights))
    if len(weights) != len(targets) or min(weights, default=-1) < 0 or not 0 < total < float("inf"):
        raise MinicnnError(
            f"blend weights {list(weights)} for {len(targets)} style pictures; "
            "give one number per picture, none negative and not all 0"
        )
    shares = [float(b) / total for b in weights]
    return {
        name: sum(b * target[name] for b, target in zip(shares, targets, strict=True))
        for name in targets[0]
    }


def _mean_grams(net, evaluator, picture, mask, layers):
    """Return the mean Gram matrices {layer: (1, C, C)} of a picture, or of its masked part."""
    if mask is None:
        return mean_grams(evaluator, picture, layers)
    guides = _guides(net, picture, [mask], layers)
    for name, guide in guides.items():
        if not guide.any():
            raise MinicnnError(f"a style mask leaves nothing of layer {name}; it covers too little")
    first = {name: guide[0] for name, guide in guides.items()}
    return mean_grams(evaluator, picture, layers, first)


def _guides(net, picture, masks, layers):
    """Return {layer: (R, P, Q)}, the masks at each layer."""
    xp, fields = array_module(picture), net.receptive_fields()
    sizes = net.shapes(picture.shape[1:], layers)
    return {
        name: xp.asarray(
            np.stack([at_layer(mask, fields[name], sizes[name][1:]) for mask in masks]),
            picture.dtype,
        )
        for name in layers
    }
