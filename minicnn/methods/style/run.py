"""Neural style transfer: the content of one picture in the style of another.

    J(x) = w_content · Σ_l λ_l · mean (F_l(x) - F_l(content))²
         + w_style   · Σ_l λ_l · mean (G_l(x) - G_l(style))²
         + w_tv      · mean of the squared neighbour differences of x in pixels 0..1

    F_l  activations (C, M) of layer l          G_l = F_l F_lᵀ / (C M), its Gram matrix
    dJ/dx = backward({l: dJ/dF_l}) + w_tv · dTV/dx

Every term is a mean: its weight means the same at any picture size. x starts as the content
picture, as noise or as a given picture and is changed until J is small; the network stays fixed.
That is done at a small size first, then at twice the size from there, up to the full one.

Gatys, Ecker & Bethge 2015, arXiv 1508.06576 (equations 1 to 7; equations 1, 2 and 4 to 8 of the
lecture notes). They give every layer a factor 1/(4 C²) in the place of 1/C⁴: `gram="gatys"`.
`loss` builds J, `settings` turns settings and files into its arrays.
"""

from dataclasses import replace
from functools import partial

from minicnn.pictures.arrays import grey_level, picture, resampled
from minicnn.runs import stages
from minicnn.runs.job import Outcome
from minicnn.runs.search import search


def run(job, callback=None):
    """Make the picture of a `settings.Job`, from its smallest size to the largest.

    What a network sees at once is a certain number of pixels: a small picture gets the large
    strokes, and its result, enlarged, is where the next size starts.

    Parameters
    ----------
    job : Job, checked, with every setting filled in
    callback : callable, callback(iteration, x, value, info), optional
        See `optimizers.minimize`.

    Returns
    -------
    Outcome
        Also after Ctrl-C, a stall or a NaN: the best picture so far, and why it ended.
    """
    runs, reached = [], {}
    for iterations, stage in job.stages():
        runs.append((iterations, partial(_run_stage, stage, iterations, reached)))
    results = [outcome.result for outcome in stages.run_all(runs, callback)]
    last = stages.summary(results)
    last = replace(last, x=resampled(last.x, job.content.shape[2:], job.net))
    return Outcome(job.snapshot(last.x), last)


def _run_stage(job, iterations, reached, callback):
    """Minimise at one size, from the x that the size before has `reached`, if there was one."""
    start = job.start
    if reached:
        start = resampled(reached["x"], start.shape[2:], job.net)
    result = search(
        job.settings,
        job.function(),
        start,
        grey_level(job.net, start),
        iterations=iterations,
        callback=callback,
        **job.search_options(),
    )
    reached["x"] = result.x
    return Outcome(picture(result.x, job.net), result)
