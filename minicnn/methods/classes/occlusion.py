"""Cover a picture here and there, and see what the network makes of it.

A grey square is moved over the picture, and for each of its places three numbers are taken:

    activation    the sum over all positions of one map of a layer: that of the unit whose map is
                  strongest in the uncovered picture
    probability   of the class
    label         the most probable class

Zeiler & Fergus 2014, arXiv 1311.2901, section 4.2 and figure 7 (b), (d) and (e); (c) is that unit's
projection by the deconvnet. A map has one entry for every `step` pixels, and the square is in the
middle of what the entry stands for, so that the maps lie on the picture; at the edges part of the
square is outside. Grey is the mean colour of the network's pictures unless told otherwise.
"""

import numpy as np

from minicnn.backend import array_module, to_device, to_host
from minicnn.errors import MinicnnError
from minicnn.methods.classes.scores import (
    class_name,
    last_map_layer,
    scores_layer,
    short,
    softmax,
    told,
    wanted_or_top,
)
from minicnn.methods.deconvnet.projection import project
from minicnn.pictures.arrays import as_pixels, preprocess
from minicnn.pictures.lettering import Scale
from minicnn.pictures.overlays import (
    COLOURS,
    boxed,
    enlarged,
    heat,
    magnified,
    over,
    regions,
    strength,
    unit_range,
)
from minicnn.pictures.sheets import side_by_side
from minicnn.runs.look_run import Look, LookJob, open_look

WINDOW, STEP = 5, 15  # of a side: the square is a fifth of it, the step a fifteenth
BATCH = 8  # covered copies that go up together
COLUMNS = "A place of a map has what is measured with the grey square around it."


def open_job(settings, files=None):
    """Return the `OcclusionJob` of checked settings; raises `MinicnnError` if it would fail."""
    job = open_look(settings, OcclusionJob, files)
    scores_layer(job.net, job.x.shape[2:])
    side = min(job.x.shape[2:])
    for name in ("window", "step"):
        if (getattr(settings, name) or 1) > side:
            raise MinicnnError(
                f"{name} = {getattr(settings, name)}; use 1 to {side} pixels, as the picture has"
            )
    return job


