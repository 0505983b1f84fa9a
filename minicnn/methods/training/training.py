"""Train a classifier by stochastic gradient descent: the run, its state, its log.

A batch is cut into groups of a fixed number of pictures. Each group goes through the network by
itself, on a thread of its own where there is one, with batch normalisation over the group; the
gradients are added in the order of the groups. So the result depends on the seed and the group
size, not on the number of threads. Random numbers come from (seed, epoch, step), which makes a
resumed run equal to an uninterrupted one bit for bit. `step` holds the formulas.
"""

import math
import time
from pathlib import Path

import numpy as np

from minicnn.backend import array_module, to_device
from minicnn.data.datasets import open_dataset
from minicnn.engine import memory
from minicnn.engine.cpu.threads import thread_count
from minicnn.engine.cpu.workers import step_pool
from minicnn.errors import MinicnnError
from minicnn.methods.training import state
from minicnn.methods.training.devices import place_of
from minicnn.methods.training.schedules import rate
from minicnn.methods.training.settings import portable
from minicnn.methods.training.state import LOG, write_log
from minicnn.methods.training.step import (
    augment,
    evaluate,
    limit_rms,
    loss_and_gradients,
    sgd_step,
    update_running_statistics,
)
from minicnn.network import build
from minicnn.network.layers import Dropout
from minicnn.network.sizes import set_input
from minicnn.storage.interrupts import interrupts_noted
from minicnn.weights import checkpoint


class Interrupted(Exception):
    """Ctrl-C or another signal, after the state has been written; `path` is where."""

    def __init__(self, path):
        super().__init__(path)
        self.path = path


