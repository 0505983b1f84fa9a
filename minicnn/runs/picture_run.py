"""A verb that searches for a picture, from its arguments to its files.

    arguments -> settings -> checked -> job (resolved settings, arrays) -> optimizer -> files

`PictureVerb` is that road for `style`, `texture`, `invert` and `class-model`; a method gives its
settings and `open_job(settings, files)`, which returns a `search.SearchJob`.
"""

import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from minicnn.engine import memory
from minicnn.errors import MinicnnError
from minicnn.optimizers.resumable import SUFFIX, Resumable
from minicnn.optimizers.trace import columns, course, course_of
from minicnn.pictures.arrays import to_uint16
from minicnn.pictures.overlays import magnified
from minicnn.pictures.sheets import side_by_side
from minicnn.pictures.writer import STDOUT, check_bits, check_output, save_image
from minicnn.runs import provenance
from minicnn.runs.inputs import SettingsVerb
from minicnn.storage.atomic import refuse_clashes
from minicnn.storage.interrupts import INTERRUPTED, Breakable, interrupts_noted, interrupts_raised
from minicnn.storage.npz import check_npz, save_npz
from minicnn.terminal.report import duration

FAILED = 1
LARGE = 0.2  # share of the available memory: a run takes up to three times its layers' outputs
BROKEN = ("not-finite", "diverged")  # ends of a run whose picture is saved but not what was wanted
UNFINISHED = ("interrupted", *BROKEN)  # ends after which `--resume` makes the picture again


class PictureVerb(SettingsVerb):
    """A verb that searches for a picture."""

    def make(self, settings, outputs, report, files=None, weights=None) -> int:
        """Make the picture of settings, or estimate it; return the exit code.

        Parameters
        ----------
        files : dict, optional
            role -> where a picture named in the settings lies now.
        weights : str, optional
            The SHA-256 that the network's parameters must have.
        """
        settings.check_outputs(outputs)
        if getattr(outputs, "sweep", None):
            from minicnn.runs import sweep

            return sweep.run(self, settings, outputs, report)
        if outputs.estimate:
            from minicnn.runs.estimate import option

            return option.pictures(self, [settings], report)
        try:
            return _make(self, settings, outputs, report, files, weights)
        except MemoryError as error:
            lacking = str(error)
        from minicnn.runs.estimate import option  # here, where the arrays are gone

        raise option.out_of_memory(self, settings, files, lacking)


def _make(verb, settings, outputs, report, files, weights):
    settings.check()
    inputs = [*{**settings.inputs(), **(files or {})}.values()]
    if not outputs.resume:
        check_files(outputs, inputs)
    check_bits(outputs.output, getattr(settings, "bits", 8))
    job = verb.open_job(settings, files)
    weights = provenance.checked_weights(job.net, weights)
    job = job.lowered()
    about = provenance.metadata(job, weights, {})
    kept = _checkpoint_of(outputs)
    needed, stored = bool(outputs.checkpoint or outputs.resume), None
    searches = Resumable(kept, about, outputs.checkpoint_every, needed, report.note)
    if outputs.resume:
        status = provenance.made(outputs.output, about)
        if status and status not in UNFINISHED:
            searches.remove()
            told = f"{outputs.output} is there, made by the same settings: {status}"
            report.result(told, output=str(outputs.output), status=status, made="before")
            return 0
        stored = provenance.checkpoint(kept, about, report)
        outputs = replace(outputs, force=outputs.force or bool(stored or status))
    elif kept and Path(kept).exists():
        report.note(f"{kept} has a run that did not end; --resume goes on with it, this is anew")
    watch = Watch(job, outputs, report, weights)
    check_files(outputs, inputs, watch.files())
    check_memory(verb, job, settings, files)
    for note in job.notes:
        report.note(note, once=True)
    rows, cols = job.size

    def minimize(name, fun, x0, **options):
        return searches.minimize(name, Breakable(fun), x0, **options)

    with interrupts_noted() as interrupts, ExitStack() as beginning:
        beginning.enter_context(interrupts_raised())
        with report.progress(job.steps, what=f"{job.title}, {cols} x {rows}") as progress:
            # from the first iteration on there is something to lose
            watch.begun(progress, beginning.close, searches, stored)
            outcome = job.run(watch, minimize)
        beginning.close()
        if outcome.result.value != outcome.result.value:
            raise MinicnnError(f"no picture: {outcome.result.reason}; nothing was written")
        watch.finish(outcome)
        _save(job, outputs, outcome, watch.weights)
        code = _tell(job, outputs, outcome, report, watch.seconds())
        if not outcome.result.interrupted:
            searches.remove()
        elif searches.written:
            report.note(f"the same with --resume goes on from iteration {searches.written}")
    return INTERRUPTED if interrupts else code


