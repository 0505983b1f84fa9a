"""Which pixels decide the score of a class.

    w = dS_c / dI at the picture                 S_c: the score of class c before softmax
    M[i,j] = max over the colours of |w[i,j]|    the map, the largest magnitude, not the sum

Simonyan et al. 2013, arXiv 1312.6034, section 3. w is taken per grey level of the picture. With the
rules `guided` (Springenberg et al. 2014, arXiv 1412.6806) and `deconvnet` it is no gradient.

A single gradient is noisy. Two averages are offered:

    shifts   the mean of the maps of the picture moved by a few pixels, each moved back; as the
             paper averages over cropped pictures
    noise    the mean of w for the picture plus noise: SmoothGrad, Smilkov et al. 2017,
             arXiv 1706.03825; M is taken of the mean
"""

from dataclasses import dataclass

import numpy as np

from minicnn.backend import array_module, seeded_rng, to_host
from minicnn.errors import MinicnnError
from minicnn.methods.classes import scores as classes_scores
from minicnn.methods.classes.gradient_averages import AVERAGES, averaged
from minicnn.methods.deconvnet.projection import Policy, check_choice
from minicnn.pictures import arrays, overlays
from minicnn.pictures.overlays import over
from minicnn.pictures.sheets import signed_to_uint8
from minicnn.runs import one_picture

MOST = 1000


@dataclass(frozen=True, kw_only=True)
class SaliencySettings(one_picture.LookSettings):
    """Which class, and how its map is made.

    Attributes
    ----------
    wanted_class : str, number or name; by default the most probable one
    rule : {"gradient", "guided", "deconvnet"}
    signed : bool, show w itself and not the map of its magnitudes
    average : {"none", "shifts", "noise"}
    samples : int, of the average
    shift : int, pixels that the picture is moved by at most
    noise : float, standard deviation as a share of the picture's range of grey levels
    clip : float, share of the pixels that may be shown as the brightest
    """

    wanted_class: str | None = None
    rule: str = "gradient"
    signed: bool = False
    average: str = "none"
    samples: int = 16
    shift: int = 4
    noise: float = 0.15
    clip: float = 0.01

    def prepare(self, files=None):
        """Return the `SaliencyJob`; raises `MinicnnError` for whatever would make it fail."""
        Policy(self.rule)
        check_choice("average", self.average, AVERAGES)
        overlays.peak(np.zeros(1), self.clip)
        if not 1 <= self.samples <= MOST or self.shift < 0 or not 0 <= self.noise < np.inf:
            raise MinicnnError(
                f"samples = {self.samples}, shift = {self.shift}, noise = {self.noise}; use 1 to "
                f"{MOST} samples, and a shift and a noise that are not negative"
            )
        job = one_picture.prepare(self, SaliencyJob, files)
        classes_scores.scores_layer(job.net, job.x.shape[2:])
        return job


class SaliencyJob(one_picture.LookJob):
    """A picture, a network and a class."""

    verb = "saliency"

    @property
    def steps(self):
        """Samples of the average."""
        return self.settings.samples if self.settings.average != "none" else 1

    def run(self, progress=None):
        """Return the `Look`."""
        s, net = self.settings, self.net
        layer = classes_scores.scores_layer(net, self.x.shape[2:])
        scores = to_host(self.evaluator.forward(self.x, [layer], keep=False)[layer])[0, :, 0, 0]
        index, top = classes_scores.wanted_or_top(net, scores, s.wanted_class)
        w, m = averaged(
            lambda x: class_gradient(self.evaluator, x, layer, index, s.rule),
            self.x,
            s.average,
            samples=s.samples,
            shift=s.shift,
            noise=self._noise(),
            rng=seeded_rng(s.seed),
            magnitude=lambda dx: magnitude(arrays.per_pixel(dx, net)),
            progress=progress,
        )
        w = arrays.per_pixel(w, net)
        return self._look(w, m, index, scores, top)

    def _noise(self):
        """Return the standard deviation of the noise in the units of the network's input."""
        s, picture = self.settings, self.picture.astype(np.float64)
        unit = arrays.as_pixels(np.ones((1, 3, 1, 1)), self.net)[0, 0]  # grey levels per unit
        order = -1 if self.net.attrs["preprocess"]["channel_order"] == "BGR" else 1
        return s.noise * (picture.max() - picture.min()) / unit[::order]

    def _look(self, w, m, index, scores, top):
        s, name = self.settings, classes_scores.class_name(self.net, index)
        brightest = overlays.peak(m, s.clip)
        shown = np.clip(m / brightest, 0, 1)
        grey = np.repeat(np.floor(shown * 255 + 0.5).astype(np.uint8)[..., np.newaxis], 3, axis=2)
        scale = 127 / overlays.peak(w, s.clip)
        colour = signed_to_uint8(w, scale)[0]
        overlay = over(self.picture, shown)
        probability = float(classes_scores.softmax(scores)[index])
        notes = []
        if not m.any():
            notes.append(
                f"the score of {name}, {scores[index]:.4g}, changes with no pixel: it lies where a "
                "ReLU is 0; take another class"
                if s.rule == "gradient"
                else f"nothing of {name} comes down to the picture by the rule {s.rule}: on "
                "the way some ReLU gets negative values alone; take another rule, or deconv"
            )
        findings = {
            "class": index,
            "name": name,
            "score": float(scores[index]),
            "probability": probability,
            "top": top,
            "rule": s.rule,
            "average": s.average,
            "white": brightest,
            "scale": scale,
        }
        return one_picture.Look(
            picture=colour if s.signed else grey,
            overlay=overlay,
            row={"picture": self.picture, "map": grey, "signed": colour, name: overlay},
            arrays={
                "gradient": w.astype(np.float32),
                "map": m.astype(np.float32),
                "scores": scores,
            },
            findings=findings,
            text=f"{name} ({index}): score {scores[index]:.4g}, probability {probability:.2%}"
            + ("" if index == top[0]["class"] else f"; most probable is {top[0]['name']}"),
            notes=notes,
        )


def class_gradient(evaluator, x, layer, index, rule="gradient"):
    """Return dS_c / dx of each picture, or what another rule makes of it.

    Parameters
    ----------
    evaluator : Network, or FastEvaluator of one
    x : array (N, 3, H, W)
    layer : str
        Of the scores (N, K, 1, 1).
    index : int
    rule : str, a row of `ops.relu.RULES`

    Returns
    -------
    array like x
    """
    policy = Policy(rule)
    y = policy.forward(evaluator, x, [layer])[layer]
    if not 0 <= index < y.shape[1]:
        raise MinicnnError(f"no class {index}; use 0 to {y.shape[1] - 1}")
    seed = array_module(y).zeros_like(y)
    seed[:, index] = 1
    return policy.backward(evaluator, {layer: seed})


def magnitude(w):
    """Return the largest magnitude over the colours of w (H, W, 3) as a map (H, W)."""
    return np.abs(w).max(axis=-1)
