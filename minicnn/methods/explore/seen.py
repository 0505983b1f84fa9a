"""A picture as a network sees it: one pass forward, kept; whatever is asked goes back from there.

    explored = Explored(net)
    seen = explored.look(rgb)                      the activations of all layers
    unit = seen.unit("relu3_3", 12)                its map, where it is largest, what it sees there
    seen.view("relu3_3", 12, unit.at, "guided")    what comes down from there, as a picture

`Seen` has `forward`, `backward` and `gradient_at` as evaluators have, so what other methods compute
with an evaluator costs no further pass forward.
"""

from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import RLock

import numpy as np

from minicnn.backend import check_finite
from minicnn.engine import memory
from minicnn.engine.cpu.evaluator import FastEvaluator
from minicnn.errors import MinicnnError
from minicnn.methods.attribution.grad_cam import enlarged_evenly, grad_cam
from minicnn.methods.attribution.target import Target
from minicnn.methods.classes.scores import (
    class_name,
    find_class,
    last_map_layer,
    ranking,
    scores_layer,
)
from minicnn.methods.deconvnet.projection import Policy, project, strongest
from minicnn.methods.deconvnet.run import clear_outside
from minicnn.pictures.arrays import as_pixels, preprocess
from minicnn.pictures.html import figures
from minicnn.pictures.overlays import boxed, heat, over, peak, unit_range
from minicnn.pictures.sheets import signed_to_uint8
from minicnn.runs.look_run import fitted

RULES = ("deconvnet", "gradient", "guided")
CLIP = 0.005  # share of the values of a view that may be shown as full black or white


class Explored:
    """A network, and which picture its evaluator has walked last.

    Parameters
    ----------
    net : Network, on the CPU
    name : str, what it is called
    size : int, side of the pictures; by default what the network was made for
    threads : int, optional
    """

    def __init__(self, net, name="", size=None, threads=None):
        self.net, self.name = net, name or net.attrs.get("name", "")
        self.size = size or net.input_shape[1]
        self.shapes = net.shapes((3, self.size, self.size))
        memory.refuse_lack(
            memory.outputs(net, (1, 3, self.size, self.size)), "give a smaller --size"
        )
        self.fields = net.receptive_fields()
        self._evaluator, self._lock, self._walked = FastEvaluator(net, threads), RLock(), None

    def look(self, rgb):
        """Return the `Seen` of a picture uint8 (H, W, 3), of which the centre is cut out."""
        return Seen(self, fitted(rgb, self.size, "crop"))

    def walk(self, seen):
        """Go forward with the picture of a `Seen`; return {layer: activation}."""
        with self._lock:
            self._walked = None
            acts = self._evaluator.forward(seen.x, self.net.layers)
            self._walked = seen
        return acts

    @contextmanager
    def back_from(self, seen):
        """Give the evaluator that has walked this picture last, to no other thread meanwhile."""
        with self._lock:
            if self._walked is not seen:
                self.walk(seen)
            yield self._evaluator

    def names(self, layer):
        """Return what the units of a layer are called, one a class; None if they are no classes."""
        names = self.net.attrs.get("classes") or []
        to_the_end = self.net.layers[self.net.layers.index(layer) :]
        of_classes = all(self.shapes[name][0] == len(names) for name in to_the_end)
        return list(map(str, names)) if of_classes else None


@dataclass(frozen=True)
class SeenUnit:
    """A unit of a layer in a picture, looked at in one place.

    Attributes
    ----------
    layer : str
    unit : int
    at : (int, int), row and column in its map
    value : float, the activation there
    peak : (int, int), where the activation is largest
    box : [top, left, bottom, right] of the picture that is seen from there, or None for all of it
    map : float (P, Q), all activations of the unit
    range : (float, float), least and largest of these, 0 included
    """

    layer: str
    unit: int
    at: tuple
    value: float
    peak: tuple
    box: list | None
    map: np.ndarray = field(repr=False)
    range: tuple = (0.0, 1.0)
    seen: object = field(default=None, repr=False)

    def picture(self):
        """Return the map in colours, uint8 (P, Q, 3), from the least to the largest."""
        return heat(unit_range(self.map, *self.range))

    def _repr_html_(self):
        """Return the map, the picture with what is seen of it, and what comes down."""
        rgb = self.seen.picture
        row = {
            f"{self.layer} unit {self.unit}, {self.range[0]:.3g} to {self.range[1]:.3g}": (
                self.picture()
            ),
            f"at {self.at}: {self.value:.4g}": boxed(rgb, self.box) if self.box else rgb,
        }
        for rule in RULES:
            row[rule] = self.seen.view(self.layer, self.unit, self.at, rule)[0]
        return figures(row)


