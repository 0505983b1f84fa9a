"""Inversion: pictures that a layer of the network cannot tell from a given one.

Several pictures from several seeds show what the layer does not determine (figure 9 of the lecture
notes), several layers in a row what each of them keeps (figure 14). `energy` has the formulas.
"""

import warnings
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn import optimizers
from minicnn.backend import check_finite, to_device, to_host
from minicnn.engine.select import Evaluation, activations, evaluator_of, replaying
from minicnn.errors import MinicnnError
from minicnn.methods.inversion import energy, findings
from minicnn.methods.inversion.settings import resolve
from minicnn.optimizers import Result
from minicnn.optimizers.trace import summary
from minicnn.pictures.arrays import deprocess, grey_level, preprocess, resize, to_uint8
from minicnn.runs.inputs import open_all
from minicnn.runs.search import Outcome, SearchJob, run_all


def open_job(settings, files=None):
    """Return the `InvertJob` of checked settings; raises `MinicnnError` if it would fail."""
    opened = open_all(settings, files, pool="max")
    settings = resolve(settings, opened.net)
    picture = resize(opened.pictures["image"], (settings.height, settings.width))
    x = to_device(preprocess(picture, opened.net.attrs["preprocess"]), opened.device)
    return opened.job(InvertJob, settings, x=x, picture=picture)


@dataclass(frozen=True, kw_only=True)
class InvertJob(SearchJob):
    """An inversion with nothing left open.

    Attributes
    ----------
    x : float32 (1, 3, H, W), the picture, preprocessed for `net`, on its device
    picture : uint8 (H, W, 3), the same as resized
    """

    x: np.ndarray
    picture: np.ndarray = field(repr=False)

    verb = "invert"

    @property
    def steps(self):
        """Iterations of the whole run."""
        s = self.settings
        return s.iterations * len(s.layers) * len(batches(s))

    @property
    def size(self):
        """Rows and columns of a reconstruction."""
        return self.x.shape[2:]

    @property
    def scale(self):
        """One unit of the x' that is searched for, in the network's: float32 (1, 3, 1, 1)."""
        unit = energy.unit(self.settings.preset, self.x.shape[1:])
        return grey_level(self.net, self.x) * self.x.dtype.type(unit)

    def strengths(self, layer):
        """Return the `energy.Strengths` for a layer."""
        s = self.settings
        by_preset = energy.strengths(s.preset, self.net, layer, self.x.shape[1:], s.tv_beta)
        own = {"data": s.data_weight, "alpha": s.alpha_weight, "tv": s.tv_weight}
        return by_preset._replace(**{k: v for k, v in own.items() if v is not None})

    def run(self, callback=None, minimize=None):
        """Make the picture, one reconstruction or a sheet of them; return the `Outcome`.

        Its `findings["layers"]` has the errors and the diversity of each layer.
        """
        s = self.settings
        evaluator = evaluator_of(self.net, Evaluation(s.engine, s.threads))
        targets = {layer: _target(self, evaluator, layer) for layer in s.layers}
        parts = [(layer, seeds) for layer in s.layers for seeds in batches(s)]
        how = {"minimize": minimize}
        runs = [
            (
                s.iterations,
                partial(reconstructed, self, evaluator, layer, targets[layer], seeds, **how),
            )
            for layer, seeds in parts
        ]
        found = run_all(runs, callback)
        done = {}
        for (layer, _), batch in zip(parts, found, strict=False):
            done.setdefault(layer, []).append(batch)
        pictures, rows = {}, []
        for layer, own in done.items():
            x = np.concatenate([to_host(batch.x) for batch in own])
            made = [to_uint8(deprocess(one[None], self.net.attrs["preprocess"])) for one in x]
            results, target = [batch.result for batch in own], targets[layer]
            rows.append(findings.of_layer(self, evaluator, layer, target, x, made, results))
            pictures[layer] = made
        result = summary([batch.result for batch in found])
        return Outcome(findings.sheet(self, pictures, rows), result, {"layers": rows})

    def colours(self, x):
        """Return the picture of x'."""
        return super().colours(energy.middle(x, self.size) * self.scale)

    def views(self, outcome):
        """Return {label: picture} of the sheet."""
        if self.settings.several:
            return {"": outcome.picture}
        return {"source": self.picture, "inverted": outcome.picture}

    @property
    def title(self):
        """What stands above a sheet."""
        s = self.settings
        return f"{super().title}: {Path(s.image).name} from {', '.join(s.layers)}"


