"""What was found of reconstructions: their errors, how they differ, and the sheet of them."""

import itertools

import numpy as np

from minicnn.backend import to_device
from minicnn.objectives.layer_losses import sum_squares
from minicnn.optimizers.trace import summary
from minicnn.pictures.arrays import preprocess
from minicnn.pictures.overlays import magnified
from minicnn.pictures.sheets import grid, labelled, side_by_side


def of_layer(job, evaluator, layer, target, x, pictures, results):
    """Return what was measured of the reconstructions of a layer, plain values.

    Parameters
    ----------
    evaluator : what has `forward`, see `engine.select`
    target : array, the activation of the source
    x : float32 (N, 3, H, W), the reconstructions in the network's units
    pictures : list of uint8 (H, W, 3), the same rounded and clipped
    results : list of optimizers.Result, behind them
    """
    attrs = job.net.attrs["preprocess"]
    seen = np.concatenate([preprocess(picture, attrs) for picture in pictures])
    together = summary(results)
    return {
        "layer": layer,
        "strengths": job.strengths(layer)._asdict(),
        "errors": _errors(evaluator, layer, target, to_device(x, job.device)),
        "picture_errors": _errors(evaluator, layer, target, to_device(seen, job.device)),
        "diversity": diversity(pictures),
        "energies": [result.value for result in results],
        "iterations": together.iterations,
        "evaluations": together.evaluations,
        "reason": together.reason,
    }


def _errors(evaluator, layer, target, x):
    """Return |Φ(x) - Φ0|² / |Φ0|² of each picture."""
    norm = sum_squares(target)
    return [
        sum_squares(evaluator.forward(x[n : n + 1], [layer], keep=False)[layer] - target) / norm
        for n in range(len(x))
    ]


def diversity(pictures):
    """Return the root mean square difference of two of the pictures, over all pairs; grey levels.

    None for a single picture.
    """
    pairs = list(itertools.combinations([p.astype(np.float64) for p in pictures], 2))
    if not pairs:
        return None
    return float(np.sqrt(np.mean([np.mean((a - b) ** 2) for a, b in pairs])))


def sheet(job, pictures, rows):
    """Return one picture alone; or a row of layers; or a row of restarts for each layer.

    The source stands first, and small pictures are enlarged. Under each name stands the normalised
    error of the picture.

    Parameters
    ----------
    pictures : dict, layer -> list of uint8 (H, W, 3), one a restart
    rows : list of what `of_layer` returns
    """
    errors = {row["layer"]: row["picture_errors"] for row in rows}
    s = job.settings
    if not s.several:
        return next(iter(pictures.values()))[0]

    if s.restarts == 1:
        views = {"source": job.picture}
        views |= {f"{n}\nerror {errors[n][0]:.2g}": made[0] for n, made in pictures.items()}
        row = side_by_side([magnified(v) for v in views.values()], list(views), paper=s.paper)
        return job.figure(row)
    cells = [labelled(magnified(job.picture), "source", paper=s.paper)]
    for number, (layer, made) in enumerate(pictures.items()):
        cells += [None] * (number > 0)
        for i, picture in enumerate(made):
            text = f"{layer}, seed {s.seed + i}\nerror {errors[layer][i]:.2g}"
            cells.append(labelled(magnified(picture), text, paper=s.paper))
        cells += [None] * (s.restarts - len(made))  # it was interrupted
    return job.figure(grid(cells, 1 + s.restarts, paper=s.paper))
