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

from dataclasses import dataclass

import numpy as np

from minicnn.backend import array_module, to_device, to_host
from minicnn.errors import MinicnnError
from minicnn.methods.classes import scores as classes_scores
from minicnn.methods.classes.occlusion_maps import last_map_layer, occlude, square
from minicnn.methods.deconvnet.projection import project
from minicnn.pictures import arrays as pictures_arrays
from minicnn.pictures.arrays import preprocess
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
from minicnn.runs import one_picture

WINDOW, STEP = 5, 15  # of a side: the square is a fifth of it, the step a fifteenth


@dataclass(frozen=True, kw_only=True)
class OcclusionSettings(one_picture.LookSettings):
    """What is covered, and what is measured.

    Attributes
    ----------
    wanted_class : str, number or name; by default the most probable one
    layer : str, of the activation; by default the last one of maps that are not the classes' own
    unit : str, number, or "max" for the one whose map has the largest sum in the picture
    window, step : int, pixels
    grey : int, 0..255, instead of the mean colour
    """

    wanted_class: str | None = None
    layer: str | None = None
    unit: str = "max"
    window: int | None = None
    step: int | None = None
    grey: int | None = None

    def prepare(self, files=None):
        """Return the `OcclusionJob`; raises `MinicnnError` for whatever would make it fail."""
        if self.unit != "max" and not self.unit.isdigit():
            raise MinicnnError(f"no unit {self.unit!r}; use max or a number from 0")
        if self.grey is not None and not 0 <= self.grey <= 255:
            raise MinicnnError(f"grey = {self.grey}; use a level from 0 to 255")
        job = one_picture.prepare(self, OcclusionJob, files)
        classes_scores.scores_layer(job.net, job.x.shape[2:])
        side = min(job.x.shape[2:])
        for name in ("window", "step"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= side:
                raise MinicnnError(f"{name} = {value}; use 1 to {side} pixels, as the picture has")
        return job


class OcclusionJob(one_picture.LookJob):
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
        return int(np.prod(self._size()))

    def run(self, progress=None):
        """Return the `Look`."""
        net = self.net
        scores_at = classes_scores.scores_layer(net, self.x.shape[2:])
        layer = self.settings.layer or last_map_layer(net, scores_at, self.x.shape[1:])
        acts = self.evaluator.forward(self.x, [layer, scores_at], keep=False)
        scores = to_host(acts[scores_at])[0, :, 0, 0]
        totals = to_host(acts[layer].sum(axis=(2, 3), dtype="float64"))[0]
        unit = self._unit(totals, layer)
        index, top = classes_scores.wanted_or_top(net, scores, self.settings.wanted_class)
        maps = occlude(
            self.evaluator,
            self.x,
            self._cover(),
            self.window,
            self.step,
            layer,
            unit,
            scores_at,
            index,
            progress,
        )
        base = {
            "layer": layer,
            "unit": unit,
            "activation": float(totals[unit]),
            "class": index,
            "name": classes_scores.class_name(net, index),
            "probability": float(classes_scores.softmax(scores)[index]),
            "top": top,
            "window": self.window,
            "step": self.step,
        }
        dx = project(self.evaluator, self.x, layer, [unit]).dx
        return self._look(maps, base, pictures_arrays.as_pixels(dx, net))

    def _size(self):
        return tuple(-(-side // self.step) for side in self.x.shape[2:])

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
        step, shape = (self.step, self.step), self.picture.shape[:2]
        wide = [enlarged(m, step, shape) for m in maps]
        lost = {
            name: unit_range(np.maximum(base[name] - values, 0), low=0)
            for name, values in (("activation", wide[0]), ("probability", wide[1]))
        }
        colours, names, shares = _legend(label, self.net)
        painted = regions(wide[2], colours)
        example = boxed(self.picture, _square(self.x.shape[2:], self._size(), step[0], self.window))
        title = f"{base['layer']} unit {base['unit']}"
        name = base["name"]
        panels = {
            f"picture, square {self.window} x {self.window}": example,
            f"activation of {title}: {activation.min():.4g} to {activation.max():.4g}": heat(
                unit_range(wide[0])
            ),
            f"probability of {name}: {probability.min():.3f} to {probability.max():.3f}": heat(
                unit_range(wide[1], 0.0, max(1e-9, probability.max()))
            ),
        }
        panels[f"most probable: {names}"] = _mixed(self.picture, painted)
        picture = side_by_side([magnified(panel) for panel in panels.values()], list(panels))
        overlay = over(self.picture, lost["probability"])
        row = {
            "picture": self.picture,
            f"projection of {title}": over(self.picture, strength(delta, 0.005)),
            "activation lost": over(self.picture, lost["activation"]),
            f"probability of {name} lost": overlay,
            f"most probable: {names}": _mixed(self.picture, painted),
        }
        worst = np.unravel_index(probability.argmin(), probability.shape)
        findings = {
            **base,
            "rows": int(label.shape[0]),
            "columns": int(label.shape[1]),
            "least_probability": float(probability.min()),
            "least_at": [int(i * self.step + self.step // 2) for i in worst],
            "least_activation": float(activation.min()),
            "labels": shares,
        }
        arrays = {
            "activation": activation,
            "probability": probability,
            "label": label,
            "rows": np.arange(label.shape[0]) * self.step + self.step // 2,
            "columns": np.arange(label.shape[1]) * self.step + self.step // 2,
        }
        text = (
            f"{name}: probability {base['probability']:.2%}, covered {probability.min():.2%} to "
            f"{probability.max():.2%}, least with the square around row {findings['least_at'][0]}, "
            f"column {findings['least_at'][1]}\n{title}: activation {base['activation']:.4g}, "
            f"covered {activation.min():.4g} to {activation.max():.4g}\nmost probable: {names}"
        )
        return one_picture.Look(picture, overlay, row, arrays, findings, text)


def _square(shape, size, step, window):
    return square((size[0] // 2, size[1] // 2), step, window)


def _legend(label, net):
    """Return the colours of the labels, those of the most frequent ones in words, and their shares.

    Returns
    -------
    colours : dict, class -> (red, green, blue)
    names : str
    shares : dict, name -> share of the places
    """
    numbers, counts = np.unique(label, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    palette = list(COLOURS.items())
    colours, words, shares = {}, [], {}
    for rank, i in enumerate(order):
        word, colour = palette[min(rank, len(palette) - 1)]
        name, share = classes_scores.class_name(net, numbers[i]), float(counts[i] / label.size)
        colours[int(numbers[i])] = colour
        if rank < len(palette) - 1:
            words.append(f"{name} {share:.0%} ({word})")
            shares[name] = share
    return colours, "; ".join(words), shares


def _mixed(rgb, painted):
    """Return the picture in the colours of the regions."""
    grey = rgb.astype(np.float64) @ (0.299, 0.587, 0.114)
    mixed = 0.45 * grey[..., np.newaxis] + 0.55 * painted
    return np.rint(mixed).astype(np.uint8)