def run(settings, *, resume=False, log=None, progress=None, stop=None, note=None):
    """Train, writing log, snapshots and the state to resume from into `settings.output`.

    Parameters
    ----------
    settings : TrainSettings
    resume : bool
        Go on from the state in the output folder, if there is one, see `state.restore`.
    log : callable, log(record), optional
        Told after every epoch: a dict of losses, accuracies (0..1), rate, seconds.
    progress : callable, progress(done, total, losses), optional
        Told after every step: the steps of this call, and the mean loss of the epoch so far.
    stop : callable, stop(done) -> bool, optional
        Asked after every step: where it is true the call ends at once and writes nothing more.
    note : callable, note(text), optional
        Told at the end what was left out of the data.

    Returns
    -------
    Network
        With the weights after the last epoch; also in `output`/last.h5.

    Raises
    ------
    MinicnnError
        If the data, the settings or the state are unfit, or the loss is no longer finite.
    Interrupted
        On Ctrl-C, once the state has been saved.
    """
    settings.check()
    train, val = (open_dataset(settings.data, split) for split in ("train", "val"))
    train = train.thinned(settings.limit)
    run_ = _Run(settings, train, progress or (lambda *_: None), stop)
    begun = (run_.folder / state.STATE_FILE).exists()
    if begun and resume:
        state.restore(run_)
    elif begun:
        raise MinicnnError(
            f"{run_.folder} holds a training run already; go on with it (--resume), or choose "
            "another folder"
        )
    shape = (settings.group, 3, settings.crop, settings.crop)
    at_once = min(run_.threads, settings.batch // settings.group)
    held = memory.HELD * memory.outputs(run_.net, shape)
    if run_.place.device == "cpu":
        memory.refuse_lack(at_once * held, "use a smaller --group and --batch")
    pictures = train.pictures(settings.size)
    val_pictures, val_labels = val.pictures(settings.size), val.labels_as_in(train)
    with step_pool(run_.threads) as pool:
        while run_.epoch < settings.epochs:
            started = time.perf_counter()
            record = run_.one_epoch(pictures, pool)
            if record is None:
                return run_.net
            epoch = record["epoch"]
            if epoch % settings.validate_every == 0 or epoch == settings.epochs:
                try:
                    record |= evaluate(run_.net, val_pictures, val_labels, run_.place, pool)
                except KeyboardInterrupt:  # the epoch is not closed: all of this is done again
                    state.save(run_)
                    raise Interrupted(run_.folder / state.STATE_FILE) from None
            record["seconds"] = round(time.perf_counter() - started, 1)
            with interrupts_noted() as interrupts:
                run_.close(record)
            if log:
                log(record)
            if interrupts:
                raise Interrupted(run_.folder / state.STATE_FILE)
    with interrupts_noted():
        run_.save_network("last.h5")
    for data in (train, val):
        if note and data.left_out:
            note(data.left_out)
    return run_.net


class _Run:
    """The state of a training run: parameters, momentum, position, history."""

    def __init__(self, settings, train, progress, stop):
        self.settings, self.progress = settings, progress
        self.done, self.stop = 0, stop
        self.labels, self.fingerprint = train.labels, train.fingerprint()
        self.folder = Path(settings.output)
        self.net = build.build(settings.network, seed=settings.seed, classes=len(train.class_names))
        _check_sizes(self.net, settings)
        self.place = place_of(settings, several=True)
        self.net.attrs["classes"] = list(train.class_names)
        _set_dropout(self.net, settings.dropout)
        if settings.last_std is not None:
            last = [w for k, w in self.net.params.items() if k.endswith(".weight")][-1]
            last *= settings.last_std / last.std()
        self.net.params = {k: to_device(p, self.place.device) for k, p in self.net.params.items()}
        if len(self.labels) < settings.batch:
            raise MinicnnError(
                f"{len(self.labels)} pictures make no batch of {settings.batch}; use a smaller one"
            )
        self.threads = thread_count(settings.threads)
        self.replicas = self.place.replicas(self.net, settings.batch // settings.group)
        self.velocity = {
            name: array_module(p).zeros_like(p)
            for name, p in self.net.params.items()
            if not name.endswith((".mean", ".var"))
        }
        self.epoch = self.step = 0
        self.sums = np.zeros(3)  # loss, right answers, pictures of this epoch so far
        self.history = []

    @property
    def steps(self):
        return len(self.labels) // self.settings.batch

    def one_epoch(self, pictures, pool):
        """Run (the rest of) one epoch; return its record, or None if it was to stop before."""
        s = self.settings
        order = np.random.default_rng([s.seed, self.epoch]).permutation(len(self.labels))
        with interrupts_noted() as interrupts:
            while self.step < self.steps:
                self._one_step(pictures, order, pool)
                self.step, self.done = self.step + 1, self.done + 1
                left = (s.epochs - self.epoch) * self.steps - self.step
                losses = {"epoch": self.epoch + 1, "loss": self.sums[0] / self.sums[2]}
                self.progress(self.done, self.done + left, losses)
                if interrupts:
                    state.save(self)
                    raise Interrupted(self.folder / state.STATE_FILE)
                if self.stop and self.stop(self.done):
                    return None
        loss, right, count = self.sums.tolist()
        record = {"epoch": self.epoch + 1, "rate": self._rate(), "loss": loss / count}
        record["accuracy"] = right / count
        return record

    def close(self, record):
        """End the epoch of a record, and write what there is then.

        The state comes last: a run that is killed before does the epoch again.
        """
        self.epoch, self.step, self.sums = record["epoch"], 0, np.zeros(3)
        self.history.append(record)
        write_log(self.history, self.folder / LOG)
        if self.epoch in (self.settings.snapshots or ()):
            self.save_network(f"epoch-{self.epoch:03d}.h5")
        state.save(self)

    def _rate(self):
        done = (self.epoch * self.steps + self.step) / (self.settings.epochs * self.steps)
        return rate(self.settings.schedule, self.settings.rate, done)

    def _one_step(self, pictures, order, pool):
        s, epoch = self.settings, self.epoch
        lr = self._rate()

        def prepared(step, g):
            first = step * s.batch + g * s.group
            mine = order[first : first + s.group]
            rng = np.random.default_rng([s.seed, epoch, step, g])
            x = augment(pictures[mine], s.crop, s.border, s.flip, rng, self.net.attrs["preprocess"])
            return x, self.labels[mine], rng

        def group(g, x, labels, rng):
            # what is not finite ends in the loss, which is looked at below
            with np.errstate(over="ignore", invalid="ignore"):
                how = (s.smoothing, rng, self.place.convolution)
                return loss_and_gradients(self.replicas[g], x, labels, *how)

        self.place.spread(self.net)
        steps, groups = (self.step, self.steps), len(self.replicas)
        results = self.place.results(pool, *steps, groups, prepared, group)
        loss = float(np.mean([r[0] for r in results]))
        if not math.isfinite(loss):
            begun = (self.folder / state.STATE_FILE).exists()
            raise MinicnnError(
                f"training diverged: the loss is {loss} at epoch {self.epoch + 1}, step "
                f"{self.step + 1}, rate {lr:.3g}; "
                + ("go on from the last state (--resume)" if begun else "start again")
                + " with a smaller --rate"
            )
        self.sums += (loss * s.batch, sum(r[1] for r in results), s.batch)
        for replica in self.replicas:
            update_running_statistics(self.net.params, self.place.home(replica.batch_statistics()))
        first, *others = (self.place.home(gradients) for *_, gradients in results)
        for name in self.velocity:
            grad = first[name]
            for other in others:
                grad += other[name]
            grad /= len(results)
            if name.endswith(".weight"):
                grad += s.weight_decay * self.net.params[name]
            sgd_step(self.net.params[name], grad, self.velocity[name], lr, s.momentum, s.nesterov)
            if s.max_rms is not None and grad.ndim == 4:
                limit_rms(self.net.params[name], s.max_rms)

    def save_network(self, name):
        """Write the weights with their provenance."""
        self.net.attrs["training"] = {
            "settings": portable(self.settings),
            "data": self.fingerprint,
            "history": self.history,
        }
        checkpoint.save(self.net, self.folder / name)


def _check_sizes(net, settings):
    """Make the size of the pictures that of the network's input; refuse what it does not take."""
    table = net.input_shape[1]
    try:
        for side in (settings.crop, settings.size):
            set_input(net, [3, side, side])
    except MinicnnError as error:
        raise MinicnnError(f"{error}; use --size {table} --crop {table}") from None


def _set_dropout(net, p):
    net.nodes = [
        node._replace(layer=Dropout(p)) if isinstance(node.layer, Dropout) else node
        for node in net.nodes
    ]
