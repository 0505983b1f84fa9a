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
from minicnn.network.torus import tv_on_torus
from minicnn.objectives import priors
from minicnn.objectives.gram import STYLE, GramStyleLoss, style_targets
from minicnn.objectives.layer_losses import sum_squares
from minicnn.objectives.weighted_sum import WeightedSum
from minicnn.pictures.arrays import deprocess, grey_level, to_uint8
from minicnn.pictures.histograms import match_histogram
from minicnn.pictures.sheets import grid, labelled
from minicnn.runs import stages
from minicnn.runs.job import Outcome
from minicnn.runs.search import search

MEMORY = 20  # pairs that L-BFGS remembers, as in the authors' program


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
            weights[name] /= factor(target.shape[-1]) * sum_squares(target) or 1.0
    terms = {"style": (weight, GramStyleLoss(targets, weights, gram))}
    variation = priors.PixelTV(grey_level(net, source), tv_on_torus if seamless else priors.tv)
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


def run(job, callback=None):
    """Make the picture of a `settings.Job`: a texture, or the sheet of a sweep.

    Returns
    -------
    style.Outcome
        Also after Ctrl-C, a stall or a NaN: the best picture so far, and why it ended.
    """
    if job.settings.sweep:
        return _sweep(job, callback)
    return synthesise(job, 0, job.settings.layers, callback)


def synthesise(job, number, layers, callback=None):
    """Make a texture of source `number` from these layers (name -> weight)."""
    s = job.settings
    fun = texture_objective(
        job.nets[number],
        job.sources[number],
        layers=layers,
        tv_weight=s.tv_weight,
        gram=s.gram,
        relative=s.normalize == "layers",
        seamless=s.seamless,
        shape=job.start.shape,
        evaluation=Evaluation(s.engine, s.threads, s.tile),
    )
    level = grey_level(job.net, job.start)
    bounds = job.bounds(number)
    result = search(s, fun, job.start, level, pairs=MEMORY, callback=callback, bounds=bounds)
    return Outcome(picture(job, result.x, number), result)


def picture(job, x, number=0):
    """Return the picture uint8 (H, W, 3) of x, with the histogram of the source if asked for."""
    return to_uint8(colours(job, x, number))


def colours(job, x, number=0):
    """Return the same before it is rounded and clipped, float64 in 0..255."""
    rgb = deprocess(x, job.net.attrs["preprocess"])
    if job.settings.histogram:
        return match_histogram(np.clip(rgb, 0, 255), job.pictures[number])
    return rgb


def steps_of_sweep(layers):
    """Return the layers of each row of figure 12: the first alone, the first two, and so on."""
    names = list(layers)
    return [{name: layers[name] for name in names[: i + 1]} for i in range(len(names))]


def _sweep(job, callback):
    """Rows: more and more layers, at last the sources; columns: sources."""
    rows = steps_of_sweep(job.settings.layers)
    cells = [(layers, number) for layers in rows for number in range(len(job.sources))]

    def run_of(layers, number):
        return lambda watch: synthesise(job, number, layers, watch)

    outcomes = stages.run_all(
        [(job.settings.iterations, run_of(*cell)) for cell in cells], callback
    )
    made = [outcome.picture for outcome in outcomes]
    made += [None] * (len(cells) - len(made))
    runs = [
        {
            "source": job.settings.sources[number],
            "layers": list(layers),
            "losses": outcome.losses,
            "iterations": outcome.result.iterations,
            "reason": outcome.result.reason,
        }
        for (layers, number), outcome in zip(cells, outcomes, strict=False)
    ]
    result = stages.summary([outcome.result for outcome in outcomes])
    return Outcome(_sheet(job, rows, made), result, {"runs": runs})


def _sheet(job, rows, made):
    columns = len(job.sources)
    texts = [("+ " if i else "") + list(layers)[-1] for i, layers in enumerate(rows)]
    cells = []
    for i, text in enumerate([*texts, "source"]):
        row = made[i * columns : (i + 1) * columns] if i < len(rows) else job.pictures
        cells += [
            None if cell is None else labelled(cell, text if j == 0 else " ")
            for j, cell in enumerate(row)
        ]
    return grid(cells, columns)