class Batch(NamedTuple):
    """Reconstructions that were searched for at once."""

    x: Any  # array (N, 3, H, W) in the network's units
    result: Result


def _target(job, evaluator, layer):
    """Return the activation of the picture at a layer."""
    target = activations(evaluator, job.x, [layer])[layer]
    check_finite(target, f"activations of layer {layer}")
    if not target.any():
        raise MinicnnError(
            f"all activations of layer {layer} are 0 for this picture, there is nothing to "
            "invert; use another layer or another picture"
        )
    return target


def batches(settings):
    """Return the seeds that are done at once.

    The steps of the first-order methods treat each picture by itself, so all go in one batch.
    L-BFGS would mix them, in its memory and in its line search: one at a time.
    """
    seeds = [settings.seed + i for i in range(settings.restarts)]
    return [[seed] for seed in seeds] if settings.preset == "lbfgs" else [seeds]


def reconstructed(job, evaluator, layer, target, seeds, callback=None, minimize=None):
    """Return the `Batch` of a layer, from these seeds."""
    s, weights = job.settings, job.strengths(layer)
    terms = energy.energy_terms(s.preset, target, layer, weights, s.tv_beta)
    function = partial(energy.Energy, terms, replaying(evaluator), job.scale)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an overflow ends the run in plain words
        if s.preset == "ijcv16":
            result = _with_jitter(job, layer, function, seeds, callback, minimize)
        else:
            start = _start(job, job.x.shape[1:], seeds)
            options = {"iterations": s.iterations, "callback": callback}
            result = _minimize(job, minimize, function(), start, **options)
    return Batch(result.x * job.scale, result)


def _start(job, shape, seeds):
    """Return the noise to start from, on the device."""
    return to_device(energy.noise(job.settings.preset, shape, seeds, job.x.dtype), job.device)


def _minimize(job, minimize, function, start, **options):
    """Search as the preset does."""
    s = job.settings
    own = energy.PRESETS[s.preset].optimizer
    name = s.optimizer or own if s.preset == "lbfgs" else own
    if s.preset != "lbfgs":
        options["keep"] = "last"  # the best of a batch would tie its pictures together
    if s.preset == "cvpr15":
        rate = energy.cvpr15_rate(s.iterations)
        options |= {"learning_rate": rate, "momentum": energy.MOMENTUM, "restart": True}
    minimize = minimize or optimizers.minimize
    return minimize(name, function, start, max_evaluations=s.evaluations, **options)


def _with_jitter(job, layer, function, seeds, callback, minimize):
    """Move the window for 6/7 of the iterations, then stay in the middle at a tenth of the rate."""
    s, (channels, rows, columns) = job.settings, job.x.shape[1:]
    jitter = s.jitter or energy.jitter_of(job.net, layer)
    window = energy.Window(jitter, seeds) if jitter > 1 else None
    x = _start(job, (channels, rows + jitter - 1, columns + jitter - 1), seeds)

    def stage(iterations, rate, window, callback):
        nonlocal x
        options = {"iterations": iterations, "learning_rate": rate, "callback": callback}
        options["project"] = energy.into_ball
        result = _minimize(job, minimize, function(window=window), x, **options)
        x = energy.middle(result.x, job.size)
        return Batch(x, result)

    rate, moving = energy.ijcv16_rate((channels, rows, columns)), max(1, s.iterations * 6 // 7)
    stages = ((moving, rate, window), (s.iterations - moving, rate / 10, None))
    runs = [(how[0], partial(stage, *how)) for how in stages if how[0]]
    return replace(summary([batch.result for batch in run_all(runs, callback)]), x=x)
