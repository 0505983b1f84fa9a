"""Distil a large network into a small one: the run, its state, its log.

`start` makes the student from the teacher, and finds P. Then Adam lowers the loss of `loss`, with
g = dL/dw, t the step from 1 and rms(w) that of the whole array:

    m = β1 m + (1 - β1) g        v = β2 v + (1 - β2) g²
    w = w - rate · rms(w) · m / (1 - β1^t) / (sqrt(v / (1 - β2^t)) + ε)
    W = W + max(α, 1 / t) (w - W)

The factor rms(w) makes the rate a share of the weights, which differ much from layer to layer
(Shazeer & Stern 2018, arXiv 1804.04235, section 8). The student that is written has the means W of
the latest weights, in which the noise of the steps cancels (Polyak & Juditsky 1992).

Each piece of picture goes through teacher and student by itself, on a thread of its own; the
gradients are added in order. Random numbers come from (seed, step, piece). So threads change no
bit, nor does a run that was broken off and resumed.
"""

import math
import time
from pathlib import Path

import numpy as np

from minicnn.backend import array_module, to_device
from minicnn.data.picture_set import PictureSet
from minicnn.engine.cpu.threads import one_blas_thread, thread_count
from minicnn.engine.cpu.workers import step_pool
from minicnn.errors import MinicnnError
from minicnn.methods.distillation import pictures, state
from minicnn.methods.distillation.loss import distance
from minicnn.methods.distillation.settings import portable
from minicnn.methods.distillation.start import begin, projected, stages
from minicnn.methods.training.devices import OnThreads, place_of
from minicnn.methods.training.schedules import rate
from minicnn.methods.training.state import write_log
from minicnn.methods.training.training import Interrupted
from minicnn.network import build
from minicnn.storage.interrupts import interrupts_noted
from minicnn.weights import checkpoint

BETA1, BETA2, EPSILON = 0.9, 0.99, 1e-8
ALPHA = 0.005  # the mean reaches back about 1 / α steps
LEAST_RMS = 1e-3  # of an array of zeros, which has to move too
FIT_SIZE = 128  # pixels a side, of the pieces for the start, if no size is smaller
START, LATER = 0, 1  # in the seed: pieces for the start, pieces of the steps


def run(settings, *, resume=False, log=None, progress=None):
    """Distil, writing snapshots and the state to resume from into `settings.output`.

    Parameters
    ----------
    settings : DistillSettings
    resume : bool
        Go on from the state in the output folder, if there is one. Rate, schedule and steps may
        be others.
    log : callable, log(record), optional
        Told of every row of log.csv, and of every stage of the start.
    progress : callable, progress(done, total, losses), optional
        Told after every step.

    Returns
    -------
    Network
        The student; also in `output`/last.h5.

    Raises
    ------
    MinicnnError
        If data, teacher, settings or state are unfit, or the loss is no longer finite.
    Interrupted
        On Ctrl-C, once the state has been saved.
    """
    settings.check()
    run_ = Distillation(settings, log or (lambda record: None))
    with one_blas_thread():
        if resume and (run_.folder / state.STATE_FILE).exists():
            state.restore(run_)
        else:
            run_.begin()
        run_.settle()
    with step_pool(run_.threads) as pool, interrupts_noted() as stops:
        while run_.step < settings.steps:
            run_.one_step(pool)
            if progress:
                progress(run_.step, settings.steps, {"loss": run_.last})
            if ends := run_.step % settings.save_every == 0:
                run_.save_student(f"step-{run_.step:06d}.h5")
            if stops or ends:  # last: a run that is killed before does these steps again
                state.save(run_)
            if stops:
                raise Interrupted(run_.folder / state.STATE_FILE)
        state.save(run_)
        return run_.save_student("last.h5")


