"""What a run says and writes on its way: progress, the trace as JSON, snapshots, frames."""

import time
from dataclasses import replace

from minicnn.pictures.arrays import to_uint16
from minicnn.pictures.writer import save_image
from minicnn.runs import loss_plot


def main_losses(losses: dict) -> dict:
    """Return the losses without those of single layers, the total first."""
    names = ["total", *(name for name in losses if name != "total" and "." not in name)]
    return {name: losses[name] for name in names if name in losses}


class Watch:
    """The callback of the optimizer: progress, JSON trace, snapshots, frames.

    Parameters
    ----------
    job : tasks.jobs.Job
    outputs : painting.Outputs
    report : Report
    progress : report.Progress
    started : float, seconds of the monotonic clock
    """

    def __init__(self, job, outputs, report, progress, started):
        self.job, self.outputs, self.report, self.progress = job, outputs, report, progress
        self.started = started
        self.snapshots = {job.lead + i for i in outputs.snapshots(job.steps - job.lead)}
        self.runs = {}  # number -> [iterations, first and last value]
        self.frames = outputs.frames
        if self.frames:
            self.frames.begin()
        self.shown = set(self.frames.steps(job.steps)[:-1]) if self.frames else set()

    def __call__(self, iteration, x, value, info):
        """Take what `optimizers.minimize` tells of an iteration."""
        losses = {"total": value, **info["terms"]}
        self.progress.update(iteration, main_losses(losses))
        self.report.event(
            "progress",
            iteration=iteration,
            iterations=self.job.steps,
            evaluations=info["evaluations"],
            losses=losses,
            seconds=round(time.monotonic() - self.started, 3),
        )
        count = self.runs.get(info.get("run", 0), [0])[0] + 1
        self.runs[info.get("run", 0)] = [count, info["first"], value]
        if iteration in self.snapshots:
            self._snapshot(iteration, x, losses, info["evaluations"])
        if iteration in self.shown:
            self.frames.add(iteration, self.job.snapshot(x), self.job.size)

    def finish(self, outcome):
        """Add the last picture, which is the result, and write the animation."""
        if self.frames and outcome.result.value == outcome.result.value:
            self.frames.add(self.job.steps, outcome.picture, outcome.picture.shape[:2])
            self.frames.finish()

    def _snapshot(self, iteration, x, losses, evaluations):
        """Write the picture as a run of so many iterations would end."""
        ended = {
            "losses": losses,
            "iterations": iteration,
            "evaluations": evaluations,
            "status": "budget",
            "reason": f"all {iteration} iterations are done",
            "course": loss_plot.course_of(self.runs.values()),
        }
        counted = iteration - self.job.lead
        settings = replace(self.job.settings, iterations=counted)
        path = self.outputs.snapshot(counted)
        save_image(
            path,
            pixels_of(self.job, self.job.snapshot(x), x),
            metadata=self.job.metadata(ended, settings),
            force=self.outputs.force,
        )
        self.report.event("snapshot", output=str(path), iteration=iteration)


def pixels_of(job, picture, x):
    """Return what goes into the file: the picture uint8 of x, or where wanted uint16."""
    return to_uint16(job.colours(x)) if getattr(job.settings, "bits", 8) == 16 else picture
