"""Inversion: pictures that a layer of the network cannot tell from a given one.

Several pictures from several seeds show what the layer does not determine (figure 9 of the lecture
notes), several layers in a row what each of them keeps (figure 14). `inversion` has the formulas.
"""

import itertools
import warnings
from dataclasses import replace
from functools import partial

import numpy as np

from minicnn.backend import to_device, to_host
from minicnn.engine.select import Evaluation, evaluator_of, replaying
from minicnn.errors import MinicnnError
from minicnn.methods.inversion import energy as inversion_energy
from minicnn.objectives.layer_losses import sum_squares
from minicnn.optimizers import minimize
from minicnn.pictures.arrays import deprocess, preprocess, to_uint8
from minicnn.pictures.sheets import grid, labelled
from minicnn.runs import stages
from minicnn.runs.job import Outcome


def run(job, callback=None):
    """Make the picture of an `settings.Job`: one reconstruction, or a sheet of them.

    Returns
    -------
    style.Outcome
        Also after Ctrl-C, a stall or a NaN: what there is, and why it ended. `findings["layers"]`
        has the errors and the diversity of each layer.
    """
    evaluator = evaluator_of(job.net, Evaluation(job.settings.engine, job.settings.threads))
    parts, runs = [], []
    for layer in job.settings.layers:
        target = evaluator.forward(job.x, [layer], keep=False)[layer]
        if not sum_squares(target) > 0:
            raise MinicnnError(
                f"all activations of layer {layer} are 0 for this picture, there is nothing to "
                "invert; use another layer or another picture"
            )
        for seeds in _batches(job.settings):
            parts.append((layer, target))
            runs.append(
                (job.settings.iterations, partial(_invert, job, evaluator, layer, target, seeds))
            )
    outcomes = stages.run_all(runs, callback)
    found = {layer: [] for layer in job.settings.layers}
    targets = dict(parts)
    for (layer, _), outcome in zip(parts, outcomes, strict=False):
        found[layer].append(outcome)
    found = {layer: outcomes for layer, outcomes in found.items() if outcomes}
    pictures, rows = {}, []
    for layer, done in found.items():
        x = np.concatenate([to_host(outcome.x) for outcome in done])
        pictures[layer] = [to_uint8(deprocess(one[None], job.net.attrs["preprocess"])) for one in x]
        rows.append(_findings(job, evaluator, layer, targets[layer], x, pictures[layer], done))
    result = stages.summary([outcome.result for outcome in outcomes])
    return Outcome(_sheet(job, pictures, rows), result, {"layers": rows})


class _Inverted:
    """A batch of reconstructions: x (N, 3, H, W) in the network's units, and the result."""

    def __init__(self, x, result):
        self.x, self.result = x, result


def _batches(settings):
    """Return the seeds that are done at once.

    The steps of the first-order methods treat each picture by itself, so all go in one batch.
    L-BFGS would mix them, in its memory and in its line search: one at a time.
    """
    seeds = [settings.seed + i for i in range(settings.restarts)]
    return [[seed] for seed in seeds] if settings.preset == "lbfgs" else [seeds]


def _invert(job, evaluator, layer, target, seeds, callback=None):
    s, shape = job.settings, job.x.shape[1:]
    scale = job.scale
    weights = job.strengths(layer)
    terms = inversion_energy.energy_terms(s.preset, target, layer, weights, s.tv_beta)
    energy = partial(inversion_energy.Energy, terms, replaying(evaluator), scale)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an overflow ends the run in plain words
        if s.preset == "ijcv16":
            x, result = _with_jitter(job, layer, energy, seeds, callback)
        else:
            start = to_device(
                inversion_energy.noise(s.preset, shape, seeds, job.x.dtype), job.device
            )
            options = {}
            if s.preset == "cvpr15":
                options = {
                    "learning_rate": inversion_energy.cvpr15_rate(s.iterations),
                    "momentum": inversion_energy.MOMENTUM,
                    "restart": True,
                    "keep": "last",  # the best of a batch would tie its pictures together
                }
            name = (
                s.optimizer if s.preset == "lbfgs" else inversion_energy.PRESETS[s.preset].optimizer
            )
            result = minimize(
                name,
                energy(),
                start,
                iterations=s.iterations,
                max_evaluations=s.evaluations,
                callback=callback,
                **options,
            )
            x = result.x
    return _Inverted(x * scale, result)


