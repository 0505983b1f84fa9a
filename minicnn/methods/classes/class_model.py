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

import warnings
from dataclasses import dataclass

import numpy as np

from minicnn.backend import array_module, seeded_rng, to_device, to_host
from minicnn.engine.select import image_function
from minicnn.errors import MinicnnError
from minicnn.methods.classes import scores as classes_scores
from minicnn.methods.classes.blur_and_jitter import Blurred, Rolled, blurred
from minicnn.objectives import priors
from minicnn.objectives.class_score import ClassScore
from minicnn.objectives.priors import pixel_tv
from minicnn.objectives.weighted_sum import WeightedSum
from minicnn.optimizers import WITHOUT_RATE, minimize
from minicnn.pictures.arrays import grey_level, picture
from minicnn.runs import checks, job, one_picture
from minicnn.runs import settings as runs_settings
from minicnn.runs.job import Outcome


@dataclass(frozen=True, kw_only=True)
class ClassModelSettings(runs_settings.SearchSettings):
    """Everything that decides the picture, beside `opening.SearchSettings`.

    Attributes
    ----------
    wanted_class : str, number or name
    l2_weight : float, λ
    tv_weight : float, of the mean squared neighbour difference
    jitter : int, pixels
    blur : float, standard deviation in pixels
    noise : float, standard deviation in grey levels of what the search starts from
    """

    wanted_class: str
    size: int | None = None
    l2_weight: float = 0.01
    tv_weight: float = 0.0
    jitter: int = 0
    blur: float = 0.0
    noise: float = 0.0
    optimizer: str = "adam"
    iterations: int = 200

    def inputs(self):
        """Return {role: picture file}: none."""
        return {}

    def prepare(self, files=None):
        """Return the `ClassModelJob`; raises `MinicnnError` for whatever would make it fail."""
        opened, evaluator = one_picture.open_network(self)
        net, device = opened.net, opened.device
        side = self.size or net.input_shape[1]
        layer = classes_scores.scores_layer(net, (side, side))
        count = net.shapes((net.input_shape[0], side, side))[layer][0]
        index = classes_scores.find_class(net, self.wanted_class, count)
        start = np.zeros((1, net.input_shape[0], side, side), net.dtype)
        if self.noise:
            drawn = seeded_rng(self.seed).standard_normal(start.shape).astype(net.dtype)
            start = drawn * (self.noise * grey_level(net, start)).astype(net.dtype)
        start = to_device(start, device)
        return ClassModelJob(self, net, evaluator, layer, index, start, device)

    def check(self):
        """Refuse what no run can have."""
        super().check()
        names = ("l2_weight", "tv_weight", "blur", "jitter", "noise")
        checks.not_negative({name: getattr(self, name) for name in names})
        checks.counts(self, {"iterations": None})
        if self.optimizer in WITHOUT_RATE and self.jitter:
            raise MinicnnError(
                f"{self.optimizer} needs a function that stays the same, and jitter changes it "
                "with every evaluation; use adam"
            )


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


@dataclass(frozen=True)
class ClassModelJob(job.Job):
    """Checked settings, the network, the class, and where the search starts."""

    settings: ClassModelSettings
    net: object
    evaluator: object
    layer: str
    index: int
    start: np.ndarray
    device: str = "cpu"

    verb = "class-model"

    @property
    def notes(self):
        """Nothing was done to any file."""
        return []

    @property
    def inputs(self):
        """There are no input files."""
        return {}

    def function(self):
        """Return what is minimised, fun(z) -> (value, gradient)."""
        s, level = self.settings, grey_level(self.net, self.start)

        def l2(x):
            value, dx = priors.alpha_norm(x / (255 * level), 2, "sum")
            return value, dx / (255 * level)

        score = {"minus-score": (1.0, ClassScore(self.layer, self.index))}
        terms = {"l2": (s.l2_weight, l2), "tv": (s.tv_weight, lambda x: pixel_tv(x, level))}
        evaluator = (
            Rolled(self.evaluator, s.jitter, seeded_rng(s.seed)) if s.jitter else self.evaluator
        )
        return Blurred(image_function(WeightedSum(score, terms), evaluator, s.threads), s.blur)

    def run(self, callback=None):
        """Return the `ClassModelOutcome`."""
        s = self.settings
        options = {}
        if s.optimizer not in WITHOUT_RATE:
            options["learning_rate"] = self._rate()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # it ends in plain words
            result = minimize(
                s.optimizer,
                self.function(),
                self.start,
                iterations=s.iterations,
                max_evaluations=s.evaluations,
                callback=callback,
                bounds=self._bounds(),
                keep="last" if s.jitter else "best",
                **options,
            )
        x = blurred(result.x, s.blur)
        scores = to_host(self.evaluator.forward(x, [self.layer], keep=False)[self.layer])[
            0, :, 0, 0
        ]
        findings = {
            "class": self.index,
            "name": classes_scores.class_name(self.net, self.index),
            "score": float(scores[self.index]),
            "probability": float(classes_scores.softmax(scores)[self.index]),
            "top": classes_scores.ranking(self.net, scores),
        }
        arrays = {"x": to_host(x), "scores": scores}
        return ClassModelOutcome(picture(x, self.net), result, findings, arrays)

    def snapshot(self, x):
        """Return the picture that the search is at."""
        return picture(blurred(x, self.settings.blur), self.net)

    def row(self, outcome):
        """Return {label: picture} of the sheet."""
        found = outcome.findings
        return {f"{found['name']}: score {found['score']:.4g}": outcome.picture}

    def _rate(self):
        """Return the optimizer's rate, as `runs.search` reckons it, 2 grey levels by default."""
        s, level = self.settings, grey_level(self.net, self.start)
        wanted = 2.0 if s.learning_rate is None else s.learning_rate
        if s.optimizer == "adam":
            return wanted * float(level.mean())
        _, gradient = self.function()(self.start)
        size = float(((gradient / level) ** 2).mean()) ** 0.5
        return wanted / size if size else wanted

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
