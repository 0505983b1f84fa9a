"""The energy whose minimum has a given representation, in the units of two papers.

    E(x') = w · |Φ(u x') - Φ0|² / |Φ0|²  +  λα · Rα(x')  +  λV · RV(x')

Φ0 is the activation of a picture at one layer, x' a picture minus the mean colour, u grey levels
(of 0..255) to the unit of x'.

cvpr15  Mahendran & Vedaldi 2015, arXiv 1412.0035 (equations 1 to 3 of the lecture notes)
    u     σ, the mean Euclidean norm of natural pictures minus the mean: x' has a norm of about 1.
          The authors' 27098.1157 is for 227 x 227 x 3; it grows as the root of the number of
          values, so we take 68.92 times that root at any size
    Rα    sum_cij |x'|⁶,                     λα = 4e-10 σ⁴ (2.16e8 at 227 x 227)
    RV    sum_cij (down² + right²)^(β/2),    λV = 0.5, 5 or 50 for shallow, middle, deep layers
    start white noise of the norm 1
    step  momentum 0.9, rate 0.004 · (1 for 1/4 of the iterations, 0.1 for 1/2, 0.01 for 1/4; 400 in
          all); the velocity is set to 0 whenever the rate changes

ijcv16  Mahendran & Vedaldi 2016, arXiv 1512.02017
    u     1
    Rα    mean_ij (sum_c x²)³,               λα = 1/80⁶
    RV    mean_ij sum_c (down² + right²)^(β/2),   λV = (6.5/80)^β
    w     300, 100, 20 or 1
    start uniform noise, its 95 % quantile at 80/√3
    step  AdaGrad that forgets (0.9), rate 0.05 · 80² / 6 · H W; after each step a colour farther
          from the mean than 160 is moved to 160. The picture is a canvas J - 1 pixels larger than
          the network's input and shown through a window at a random place, J = stride of the
          layer / 4: 300 iterations; then from its middle 50 at a tenth of the rate, without moves

lbfgs   the energy of cvpr15, minimised by L-BFGS: no rate. Which of the two ends lower depends on
        layer and pooling; the chapter has figures

The λV of the papers are for pictures of 227 x 227. From pixel to pixel, a smaller picture of the
same thing changes more, so that the same λV would leave a flat grey of it where it takes away the
noise of a large one. We multiply λV by what makes the term the same at any size of one picture:
(H W / 227²)^(β-1) for cvpr15, whose sum grows with the pixels, (H W / 227²)^(β/2) for ijcv16.

The λV of cvpr15 are for β = 2. A difference of neighbours is far below 1 in units of σ, and more so
its square: another β needs another λV. We multiply by (80/6.5 / σ)^(2-β), σ at 227 x 227, which
makes the term the same for the differences that ijcv16 takes for typical, 80/6.5 grey levels.

The equation 3 of the lecture notes mixes two pictures in the total variation; see `priors`. Which
layers are shallow, middle or deep was said for CaffeNet; we go by the share of a network's layers
that lie before, which gives the same for CaffeNet's λV (6 and 12 of 20). The authors tried all four
w on every layer; the default by depth is ours: 300 up to a half, 100 to 0.6, 20 to 0.75, then 1.
"""

import math
from functools import partial
from typing import NamedTuple

import numpy as np

from minicnn.backend import array_module, seeded_rng
from minicnn.network.layers import Dropout, Softmax
from minicnn.objectives import priors
from minicnn.objectives.content import ContentLoss
from minicnn.objectives.weighted_sum import WeightedSum

PIXELS = 227 * 227  # of the pictures that the constants are for
NORM = 27098.1157 / math.sqrt(PIXELS * 3)  # grey levels: root mean square of natural pictures
SPREAD, FARTHEST = 80.0, 160.0  # ijcv16: grey levels
TYPICAL = SPREAD / 6.5  # likewise, of neighbours
ALPHA = 6
MOMENTUM, RATE = 0.9, 0.004  # cvpr15

TV_BY_DEPTH = ((0.3, 0.5), (0.6, 5.0), (1.0, 50.0))  # up to this share of the layers: λV
DATA_BY_DEPTH = ((0.5, 300.0), (0.6, 100.0), (0.75, 20.0), (1.0, 1.0))


class Preset(NamedTuple):
    """Iterations by default, and the optimizer."""

    iterations: int
    optimizer: str


PRESETS = {
    "lbfgs": Preset(200, "lbfgs-device"),
    "cvpr15": Preset(400, "momentum"),
    "ijcv16": Preset(350, "adagrad"),
}


class Strengths(NamedTuple):
    """The weights of the three terms."""

    data: float
    alpha: float
    tv: float


def sigma(shape):
    """Return σ for pictures of `shape` (C, H, W), in grey levels."""
    return NORM * math.sqrt(math.prod(shape))


def unit(preset, shape):
    """Return u, grey levels to the unit of x', for pictures of `shape` (C, H, W)."""
    return 1.0 if preset == "ijcv16" else sigma(shape)


def strengths(preset, net, layer, shape, beta=2.0):
    """Return the `Strengths` of a preset for a layer and pictures of `shape` (C, H, W)."""
    share, size = depth(net, layer), shape[1] * shape[2] / PIXELS
    if preset == "ijcv16":
        smooth = (6.5 / SPREAD) ** beta * size ** (beta / 2)
        return Strengths(_by(share, DATA_BY_DEPTH), SPREAD**-ALPHA, smooth)
    typical = TYPICAL / sigma((3, PIXELS))
    smooth = _by(share, TV_BY_DEPTH) * size ** (beta - 1) * typical ** (2 - beta)
    return Strengths(1.0, 4e-10 * sigma(shape) ** 4, smooth)