class OcclusionJob(LookJob):
    """A picture, a network, a class, and a square."""

    verb = "occlusion"

    @property
    def window(self):
        """The side of the square in pixels."""
        return self.settings.window or max(1, min(self.x.shape[2:]) // WINDOW)

    @property
    def step(self):
        """Pixels from one place to the next."""
        return self.settings.step or max(1, min(self.x.shape[2:]) // STEP)

    @property
    def steps(self):
        """Places of the square."""
        return int(np.prod([-(-side // self.step) for side in self.x.shape[2:]]))

    def run(self, progress=None):
        """Return the `Look`."""
        net = self.net
        scores_at = scores_layer(net, self.x.shape[2:])
        layer = self.settings.layer or last_map_layer(net, scores_at, self.x.shape[1:])
        acts = self.evaluator.forward(self.x, [layer, scores_at], keep=False)
        scores = to_host(acts[scores_at])[0, :, 0, 0]
        totals = to_host(acts[layer].sum(axis=(2, 3), dtype="float64"))[0]
        unit = self._unit(totals, layer)
        index = wanted_or_top(net, scores, self.settings.wanted_class)
        at = (layer, unit, scores_at, index)
        maps = occlude(self.evaluator, self.x, self._cover(), self.window, self.step, *at, progress)
        base = {
            "layer": layer,
            "unit": unit,
            "activation": float(totals[unit]),
            **told(net, scores, index),
            "window": self.window,
            "step": self.step,
        }
        dx = project(self.evaluator, self.x, layer, [unit]).dx
        return self._look(maps, base, as_pixels(dx, net))

    def _unit(self, totals, layer):
        if self.settings.unit == "max":
            return int(totals.argmax())
        unit = int(self.settings.unit)
        if unit >= len(totals):
            raise MinicnnError(f"no unit {unit} in layer {layer}; use 0 to {len(totals) - 1}")
        return unit

    def _cover(self):
        """Return what the square shows, array (1, 3, 1, 1) in the units of the input."""
        grey = self.settings.grey
        if grey is None:
            return array_module(self.x).zeros_like(self.x[:, :, :1, :1])
        pixel = np.full((1, 1, 3), grey, np.uint8)
        x = preprocess(pixel, self.net.attrs["preprocess"]).astype(self.net.dtype, copy=False)
        return to_device(x, self.device)

    def _look(self, maps, base, delta):
        activation, probability, label = maps
        step, shape, name = self.step, self.picture.shape[:2], short(base["name"])
        wide = [enlarged(m, (step, step), shape) for m in maps]
        lost = {
            what: unit_range(np.maximum(base[what] - values, 0), low=0)
            for what, values in zip(("activation", "probability"), wide, strict=False)
        }
        colours, labels, shares = _legend(label, self.net)
        grey = self.picture.astype(np.float64) @ (0.299, 0.587, 0.114)
        mixed = 0.45 * grey[..., np.newaxis] + 0.55 * regions(wide[2], colours)
        mixed = np.rint(mixed).astype(np.uint8)
        middle = square([side // 2 for side in label.shape], step, self.window)
        title = f"{base['layer']} unit {base['unit']}"
        most = max(1e-9, probability.max())
        panels = {
            f"picture, square {self.window} x {self.window}": boxed(self.picture, middle),
            f"activation of {title}": heat(unit_range(wide[0])),
            f"probability of {name}": heat(unit_range(wide[1], 0.0, most)),
            f"most probable: {labels}": mixed,
        }
        bars = [None, Scale(heat, activation.min(), activation.max()), Scale(heat, 0, most), None]
        overlay = over(self.picture, lost["probability"])
        row = {
            "picture": self.picture,
            f"projection of {title}": over(self.picture, strength(delta, 0.005)),
            "activation lost": over(self.picture, lost["activation"]),
            f"probability of {name} lost": overlay,
            f"most probable: {labels}": mixed,
        }
        scales = {
            "activation lost": Scale(heat, 0, max(0, base["activation"] - activation.min())),
            f"probability of {name} lost": Scale(
                heat, 0, max(0, base["probability"] - probability.min())
            ),
        }
        rows, columns = (np.arange(count) * step + step // 2 for count in label.shape)
        worst = np.unravel_index(probability.argmin(), probability.shape)
        findings = {
            **base,
            "rows": len(rows),
            "columns": len(columns),
            "least_probability": float(probability.min()),
            "least_at": [int(rows[worst[0]]), int(columns[worst[1]])],
            "least_activation": float(activation.min()),
            "labels": shares,
        }
        arrays = {
            "activation": activation,
            "probability": probability,
            "label": label,
            "rows": rows,
            "columns": columns,
        }
        text = (
            f"{name}: probability {base['probability']:.2%}, covered {probability.min():.2%} to "
            f"{probability.max():.2%}, least with the square around row {findings['least_at'][0]}, "
            f"column {findings['least_at'][1]}\n{title}: activation {base['activation']:.4g}, "
            f"covered {activation.min():.4g} to {activation.max():.4g}\nmost probable: {labels}"
        )
        views = [magnified(panel) for panel in panels.values()]
        sheet = side_by_side(views, list(panels), scales=bars, paper=self.settings.paper)
        return Look(
            picture=self.figure(sheet, f"{text}\n{COLUMNS}"),
            overlay=overlay,
            row=row,
            arrays=arrays,
            findings=findings,
            text=text,
            scales=scales,
            columns=COLUMNS,
        )


def _legend(label, net):
    """Return {class: colour}, the most frequent labels in words, and {name: share of places}."""
    numbers, counts = np.unique(label, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    palette = list(COLOURS.items())
    colours, words, shares = {}, [], {}
    for rank, i in enumerate(order):
        word, colour = palette[min(rank, len(palette) - 1)]
        name, share = short(class_name(net, numbers[i])), float(counts[i] / label.size)
        colours[int(numbers[i])] = colour
        if rank < len(palette) - 1:
            words.append(f"{name} {share:.0%} ({word})")
            shares[name] = share
    return colours, "; ".join(words), shares


def occlude(evaluator, x, cover, window, step, layer, unit, scores_at, index, progress=None):
    """Measure with a square over every place.

    Parameters
    ----------
    x : array (1, 3, H, W)
    cover : array (1, 3, 1, 1), what the square shows
    window, step : int
        Entry (i, j) has a square of `window` pixels around row i·step + step//2, column alike.
    layer, unit : str, int, whose map is summed
    scores_at, index : str, int, the layer of the scores, and the class
    progress : callable, progress(places done), optional

    Returns
    -------
    activation, probability : float64 (rows, columns)
    label : int64 (rows, columns)
    """
    shape = tuple(-(-side // step) for side in x.shape[2:])
    places = list(np.ndindex(shape))
    activation, probability = np.zeros(shape), np.zeros(shape)
    label = np.zeros(shape, np.int64)
    for start in range(0, len(places), BATCH):
        now = places[start : start + BATCH]
        copies = array_module(x).repeat(x, len(now), axis=0)
        for n, place in enumerate(now):
            top, left, bottom, right = square(place, step, window)
            copies[n, :, max(0, top) : bottom, max(0, left) : right] = cover[0]
        acts = evaluator.forward(copies, [layer, scores_at], keep=False)
        at = tuple(np.transpose(now))
        activation[at] = to_host(acts[layer][:, unit].sum(axis=(1, 2), dtype="float64"))
        p = softmax(to_host(acts[scores_at])[:, :, 0, 0])
        probability[at], label[at] = p[:, index], p.argmax(axis=1)
        if progress:
            progress(start + len(now))
    return activation, probability, label


def square(place, step, window):
    """Return (top, left, bottom, right) of the square at `place` = (i, j), ends excluded."""
    top, left = (i * step + step // 2 - window // 2 for i in place)
    return top, left, top + window, left + window