class Distillation:
    """The state of a distillation: student, projections, moments of Adam, step, history."""

    def __init__(self, settings, log):
        self.settings, self.log, self.folder = settings, log, Path(settings.output)
        self.sets = [PictureSet(path) for path in settings.data]
        self.data = [found.fingerprint() for found in self.sets]
        self.teacher = checkpoint.load(settings.teacher, pool="average")
        self.student = build.build(settings.network, pool="average")
        self.stages = stages(self.student)
        self._check_networks()
        self.place = place_of(settings)
        self.convolution = self.place.convolution
        self.frozen = self.place.frozen  # for the teacher
        self.threads = thread_count(settings.threads)
        self.params, self.step, self.history = self.student.params, 0, []
        self.sums, self.since, self.last = self._nothing(), time.perf_counter(), math.nan

    def _nothing(self):
        return np.zeros(len(self.stages))  # the loss of each layer

    def _check_networks(self):
        """Refuse a student that is no such network, and a teacher that lacks its layers."""
        if not self.stages:
            raise MinicnnError(
                f"{self.settings.network} has no layers pc to be taught; use --network slimvgg"
            )
        wanted = {name for stage in self.stages for name in (stage.conv, stage.tap)}
        missing = sorted(wanted - set(self.teacher.layers))
        if missing:
            raise MinicnnError(
                f"the teacher {self.settings.teacher} has no layer {missing[0]}; give weights of "
                "VGG-19 (`minicnn weights list` tells where from)"
            )

    def begin(self):
        """Make the student from the teacher."""
        s = self.settings
        if (self.folder / state.STATE_FILE).exists():
            raise MinicnnError(
                f"{self.folder} holds a run already; go on with it (--resume), or choose "
                "another folder"
            )
        size = min(max(s.sizes), FIT_SIZE)
        rng = np.random.default_rng([s.seed, START])
        pieces = [self._pieces(rng, size, 4) for _ in range(math.ceil(s.fit / 4))]

        def told(stage, missed):
            self.log({"start": stage.pc, "missed": missed})

        here = OnThreads().frozen  # the start is found on the host
        self.projections, self.scales = begin(self.student, self.teacher, pieces, here, told)
        self.means, self.squares = (
            {name: np.zeros_like(w) for name, w in self.params.items()} for _ in range(2)
        )
        self.averages = {name: w.copy() for name, w in self.params.items()}
        self.save_student("start.h5")
        state.save(self)

    def _pieces(self, rng, size, count):
        return pictures.batch(rng, self.sets, size, count, self.student.attrs["preprocess"])

    def settle(self):
        """Bring all arrays to the device, and make a student for each piece of a step."""
        kinds = (self.params, self.teacher.params, self.means, self.squares, self.averages)
        for arrays in (*kinds, self.projections):
            for name, array in arrays.items():
                lying = np.ascontiguousarray(array)  # as a file gives them back: BLAS rounds so too
                arrays[name] = to_device(lying, self.place.device)
        self.student.params = self.params
        self.replicas = [self.student.replica() for _ in range(self.settings.batch)]

    def one_step(self, pool):
        """Take one step, and note the loss."""
        s = self.settings

        def prepared(step, g):
            size = s.sizes[np.random.default_rng([s.seed, LATER, step]).integers(len(s.sizes))]
            rng = np.random.default_rng([s.seed, LATER, step, g])
            return (self._pieces(rng, size, 1),)

        results = self.place.results(pool, self.step, s.steps, s.batch, prepared, self._of_piece)
        self.last = float(np.mean([loss for loss, _, _ in results]))
        if not math.isfinite(self.last):
            raise MinicnnError(
                f"distillation diverged: the loss is {self.last} at step {self.step + 1}; go on "
                "from the last state (--resume) with a smaller --rate"
            )
        pace = rate(s.schedule, s.rate, self.step / s.steps)
        self.step += 1
        for name, w in self.params.items():
            gradient = sum(found[name] for _, _, found in results) / s.batch
            adam_step(w, gradient, self.means[name], self.squares[name], pace, self.step)
            self.averages[name] += max(ALPHA, 1 / self.step) * (w - self.averages[name])
        self._note(pace, np.mean([parts for _, parts, _ in results], axis=0))

    def _targets(self, x):
        """Return {pc: t} of pieces x, by the teacher."""
        taps = [stage.tap for stage in self.stages]
        teacher = self.teacher.replica()  # with caches of its own, for a thread
        acts = teacher.forward(x, taps, keep=False, convolution=self.frozen)
        return projected(self.stages, self.projections, acts)

    def _of_piece(self, g, x):
        with np.errstate(over="ignore", invalid="ignore"):  # it ends in the loss, which is checked
            return self.loss_and_gradients(self.replicas[g], x)

    def loss_and_gradients(self, student, x):
        """Return (loss, [its part of each layer], {parameter: gradient}) of pieces x."""
        targets = self._targets(x)
        mine = student.forward(x, list(targets), training=True, convolution=self.convolution)
        parts, dys = [], {}
        for pc, t in targets.items():
            value, _, dys[pc] = distance(mine[pc], t, self.scales[pc], self.settings.gram_weight)
            parts.append(value)
        return sum(parts), parts, student.gradients(dys)

    def _note(self, pace, parts):
        """Add a step to the sums, and now and then a row to the log."""
        self.sums = self.sums + parts
        every = self.settings.log_every
        if self.step % every:
            return
        mean, now = self.sums / every, time.perf_counter()
        record = {"step": self.step, "rate": pace, "loss": float(mean.sum())}
        record |= {stage.pc: float(v) for stage, v in zip(self.stages, mean, strict=True)}
        record["seconds"] = round(now - self.since, 1)
        self.history.append(record)
        self.sums, self.since = self._nothing(), now
        write_log(self.history, self.folder / "log.csv")
        self.log(record)

    def save_student(self, name):
        """Write the student with the means of its weights and its provenance, and return it."""
        student = self.student.replica()
        student.params = self.averages
        student.attrs = {
            **self.student.attrs,
            "distillation": {
                "settings": {**portable(self.settings), "steps": self.settings.steps},
                "teacher": {key: self.teacher.attrs.get(key) for key in ("source", "licence")},
                "teacher_sha256": checkpoint.weights_hash(self.teacher),
                "data": self.data,
                "history": self.history[-1:],
            },
        }
        checkpoint.save(student, self.folder / name)
        return student


def adam_step(w, g, mean, square, pace, t):
    """Update w and the moments in place; the formula stands at the top of the file."""
    xp = array_module(w)
    mean *= BETA1
    mean += (1 - BETA1) * g
    square *= BETA2
    square += (1 - BETA2) * xp.square(g)
    rms = max(float(xp.sqrt(xp.mean(xp.square(w)))), LEAST_RMS)
    spread = xp.sqrt(square / (1 - BETA2**t)) + EPSILON
    w -= pace * rms / (1 - BETA1**t) * mean / spread
