"""How a picture is searched for: one run of an optimizer, or several one after another.

A job of a method is what its settings stand for with nothing left open: see `SearchJob`.
"""

import math
import warnings
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from minicnn import optimizers
from minicnn.engine import heap, memory
from minicnn.engine.select import Evaluation, evaluator_of
from minicnn.errors import MinicnnError
from minicnn.optimizers import WITHOUT_RATE
from minicnn.optimizers.trace import runs_of, summary
from minicnn.pictures.arrays import deprocess, resampled, to_uint8
from minicnn.pictures.html import figures
from minicnn.pictures.reader import png_bytes
from minicnn.pictures.sheets import figure
from minicnn.runs.inputs import Job
from minicnn.runs.settings import POSITIVE, Settings, SheetSettings, choice, count, setting

PAIRS = 10  # as many as SciPy's L-BFGS-B has by itself
COARSEST = 96  # long side that the first of several sizes has at least
GOES_ON = ("budget", "converged", "stalled", "stopped")  # ends after which the next run may start


class Search(NamedTuple):
    """Iterations at a size and learning rate (grey levels of 0..255) of an optimizer."""

    iterations: int
    learning_rate: float | None = None


SEARCH = {
    "lbfgs-device": Search(150),
    "lbfgs": Search(150),
    "adam": Search(250, 4.0),
    "momentum": Search(250, 2.0),
    "gradient-descent": Search(250, 4.0),
}


@dataclass(frozen=True, kw_only=True)
class SearchSettings(SheetSettings, Settings):
    """With the optimizer of one's choice; None is the default of the optimizer."""

    optimizer: str = setting(
        choice(SEARCH),
        "lbfgs-device",
        "our own L-BFGS, where the picture is, SciPy's, or another",
        group="search",
    )
    iterations: int | None = setting(
        count(),
        None,
        "steps of the optimizer",
        group="search",
        shown="150 for both L-BFGS, else 250",
    )
    evaluations: int | None = setting(
        count(),
        None,
        "stop after N evaluations of the loss, each time",
        group="search",
        shown="go by iterations",
    )
    learning_rate: float | None = setting(
        POSITIVE,
        None,
        "first step in grey levels of 0..255; not for L-BFGS",
        group="search",
        shown="4, for momentum 2",
    )
    pairs: int | None = setting(
        count(), None, "last steps that L-BFGS remembers", group="search", shown=str(PAIRS)
    )

    @property
    def budget(self):
        """The iterations at the full size and at the smaller ones, if none are asked for."""
        return (SEARCH[self.optimizer].iterations,) * 2

    def check(self):
        """Refuse what no run can have."""
        super().check()
        if self.learning_rate is not None and self.optimizer in WITHOUT_RATE:
            raise MinicnnError(
                f"{self.optimizer} takes no learning rate; leave it out or use another optimizer"
            )
        if self.pairs is not None and self.optimizer not in WITHOUT_RATE:
            raise MinicnnError(f"{self.optimizer} remembers no pairs; leave them out or use lbfgs")


