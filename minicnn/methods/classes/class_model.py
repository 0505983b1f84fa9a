"""A picture that a network takes for the best example of a class.

    maximise   S_c(I) - λ ‖I‖² - w_tv · TV(I)        from I = 0, the mean colour

S_c is the score of class c before softmax, I the picture minus the mean colour, in units where
black and white are 1 apart. Simonyan et al. 2013, arXiv 1312.6034, section 2; they give no λ, no
learning rate and no number of iterations: the defaults are ours, and so are the options

    jitter   each evaluation sees the picture rolled by up to so many pixels; its gradient is rolled
             back, so the picture never drifts
    noise    start from noise and not from the zero image, where a network without biases is flat
    blur     the picture is a blurred one, I = G z, of what is searched for; dJ/dz = G dJ/dI, as G
             (Gaussian, mirrored at the edges) is its own adjoint
    bounds   the picture stays one: grey levels 0..255 in every pixel
"""

from dataclasses import dataclass

import numpy as np

from minicnn.backend import array_module, seeded_rng, to_device, to_host
from minicnn.engine.select import Evaluation, evaluator_of, image_function
from minicnn.methods.classes.blur_and_jitter import Blurred, Rolled, blurred
from minicnn.methods.classes.scores import (
    class_name,
    class_scores,
    find_class,
    scores_layer,
    short,
    told,
)
from minicnn.objectives import priors
from minicnn.objectives.class_score import ClassScore
from minicnn.objectives.priors import PixelPrior
from minicnn.objectives.weighted_sum import WeightedSum
from minicnn.optimizers import WITHOUT_RATE
from minicnn.pictures.arrays import grey_level, picture
from minicnn.runs.inputs import OWN, open_all
from minicnn.runs.search import Outcome, SearchJob, rate_of, search

RATE = 2.0  # grey levels


def open_job(settings, files=None):
    """Return the `ClassModelJob` of checked settings; raises `MinicnnError` if it would fail."""
    opened = open_all(settings, files, pool=OWN)
    net = opened.net
    side = settings.size or net.input_shape[1]
    rate = None if settings.optimizer in WITHOUT_RATE else RATE
    settings = settings.filled(
        {
            "network": net.attrs["name"],
            "pool": net.attrs["pool"],
            "size": side,
            "learning_rate": rate,
        }
    )
    layer = scores_layer(net, (side, side))
    shape = (net.input_shape[0], side, side)
    index = find_class(net, settings.wanted_class, net.shapes(shape)[layer][0])
    start = np.zeros((1, *shape), net.dtype)
    if settings.noise:
        drawn = seeded_rng(settings.seed).standard_normal(start.shape).astype(net.dtype)
        start = drawn * (settings.noise * grey_level(net, start)).astype(net.dtype)
    evaluator = evaluator_of(net, Evaluation(settings.engine, settings.threads))
    found = {"evaluator": evaluator, "layer": layer, "index": index}
    return opened.job(ClassModelJob, settings, start=to_device(start, opened.device), **found)


@dataclass(frozen=True)
class ClassModelOutcome(Outcome):
    """What a run has made, and `arrays`, the raw numbers."""

    arrays: dict | None = None

    @property
    def text(self):
        """What was found, for people."""
        found = self.findings
        text = (
            f"{found['name']} ({found['class']}): score {found['score']:.4g}, probability "
            f"{found['probability']:.2%}"
        )
        if self.result.status == "converged" and not self.result.iterations:
            text += "; no pixel changes the score where the search starts: try --noise 30"
        return text


@dataclass(frozen=True, kw_only=True)
class ClassModelJob(SearchJob):
    """A class, the layer of its score, and where the search starts."""

    evaluator: object
    layer: str
    index: int
    start: np.ndarray

    verb = "class-model"

    @property
    def size(self):
        """Rows and columns of the picture."""
        return self.start.shape[2:]

    def function(self):
        """Return what is minimised, fun(z) -> (value, gradient)."""
        s, level = self.settings, grey_level(self.net, self.start)

        def l2(x):
            value, dx = priors.alpha_norm(x / (255 * level), 2, "sum")
            return value, dx / (255 * level)

        score = {"minus-score": (1.0, ClassScore(self.layer, self.index))}
        terms = {"l2": (s.l2_weight, l2), "tv": (s.tv_weight, PixelPrior(level))}
        evaluator, rngs = self.evaluator, []
        if s.jitter:
            rngs = [seeded_rng(s.seed)]
            evaluator = Rolled(evaluator, s.jitter, *rngs)
        function = image_function(WeightedSum(score, terms), evaluator, s.threads)
        return Blurred(function, s.blur, rngs)

    def run(self, callback=None, minimize=None):
        """Return the `ClassModelOutcome`."""
        s, level = self.settings, grey_level(self.net, self.start)
        options = {}
        if s.learning_rate:  # asked of a function of its own: the search begins with its first roll
            options["learning_rate"] = rate_of(s, self.function(), self.start, level)
        result = search(
            s,
            self.function(),
            self.start,
            level,
            pairs=self.pairs,
            callback=callback,
            minimize=minimize,
            bounds=self._bounds(),
            keep="last" if s.jitter else "best",
            **options,
        )
        x = blurred(result.x, s.blur)
        scores = class_scores(self.net, self.evaluator, x, self.layer)[0]
        arrays, found = {"x": to_host(x), "scores": scores}, told(self.net, scores, self.index)
        return ClassModelOutcome(picture(x, self.net), result, found, arrays)

    def colours(self, x):
        """Return the picture that the search is at."""
        return super().colours(blurred(x, self.settings.blur))

    def views(self, outcome):
        """Return {label: picture} of the sheet."""
        return {f"score {outcome.findings['score']:.4g}": outcome.picture}

    @property
    def title(self):
        """What stands above a sheet."""
        return f"{super().title}: {short(class_name(self.net, self.index))}"

    def _bounds(self):
        """Return the x of black and of white."""
        attrs = self.net.attrs["preprocess"]
        mean, std, scale = (
            np.asarray(attrs.get(name, default), np.float64)
            for name, default in (("mean", 0.0), ("std", np.ones(3)), ("scale", 1.0))
        )
        ends = ((level * scale - mean) / std for level in (0.0, 255.0))
        xp = array_module(self.start)
        return tuple(xp.asarray(end.reshape(1, 3, 1, 1), self.start.dtype) for end in ends)