def _checkpoint_of(outputs):
    """Return the file that a search keeps, None for one whose picture goes to stdout."""
    if outputs.checkpoint or outputs.output != STDOUT:
        return outputs.checkpoint or f"{outputs.output}{SUFFIX}"
    if outputs.resume:
        raise MinicnnError("nothing is kept beside stdout; give --checkpoint FILE with --resume")
    return None


def check_memory(verb, job, settings, files=None) -> None:
    """Refuse a run that does not fit before it computes; only a large one is measured for it."""
    room, outputs = memory.available(), job.outputs()
    if room is not None and outputs > LARGE * room:
        from minicnn.runs.estimate import option

        option.refuse_unfit(verb, settings, files, memory.HELD * outputs)


def check_files(outputs, inputs, further=()) -> None:
    """Raise `MinicnnError` if a file cannot be written, is one of `inputs`, or is named twice."""
    npz = getattr(outputs, "npz", None)
    wanted = [outputs.output, outputs.sheet, npz, outputs.plot, getattr(outputs, "gif", None)]
    paths = [path for path in [*wanted, *further] if path]
    refuse_clashes(paths, inputs)
    for path in paths:
        if path != wanted[-1] and (path in wanted or Path(path).parent.is_dir()):
            (check_npz if path == npz else check_output)(path, outputs.force)
    if outputs.plot:
        from minicnn.runs import loss_plot

        loss_plot.check()
    if getattr(outputs, "frames", None) or getattr(outputs, "every", None) or wanted[-1]:
        from minicnn.runs.frames import Frames

        Frames.of(outputs).check()


def main_losses(losses: dict) -> dict:
    """Return the losses without those of single layers, the total first."""
    names = ["total", *(name for name in losses if name != "total" and "." not in name)]
    return {name: losses[name] for name in names if name in losses}


class Watch:
    """The callback of the optimizer: progress, JSON trace, snapshots, frames.

    Parameters
    ----------
    job : SearchJob
    outputs : Outputs
    report : Report
    weights : str, SHA-256 of the network's parameters
    """

    def __init__(self, job, outputs, report, weights):
        self.job, self.outputs, self.report, self.weights = job, outputs, report, weights
        self.started, self.progress = time.monotonic(), None
        self.runs = {}  # number -> [iterations, first and last value]
        step, steps = getattr(outputs, "save_every", None), job.steps - job.lead
        self.snapshots = [job.lead + i for i in range(step, steps, step)] if step else []
        self.frames, self.shown = None, set()
        if getattr(outputs, "frames", None) or getattr(outputs, "gif", None):
            from minicnn.runs.frames import Frames

            self.frames = Frames.of(outputs)
            self.shown = set(self.frames.steps(job.steps)[:-1])

    def files(self) -> list:
        """Return the files that are written on the way."""
        return [
            *map(self._snapshot_path, self.snapshots),
            *(self.frames.paths(self.job.steps) if self.frames else []),
        ]

    def begun(self, progress, has_begun, searches, stored=None) -> None:
        """Start the clock, or go on from a checkpoint: what `resumable.read` has `stored`.

        has_begun() is called in every iteration.
        """
        if self.frames:
            self.frames.begin()
            searches.more = self.frames.arrays
        if stored:
            searches.resume(stored)
            self.runs = searches.courses()
            if self.frames:
                self.frames.restore(stored.more)
        self.started, self.progress, self.has_begun = time.monotonic(), progress, has_begun

    def seconds(self) -> float:
        """Return how long the run has taken."""
        return time.monotonic() - self.started

    def __call__(self, iteration, x, value, info):
        """Take what `optimizers.minimize` tells of an iteration."""
        self.has_begun()
        losses = {"total": value, **info["terms"]}
        self.progress.update(iteration, main_losses(losses))
        self.report.event(
            "progress",
            iteration=iteration,
            iterations=self.job.steps,
            evaluations=info["evaluations"],
            losses=losses,
            seconds=round(self.seconds(), 3),
        )
        count = self.runs.get(info.get("run", 0), [0])[0] + 1
        self.runs[info.get("run", 0)] = [count, info["first"], value]
        if iteration in self.snapshots:
            self._snapshot(iteration, x, losses, info["evaluations"])
        if iteration in self.shown:
            self.frames.add(iteration, self.job.snapshot(x), self.job.size)

    def finish(self, outcome):
        """Add the last picture, which is the result, and write the animation."""
        if self.frames:
            self.frames.add(self.job.steps, outcome.picture, outcome.picture.shape[:2])
            self.frames.finish()

    def _snapshot_path(self, iteration):
        path = Path(self.outputs.output)
        return path.with_name(f"{path.stem}-{iteration - self.job.lead:04d}{path.suffix}")

    def _snapshot(self, iteration, x, losses, evaluations):
        """Write the picture as a run of so many iterations would end."""
        ended = {
            "losses": losses,
            "iterations": iteration,
            "evaluations": evaluations,
            "status": "budget",
            "reason": f"all {iteration} iterations are done",
            "course": course_of(self.runs.values()),
        }
        path = self._snapshot_path(iteration)
        metadata = provenance.metadata(self.job, self.weights, ended, self.job.until(iteration))
        pixels = _pixels(self.job, self.job.snapshot(x), x)
        save_image(path, pixels, metadata=metadata, force=self.outputs.force)
        self.report.event("snapshot", output=str(path), iteration=iteration)