class Seen:
    """What a network makes of one picture.

    Attributes
    ----------
    picture : uint8 (H, W, 3), as the network sees it
    x : (1, 3, H, W), the same preprocessed
    acts : dict, layer -> activation (1, K, P, Q)
    """

    def __init__(self, explored, picture):
        self.explored, self.net, self.picture = explored, explored.net, picture
        x = preprocess(picture, self.net.attrs["preprocess"])
        self.x = x.astype(self.net.dtype, copy=False)
        self.acts = explored.walk(self)
        for name, y in self.acts.items():
            check_finite(y, f"activations of layer {name}")

    # as evaluators have them

    def forward(self, x, taps, **_):
        """Return {tap: activation} of this picture, which are there."""
        return {name: self.acts[name] for name in taps}

    def backward(self, dys, relu_rule="gradient", **options):
        """Go down to the picture; see `Network.backward`."""
        with self.explored.back_from(self) as evaluator:
            return evaluator.backward(dys, relu_rule, **options)

    def gradient_at(self, layer, dys):
        """Go down to a layer; see `Network.gradient_at`."""
        with self.explored.back_from(self) as evaluator:
            return evaluator.gradient_at(layer, dys)

    # layers and units

    def maps(self, layer):
        """Return the activations (K, P, Q) of a layer; `MinicnnError` if it is unknown."""
        self.net.find([layer])
        return self.acts[layer][0]

    def range(self, layer, units=slice(None)):
        """Return the least and the largest activation of a layer or of some units, 0 included."""
        y = self.maps(layer)[units]
        return min(0.0, float(y.min())), max(0.0, float(y.max()))

    def strongest(self, layer, count=None):
        """Return the units of a layer by their largest activation, all or the first of them."""
        return strongest(self.maps(layer)[None], count)

    def unit(self, layer, unit, at=None):
        """Return the `SeenUnit` at (row, column) of its map, by default where it is largest."""
        y = self.maps(layer)
        if not 0 <= unit < len(y):
            raise MinicnnError(f"no unit {unit} in layer {layer}; use 0 to {len(y) - 1}")
        P, Q = y.shape[1:]
        peak_at = divmod(int(y[unit].argmax()), Q)
        row, column = at or peak_at
        if not (0 <= row < P and 0 <= column < Q):
            raise MinicnnError(
                f"no position {row}, {column} in layer {layer}; its maps are {P} x {Q}"
            )
        return SeenUnit(
            layer,
            unit,
            (row, column),
            float(y[unit, row, column]),
            peak_at,
            self.explored.fields[layer].box(row, column),
            y[unit],
            self.range(layer, unit),
            self,
        )

    def view(self, layer, unit, at, rule):
        """Return what comes down from a unit at a position by a rule of `ops.relu`.

        It starts with 1 whatever the activation is: by all three rules, twice as much at the start
        is twice as much below.

        Returns
        -------
        uint8 (H, W, 3), 0 as grey 128
        float, the grey levels that are shown as full black or white; 0 if nothing comes down
        """
        policy, place = Policy(rule=rule), np.array([at])
        dx = project(self, self.x, layer, [unit], place, policy=policy, start="one").dx
        delta = as_pixels(dx, self.net)
        clear_outside(delta, self.explored.fields[layer].box(*at))
        most = peak(delta, CLIP) if delta.any() else 0.0
        return signed_to_uint8(delta, 127 / most if most else 1.0)[0], most

    # classes

    def classes(self):
        """Return the most probable classes, see `scores.ranking`."""
        return ranking(self.net, self._scores()[1])

    def cam(self, wanted, layer=None):
        """Return what Grad-CAM shows of a class: its number, name and score, the heat, the layer.

        Parameters
        ----------
        wanted : int or str, see `scores.find_class`
        layer : str, whose maps are weighed; by default the last before the scores

        Returns
        -------
        dict: "class", "name", "score", "maps", "most" (the largest of the heat)
        uint8 (H, W, 3), the heat on the picture
        """
        scores_at, scores = self._scores()
        index = find_class(self.net, wanted, len(scores))
        layer = layer or last_map_layer(self.net, scores_at, self.x.shape[1:])
        L = grad_cam(self, self.x, Target(scores_at, np.array([index])), layer)
        heat_on = enlarged_evenly(L.astype(np.float64), self.picture.shape[:2])[0]
        most = float(heat_on.max())
        told = {"class": index, "name": class_name(self.net, index), "score": float(scores[index])}
        overlay = over(self.picture, heat_on / most if most else heat_on)
        return {**told, "maps": layer, "most": most}, overlay

    def _scores(self):
        layer = scores_layer(self.net, self.picture.shape[:2])
        return layer, self.acts[layer][0, :, 0, 0]