def _with_jitter(job, layer, energy, seeds, callback):
    """Moving for 6/7 of the iterations, then from the middle at a tenth of the rate."""
    s, (channels, rows, columns) = job.settings, job.x.shape[1:]
    jitter = s.jitter or inversion_energy.jitter_of(job.net, layer)
    window = inversion_energy.Window(jitter, seeds)
    canvas = (channels, rows + jitter - 1, columns + jitter - 1)
    start = to_device(inversion_energy.noise(s.preset, canvas, seeds, job.x.dtype), job.device)
    rate = inversion_energy.ijcv16_rate(job.x.shape[1:])
    moving = max(1, s.iterations * 6 // 7)
    options = {"project": inversion_energy.into_ball, "keep": "last"}
    state = {"x": start}

    def first(watch):
        result = minimize(
            "adagrad",
            energy(window=window if jitter > 1 else None),
            start,
            iterations=moving,
            max_evaluations=s.evaluations,
            callback=watch,
            learning_rate=rate,
            **options,
        )
        state["x"] = inversion_energy.middle(result.x, job.size)
        return _Inverted(None, result)

    def second(watch):
        result = minimize(
            "adagrad",
            energy(),
            state["x"],
            iterations=s.iterations - moving,
            max_evaluations=s.evaluations,
            callback=watch,
            learning_rate=rate / 10,
            **options,
        )
        state["x"] = result.x
        return _Inverted(None, result)

    phases = [(moving, first)]
    if s.iterations > moving:
        phases.append((s.iterations - moving, second))
    outcomes = stages.run_all(phases, callback)
    result = stages.summary([outcome.result for outcome in outcomes])
    return state["x"], replace(result, x=state["x"])


def _findings(job, evaluator, layer, target, x, pictures, done):
    """Return what was measured of the reconstructions of a layer, plain values."""
    attrs = job.net.attrs["preprocess"]
    seen = np.concatenate([preprocess(picture, attrs) for picture in pictures])
    result = stages.summary([outcome.result for outcome in done])
    return {
        "layer": layer,
        "strengths": job.strengths(layer)._asdict(),
        "errors": _errors(evaluator, layer, target, to_device(x, job.device)),
        "picture_errors": _errors(evaluator, layer, target, to_device(seen, job.device)),
        "diversity": diversity(pictures),
        "energies": [outcome.result.value for outcome in done],
        "iterations": result.iterations,
        "evaluations": result.evaluations,
        "reason": result.reason,
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


def _sheet(job, pictures, rows):
    """One picture alone; a row of layers behind the source; or a row of restarts for each layer.

    Under each name stands the normalised error of the picture.
    """
    errors = {row["layer"]: row["picture_errors"] for row in rows}
    if job.settings.restarts == 1:
        if len(job.settings.layers) == 1:
            return next(iter(pictures.values()))[0]
        cells = [labelled(job.picture, "source\nerror")]
        for layer, made in pictures.items():
            cells.append(labelled(made[0], f"{layer}\n{errors[layer][0]:.2g}"))
        return grid(cells, len(cells))
    cells, columns = [], 1 + job.settings.restarts
    for number, (layer, made) in enumerate(pictures.items()):
        first = job.picture if number == 0 else np.full_like(job.picture, 255)
        row = [labelled(first, f"{layer}\nerror")]
        for i, picture in enumerate(made):
            row.append(labelled(picture, f"seed {job.settings.seed + i}\n{errors[layer][i]:.2g}"))
        cells += row + [None] * (columns - len(row))
    return grid(cells, columns)