def depth(net, layer):
    """Return the share of the layers up to this one, 0..1; dropouts and softmax do not count."""
    counted = [n.name for n in net.nodes if not isinstance(n.layer, (Dropout, Softmax))]
    place = net.layers.index(layer)
    return sum(net.layers.index(name) <= place for name in counted) / len(counted)


def _by(share, table):
    return next(value for limit, value in table if share <= limit)


def energy_terms(preset, target, layer, weights, beta=2.0):
    """Return the `WeightedSum` of a preset, of activations and x'."""
    data = ContentLoss({layer: target}, normalisation="relative")
    if preset == "ijcv16":
        # `priors.tv_beta` takes the mean over channels too
        colours, channels = partial(priors.colour_norm, alpha=ALPHA), 3
        variation = partial(priors.tv_beta, beta=beta)
    else:
        colours, channels = partial(priors.alpha_norm, alpha=ALPHA, normalisation="sum"), 1
        variation = partial(priors.tv_beta, beta=beta, normalisation="sum")
    terms = {"alpha": (weights.alpha, colours), "tv": (weights.tv * channels, variation)}
    return WeightedSum({"data": (weights.data, data)}, terms)


class Energy:
    """E of a batch of x', fun(x') -> (value, gradient): the values of its pictures added up.

    Parameters
    ----------
    terms : WeightedSum
    evaluator : what has `forward` and `backward`, see `engine.select`
    scale : array (1, 3, 1, 1), the network's units to one of x'
    window : Window, optional
        Through which the network sees x'; the priors see all of it.
    """

    def __init__(self, terms, evaluator, scale, window=None):
        self.objective, self.evaluator, self.scale, self.window = terms, evaluator, scale, window
        self.terms, self.rngs = {}, window.rngs if window else ()

    def __call__(self, x):
        """Return the value and the gradient."""
        parts = {}
        seen = x if self.window is None else self.window.look(x)
        acts = self.evaluator.forward(seen * self.scale, self.objective.layers)
        value, dacts, dx = self.objective(acts, x, parts)
        through = self.evaluator.backward(dacts) * self.scale
        through = through if self.window is None else self.window.spread(through)
        self.terms = parts
        return value, through if dx is None else dx + through


class Window:
    """A window of the size of the network's input, moved over a larger canvas at random.

    The gradient goes back to where the window was, so the picture does not drift.

    Parameters
    ----------
    jitter : int
        Places in each direction.
    seeds : list of int
        One for each picture of the batch: each has moves of its own.
    """

    def __init__(self, jitter, seeds):
        self.jitter, self.rngs = jitter, [np.random.default_rng([seed, 1]) for seed in seeds]
        self.places, self.shape = [], ()

    def look(self, x):
        """Return what is seen at new random places, (N, C, H, W)."""
        self.shape = x.shape
        self.places = [rng.integers(self.jitter, size=2).tolist() for rng in self.rngs]
        return array_module(x).stack([x[n][self._place(n)] for n in range(len(x))])

    def spread(self, dx):
        """Return the gradient of the canvas."""
        canvas = array_module(dx).zeros(self.shape, dx.dtype)
        for n in range(len(dx)):
            canvas[n][self._place(n)] = dx[n]
        return canvas

    def _place(self, n):
        top, left = self.places[n]
        spare = self.jitter - 1
        rows, columns = (side - spare for side in self.shape[2:])
        return slice(None), slice(top, top + rows), slice(left, left + columns)


def middle(canvas, size):
    """Return what a window of `size` = (rows, columns) sees in the middle of a canvas."""
    top, left = ((have - side) // 2 for have, side in zip(canvas.shape[2:], size, strict=True))
    return canvas[:, :, top : top + size[0], left : left + size[1]]


def noise(preset, shape, seeds, dtype=np.float32):
    """Return the x' to start from, (len(seeds), C, H, W): each picture from its own seed."""
    return np.stack([_noise(preset, shape, seed) for seed in seeds]).astype(dtype)


def _noise(preset, shape, seed):
    rng = seeded_rng(seed)
    if preset == "ijcv16":
        x = rng.uniform(-1, 1, shape)
        return x / np.quantile(x, 0.95) * (SPREAD / math.sqrt(3))
    x = rng.standard_normal(shape)
    return x / np.linalg.norm(x)


def into_ball(x):
    """Bring colours farther from the mean than `FARTHEST` to that distance, same direction."""
    xp = array_module(x)
    length = xp.sqrt(xp.square(x).sum(axis=1, keepdims=True))
    return x * (FARTHEST / xp.maximum(length, FARTHEST))


def cvpr15_rate(iterations):
    """Return the schedule of cvpr15 over so many iterations: iteration from 1 -> rate."""

    def rate(t):
        share = (t - 1) / iterations
        return RATE * (1.0 if share < 0.25 else 0.1 if share < 0.75 else 0.01)

    return rate


def ijcv16_rate(shape):
    """Return the rate of ijcv16 for pictures of `shape` (C, H, W)."""
    return 0.05 * SPREAD**2 / ALPHA * shape[1] * shape[2]


def jitter_of(net, layer):
    """Return how many places the window has in each direction, a quarter of the layer's stride."""
    field = net.receptive_fields()[layer]
    if field.size is None:  # fully connected: that of the last layer with positions
        strides = [f.stride for f in net.receptive_fields().values() if f.size is not None]
        return max(1, round(max(strides[-1]) / 4))
    return max(1, round(max(field.stride) / 4))