@dataclass(frozen=True, kw_only=True)
class SearchJob(Job):
    """The base of the jobs of methods that search for a picture.

    `evaluator` is that of the network for all sizes, once the job is `lowered`. A method adds

    run(callback, minimize)   search, calling back as `optimizers.minimize` does; return an
                    `Outcome`, also after Ctrl-C, a stall or a NaN: the best picture so far, and why
                    it ended. Another `minimize` may take its place: `Resumable.minimize`
    size            rows and columns of the picture
    halved(times)   the job of a smaller size, where `counts` has several
    views(outcome)  {label: picture}, what `--sheet` puts side by side; with the label "" alone, the
                    picture is a sheet already
    """

    evaluator: object = field(default=None, repr=False)

    own_pairs = PAIRS  # where the settings name none
    taps_only = False  # whether nothing but `taps` is asked of the network, not even its layers

    @property
    def counts(self):
        """Iterations at each size, the full one last."""
        found = self.settings.iterations
        return found if isinstance(found, list) else [found]

    def stages(self):
        """Return [(iterations, job)] from the smallest size to the full one."""
        *small, last = self.counts
        return [*((n, self.halved(len(small) - i)) for i, n in enumerate(small)), (last, self)]

    @property
    def lead(self):
        """Iterations before the full size."""
        return sum(self.counts[:-1])

    @property
    def steps(self):
        """Iterations of the whole run."""
        return sum(self.counts)

    def until(self, iteration):
        """Return the settings of a run that ends with an iteration at the full size."""
        counts = [*self.counts[:-1], iteration - self.lead]
        return replace(self.settings, iterations=counts if self.lead else counts[0])

    @property
    def pairs(self):
        """Pairs (step, change of the gradient) that the L-BFGS methods remember."""
        return getattr(self.settings, "pairs", None) or self.own_pairs

    @property
    def taps(self):
        """The layers that the settings name; none means all of the network."""
        names = ("content_layers", "style_layers", "layers")
        named = [getattr(self.settings, name, None) or () for name in names]
        return list(dict.fromkeys(layer for layers in named for layer in layers))

    @property
    def evaluation(self):
        """How the function of the picture is evaluated."""
        s = self.settings
        return Evaluation(s.engine, s.threads, s.tile, s.precision, self.evaluator)

    def lowered(self):
        """Return the job with an evaluator, and with no weights that this does not need."""
        if self.evaluator is not None or not (self.taps_only and self.taps):
            return self
        net = self.net.until(self.taps)  # most of VGG's weights are above
        evaluator = evaluator_of(net, self.evaluation)
        return replace(self, net=getattr(evaluator, "net", net), evaluator=evaluator)

    def outputs(self):
        """Return the bytes of the outputs of all layers at the largest size, 0 if that is open."""
        s = self.settings
        sides = [getattr(s, name, None) or 1 for name in ("style_size", "source_size")]
        sides = [max(side) if isinstance(side, list) else side for side in sides]
        area = max(math.prod(self.size), *(side**2 for side in sides))
        if tile := getattr(s, "tile", None):
            area = min(area, (3 * tile) ** 2)  # with what it sees around
        shape = (getattr(s, "restarts", 1), 3, *[math.isqrt(area)] * 2)
        try:
            return memory.outputs(self.net, shape, self.taps or None)
        except MinicnnError:  # a class model's classifier at another size than its own
            return 0

    def colours(self, x):
        """Return what x stands for on the way, before rounding: float64 (H, W, 3) in 0..255."""
        return deprocess(x, self.net.attrs["preprocess"])

    @property
    def title(self):
        """What stands above a sheet."""
        return f"{self.verb} by {self.net.attrs['name']}"

    def figure(self, sheet, caption=""):
        """Return a sheet with its title above, and a caption below."""
        return figure(sheet, self.title, caption, paper=self.settings.paper)

    def snapshot(self, x):
        """Return the same as a picture, uint8."""
        return to_uint8(self.colours(x))


@dataclass(frozen=True)
class Outcome:
    """What a run has made.

    Attributes
    ----------
    picture : uint8 (H, W, 3)
    result : optimizers.Result, behind it
    findings : dict, name -> what else was measured, plain values
    """

    picture: np.ndarray
    result: object
    findings: dict = field(default_factory=dict)

    def _repr_png_(self):  # what notebooks show
        return png_bytes(self.picture)

    def _repr_html_(self):
        """Return the picture above why the run ended, and its losses."""
        losses = ", ".join(f"{name} {value:.4g}" for name, value in self.losses.items())
        return figures({f"{self.result.reason}; {losses}": self.picture})

    @property
    def losses(self):
        """The weighted value of each term at the picture, and their sum as "total"."""
        return {**self.result.terms, "total": self.result.value}


def search(settings, fun, start, level, *, pairs=None, iterations=None, minimize=None, **options):
    """Minimise fun from `start` with the optimizer of the settings; return `optimizers.Result`.

    `level` is one grey level of 0..255 in units of x (`pictures.arrays.grey_level`), `pairs` are
    those that the L-BFGS methods remember, `iterations` take the place of the settings' own. The
    `options` are those of `minimize`; the learning rate is else `rate_of`. Another `minimize` may
    take the place of that of `optimizers`.
    """
    name = settings.optimizer
    if name not in WITHOUT_RATE and "learning_rate" not in options:
        options["learning_rate"] = rate_of(settings, fun, start, level)
    if name in WITHOUT_RATE and pairs:
        options["maxcor"] = pairs
    heap.release()  # of what the targets were made with
    # the fast engine has memory of its own
    steps = heap.reused() if settings.engine == "explicit" else nullcontext()
    with steps, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an overflow ends the run in plain words
        return (minimize or optimizers.minimize)(
            name,
            fun,
            start,
            iterations=iterations or settings.iterations,
            max_evaluations=settings.evaluations,
            **options,
        )


def rate_of(settings, fun, start, level):
    """Turn the learning rate, in grey levels, into one that multiplies the optimizer's step.

    Adam's first step is the rate in every pixel. The first step of the others is the rate times
    the gradient: the rate is then the root mean square of that step in grey levels.
    """
    if settings.optimizer == "adam":
        return settings.learning_rate * float(level.mean())
    _, gradient = fun(start)
    size = float(((gradient / level) ** 2).mean()) ** 0.5
    return settings.learning_rate / size if size else settings.learning_rate


