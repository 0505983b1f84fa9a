"""Texture synthesis: a picture whose Gram matrices are those of a source.

    J(x) = Σ_l λ_l · E_l(x) + w_tv · TV(x)        E_l = 1/(4 C²) Σ (G_l(x)/M_l - G_l(source)/M'_l)²

    G_l = F_l F_lᵀ, F_l (C, M_l) the activations of layer l: C channels at M_l positions

Each Gram matrix is divided by its own number of positions, so x may be of any size, smaller or
larger than the source; for one size this is the published E_l. x starts as noise and is changed
until J is small.

Gatys, Ecker & Bethge 2015, arXiv 1505.07376 (equations 4 to 7 of the lecture notes, which leave
out the 1/C² of E_l). As theirs by default: equal weights; the first convolution and the poolings
behind it; average pooling; pixels kept between the least and the largest of the source; white
noise. Their "conv1_1" lies behind its ReLU, which in their program works in place: our relu1_1.

Equal weights are meant for their network, in which every channel is scaled to the mean activation
1 over many photographs (`minicnn weights normalize`). Without such weights one layer outweighs the
others. Scaling the channels by the source alone is no cure: a channel that fires in one place of
it becomes the loudest of all. By default we then divide each E_l by its value for a picture
without any activation, `relative`.

Two ways to go on from a texture: `torus` makes it one that repeats without a seam, and
`pictures.histograms` gives it the tones of the source to the letter.
"""

from dataclasses import replace

from minicnn.backend import array_module, check_finite
from minicnn.engine.cpu.threads import one_blas_thread
from minicnn.engine.select import (
    Evaluation,
    device_function,
    evaluator_of,
    image_function,
    layer_weights,
    mean_grams,
)
from minicnn.network.torus import tv_on_torus
from minicnn.objectives import priors
from minicnn.objectives.gram import STYLE, GramStyleLoss, style_targets
from minicnn.objectives.layer_losses import sum_squares
from minicnn.objectives.weighted_sum import WeightedSum
from minicnn.pictures.arrays import grey_level


@one_blas_thread()
def texture_objective(
    net,
    source,
    *,
    layers,
    weight=1.0,
    tv_weight=0.0,
    gram="gatys",
    relative=False,
    seamless=False,
    shape=None,
    evaluation=None,
    **old,
):
    """Return J as a function of the picture, fun(x) -> (value, gradient).

    Parameters
    ----------
    net : Network
        Normalised (see `folding`), or else `relative`, if all layers are to have about the same
        say.
    source : array, shape (1, 3, H', W'), preprocessed for `net`
    layers : list of str, or dict name -> λ
    weight, tv_weight : float
    gram : {"gatys", "mean", "lecture"}
        Normalisation of the Gram term, a row of `objectives.STYLE`.
    relative : bool
        Divide each E_l by what it is for a picture without any activation: E_l is then the squared
        error of the Gram matrix by the square of the matrix.
    seamless : bool
        See x as one tile of an endless wall; x needs rows and columns that are multiples of the
        stride of the deepest layer. The source, which is no tile, goes on as its mirror image
        beyond its edges, so that no zeros of the padding enter its Gram matrices: x could meet
        them with dark lines only.
    shape : (1, 3, H, W), optional
        Of x; that of the source by default. Only a function compiled for a GPU must know it.
    evaluation : engine.select.Evaluation, optional
        Engine, threads, tiles, precision.
    **old
        `engine`, `threads`, `tile`, `precision`: the same one by one, as they were given before.

    Returns
    -------
    fun : ImageFunction, or the like
        `fun.terms` has "style", "style.relu1_1", ..., "tv".
    """
    weights = layer_weights(layers)
    how = replace(evaluation or Evaluation(), **old)
    evaluator = evaluator_of(net, how)
    if seamless:
        targets = style_targets(_without_edges(net, evaluator, source, list(weights)))
        evaluator = evaluator_of(net, how, torus=True)
    else:
        targets = mean_grams(evaluator, source, list(weights))
    if relative:
        factor = STYLE[gram]
        for name, target in targets.items():
            check_finite(target, f"Gram products of layer {name}")
            weights[name] /= factor(target.shape[-1]) * sum_squares(target) or 1.0
    terms = {"style": (weight, GramStyleLoss(targets, weights, gram))}
    variation = priors.PixelPrior(grey_level(net, source), tv_on_torus if seamless else priors.tv)
    objective = WeightedSum(terms, {"tv": (tv_weight, variation)})
    compiled = None
    if not seamless:
        x = source if shape is None else array_module(source).empty(shape, source.dtype)
        compiled = device_function(objective, net, x, how)
    return compiled or image_function(objective, evaluator, how.threads)


def _without_edges(net, evaluator, source, layers):
    """Return the activations at the positions of the source, mirrored beyond its edges."""
    xp, fields = array_module(source), net.receptive_fields()
    margins = []
    for axis in (0, 1):
        step = max(fields[name].stride[axis] for name in layers)
        reach = max(fields[name].size[axis] for name in layers) // 2
        margins.append(-(-reach // step) * step)
    rows, columns = margins
    wide = xp.pad(source, ((0, 0), (0, 0), (rows, rows), (columns, columns)), mode="reflect")
    acts = evaluator.forward(wide, layers, keep=False)
    for name, f in acts.items():
        top, left = (m // s for m, s in zip(margins, fields[name].stride, strict=True))
        acts[name] = f[:, :, top : f.shape[2] - top, left : f.shape[3] - left]
    return acts