def _pixels(job, picture, x):
    """Return what goes into the file: the picture uint8 of x, or where wanted uint16."""
    return to_uint16(job.colours(x)) if getattr(job.settings, "bits", 8) == 16 else picture


def metadata_of(job, outcome, weights) -> dict:
    """Return what the picture of an `Outcome` carries; `weights` is the network's SHA-256."""
    result = outcome.result
    ended = {
        "losses": outcome.losses,
        **{k: getattr(result, k) for k in ("iterations", "evaluations", "status", "reason")},
        "course": course(result.trace),
        **outcome.findings,
    }
    return provenance.metadata(job, weights, ended)


def _save(job, outputs, outcome, weights):
    result, metadata = outcome.result, metadata_of(job, outcome, weights)
    pixels = _pixels(job, outcome.picture, result.x)
    if outputs.sheet:
        save_image(outputs.sheet, _sheet(job, outcome), metadata=metadata, force=outputs.force)
    if outputs.plot:
        from minicnn.runs import loss_plot

        trace = columns(result.trace)
        drawing = loss_plot.draw(trace, f"{job.verb}: {Path(outputs.output).name}")
        told = {**metadata, "trace": trace}
        save_image(outputs.plot, drawing, metadata=told, force=outputs.force)
    if getattr(outputs, "npz", None):
        save_npz(outputs.npz, outcome.arrays, metadata, force=outputs.force)
    # the last, as `--resume` takes it for a sign that all is there
    save_image(outputs.output, pixels, metadata=metadata, force=outputs.force)


def _sheet(job, outcome):
    """Return what went in and what came out, as a figure."""
    row = job.views(outcome)
    if "" in row:
        return row[""]
    views = [magnified(view) for view in row.values()]
    sheet = side_by_side(views, list(row), paper=job.settings.paper)
    return job.figure(sheet, f"{outcome.result.iterations} iterations; {_losses(outcome)}")


def _losses(outcome):
    return ", ".join(f"{name} {value:.4g}" for name, value in main_losses(outcome.losses).items())


def _tell(job, outputs, outcome, report, seconds):
    """Say the result; return the exit code."""
    result, (rows, cols) = outcome.result, outcome.picture.shape[:2]
    found = getattr(outcome, "text", "")  # what was measured, for people
    report.result(
        (f"{found}\n" if found else "")
        + f"{outputs.output}: {cols} x {rows}, {result.iterations} iterations in "
        f"{duration(seconds)}; {_losses(outcome)}; {result.reason}",
        output=str(outputs.output),
        sheet=outputs.sheet and str(outputs.sheet),
        width=cols,
        height=rows,
        iterations=result.iterations,
        evaluations=result.evaluations,
        losses=outcome.losses,
        trace=columns(result.trace),
        plot=outputs.plot and str(outputs.plot),
        status=result.status,
        reason=result.reason,
        seconds=round(seconds, 3),
        notes=job.notes,
        **outcome.findings,
    )
    if result.interrupted:
        report.note(f"{result.reason}; the best picture so far is saved")
        return INTERRUPTED
    if result.status in BROKEN:
        report.note(f"error: {result.reason}; the best picture before that is saved")
        return FAILED
    return 0