# several runs as one: their iterations are counted through


def run_all(runs, callback=None):
    """Do runs one after another, up to the first that was interrupted or broke.

    `runs` are (iterations, callable(callback) -> outcome with a `result`). The callback sees the
    iterations and evaluations of all runs counted through, and in the info "run", which of them it
    is, from 0. Return the list of outcomes.
    """
    outcomes, done, evaluated, number = [], 0, 0, 0
    for iterations, run in runs:
        outcome = run(callback and later(callback, done, evaluated, number))
        if outcomes and not outcome.result.trace:  # it ended before it began: keep what there is
            ended = {key: getattr(outcome.result, key) for key in ("status", "reason")}
            outcomes[-1] = replace(outcomes[-1], result=replace(outcomes[-1].result, **ended))
            break
        outcomes.append(outcome)
        done, evaluated = done + iterations, evaluated + outcomes[-1].result.evaluations
        number += runs_of(outcomes[-1].result.trace)
        if outcomes[-1].result.status not in GOES_ON:
            break
    return outcomes


def later(callback, done, evaluated, before):
    """Return the callback of a run behind `before` others, of so many iterations and evaluations.

    Their counts go through.
    """

    def shifted(iteration, x, value, info):
        run, evaluations = info.get("run", 0) + before, info["evaluations"] + evaluated
        info = {**info, "run": run, "evaluations": evaluations}
        return callback(done + iteration, x, value, info)

    return shifted


# one picture at several sizes, each from where the one before has ended


def from_small_to_large(job, at_size, callback=None):
    """Search at every size of a job; return the last `Result`, with the iterations of them all.

    at_size(job, iterations, reached, callback) returns the `Result` of a size, where `reached` is
    the x of the size before, None at the first.
    """
    reached = [None]

    def run(stage, iterations, callback):
        result = at_size(stage, iterations, reached[0], callback)
        reached[0] = result.x
        return Outcome(None, result)

    runs = [(count, partial(run, stage, count)) for count, stage in job.stages()]
    last = summary([outcome.result for outcome in run_all(runs, callback)])
    # after Ctrl-C the last x may have a smaller size
    return replace(last, x=resampled(last.x, job.size, job.net))


def halved_side(side, times):
    """Return a side in pixels halved so many times."""
    return max(1, round(side / 2**times))


def most_sizes(needs):
    """Return how many sizes there can be, for [(short side, least side), ...] of the pictures."""
    most = 1
    while all(halved_side(short, most) >= least for short, least in needs):
        most += 1
    return most


def sizes_of(settings, most, long):
    """Return the number of sizes: as set, else down to `COARSEST` from a long side, or to `most`.

    There are no more than iterations, and as many as are listed.

    Raises
    ------
    MinicnnError
        If so many were asked for that the first is too small.
    """
    asked, scales = settings.iterations, settings.scales
    if scales is None and isinstance(asked, list):
        scales = len(asked)
    if scales is None:
        scales = min(most, 1 + int(math.log2(max(1.0, long / COARSEST))), asked or most)
        return max(1, scales)
    if scales > most:
        raise MinicnnError(
            f"scales = {scales} starts with a picture too small for the layers; "
            f"use at most {most} at this size"
        )
    return scales


def iterations_at(settings, sizes):
    """Return the iterations at each of so many sizes, a list, or one number for one size.

    What was asked for is the whole, shared out as the defaults of the settings are.
    """
    asked, coarse, smaller = settings.iterations, settings.coarse_iterations, sizes - 1
    if isinstance(asked, list):
        if len(asked) != sizes or coarse:
            raise MinicnnError(
                f"iterations = {','.join(map(str, asked))} are for {len(asked)} sizes, and there "
                f"are {sizes}; give one number for all, or one a size and no coarse iterations"
            )
        return asked
    last, before = [settings.evaluations] * 2 if settings.evaluations else settings.budget
    if asked is None:
        coarse = coarse or before
    else:
        coarse = coarse or asked * before // (last + smaller * before)
        last = asked - smaller * coarse
    if smaller and min(coarse, last) < 1:
        coarse = max(1, coarse)
        raise MinicnnError(
            f"iterations = {asked} are the whole run, too few for {coarse} at each of {smaller} "
            f"smaller sizes; use at least {smaller * coarse + 1}, or fewer --scales"
        )
    return [coarse] * smaller + [last] if smaller else last
