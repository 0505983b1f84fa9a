"""Make one stylised picture: check where it goes, run with progress, write it. For three verbs."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from minicnn.cli import estimating, parser
from minicnn.cli.frames import Frames
from minicnn.cli.report import Report, duration
from minicnn.errors import MinicnnError
from minicnn.images import check_output, save_image, to_uint16
from minicnn.npz_writer import check_npz, save_npz
from minicnn.picture_writer import check_bits
from minicnn.tasks import loss_plot

INTERRUPTED, FAILED = 130, 1
BROKEN = ("not-finite", "diverged")  # ends of a run whose picture is saved but not what was wanted


def add_file_options(verb, row: str) -> None:
    """Declare the files to write; `row` says what stands on the sheet."""
    verb.add_argument("-o", "--output", metavar="OUT", required=True, help="picture to write")
    verb.add_argument("--sheet", metavar="OUT2", help=f"also write {row} in a row")
    add_plot_option(verb)


def add_plot_option(verb) -> None:
    """Declare the drawing of the losses."""
    verb.add_argument(
        "--plot", metavar="LOSS.png", help="also draw every term of the loss (extra `plot`)"
    )


def add_run_options(verb, pool: str = "the network's", search: bool = True) -> None:
    """Declare seed, network, search and machine; `pool` is the pooling by default."""
    verb.add_argument(
        "--seed", metavar="N", type=parser.seed, default=0, help="of the noise (default: 0)"
    )
    parser.add_network_options(verb, pool)
    if search:
        parser.add_optimizer_options(verb)
    estimating.add_option(verb)
    parser.add_machine_options(verb)
    parser.add_output_options(verb)


def add_snapshot_options(verb) -> None:
    """Declare the pictures on the way."""
    verb.add_argument(
        "--save-every",
        metavar="N",
        type=parser.count,
        help="also write OUT-0100.png and so on every N iterations",
    )


def add_large_options(verb) -> None:
    """Declare what large and fine pictures need."""
    verb.add_argument(
        "--tile",
        metavar="N",
        type=parser.count,
        help="compute in tiles of N x N pixels: in less memory and more time, the same loss",
    )
    verb.add_argument(
        "--bits",
        metavar="8|16",
        type=int,
        choices=(8, 16),
        default=8,
        help="bits a channel of the picture; 16 for .png (default: 8)",
    )


@dataclass(frozen=True)
class Outputs:
    """Where the picture goes, its sheet, its arrays, and a snapshot every so many iterations."""

    picture: str
    sheet: str | None = None
    save_every: int | None = None
    force: bool = False
    npz: str | None = None
    plot: str | None = None
    frames: Frames | None = None

    def snapshot(self, iteration: int) -> Path:
        """Return the name of the snapshot of an iteration."""
        path = Path(self.picture)
        return path.with_name(f"{path.stem}-{iteration:04d}{path.suffix}")

    def snapshots(self, iterations: int) -> list:
        """Return the iterations, before the last, whose picture is wanted too."""
        step = self.save_every
        return list(range(step, iterations, step)) if step else []

    def check(self, inputs, iterations: int = 1, lead: int = 0) -> None:
        """Raise `MinicnnError` if a file cannot be written, or is one of `inputs`."""
        snapshots = map(self.snapshot, self.snapshots(iterations))
        outputs = [self.picture, self.sheet, self.npz, self.plot, *snapshots]
        animated = self.frames.outputs(lead + iterations) if self.frames else []
        if self.plot:
            loss_plot.check()
        taken = {Path(path).resolve(): "an input of this run" for path in inputs}
        for path in filter(None, [*outputs, *animated]):
            place = Path(path).resolve()
            if place in taken:
                raise MinicnnError(f"cannot write {str(path)!r}: it is {taken[place]}")
            taken[place] = "already to be written by this run"
        if self.frames:
            self.frames.check(lead + iterations)
        for path in filter(None, outputs):
            (check_npz if path == self.npz else check_output)(path, self.force)


def report(args) -> Report:
    """Return the voice that the arguments ask for."""
    return Report(as_json=args.json, quiet=args.quiet)


def run(settings, outputs: Outputs, args) -> int:
    """Do what the arguments of a verb ask for: estimate, or make the picture."""
    if args.estimate:
        return estimating.picture(settings, report(args))
    return paint(settings, outputs, report(args))


def paint(settings, outputs: Outputs, report: Report, files=None, weights=None) -> int:
    """Make the picture of the settings (see `tasks.jobs`); return the exit code.

    Parameters
    ----------
    files : dict, optional
        role -> where a picture named in the settings lies now.
    weights : str, optional
        The SHA-256 that the network's parameters must have.
    """
    try:
        return _paint(settings, outputs, report, files, weights)
    except MemoryError as error:
        text = str(error)
    raise estimating.out_of_memory(settings, files, text)  # here, where the arrays are gone


def _paint(settings, outputs, report, files, weights):
    inputs = {**settings.inputs(), **(files or {})}
    outputs.check(inputs.values())
    check_bits(outputs.picture, getattr(settings, "bits", 8))
    job = settings.prepare(files)
    outputs.check(inputs.values(), job.steps - job.lead, job.lead)
    if weights not in (None, job.weights_hash):
        raise MinicnnError(
            f"the weights of {job.net.attrs['name']} are others now (SHA-256 {job.weights_hash}, "
            f"then {weights}); put the old file back"
        )
    for note in job.notes:
        report.note(note)
    started = time.monotonic()
    with report.progress(job.steps) as progress:
        watch = _Watch(job, outputs, report, progress, started)
        outcome = job.run(watch)
        watch.finish(outcome)
    seconds = time.monotonic() - started
    result = outcome.result
    if result.value != result.value:
        raise MinicnnError(f"no picture: {result.reason}; nothing was written")
    _save(job, outputs, outcome)
    rows, cols = outcome.picture.shape[:2]
    losses = ", ".join(f"{name} {value:.4g}" for name, value in main_losses(outcome.losses).items())
    found = getattr(outcome, "text", "")  # what was measured, for people
    report.result(
        (f"{found}\n" if found else "")
        + f"{outputs.picture}: {cols} x {rows}, {result.iterations} iterations in "
        f"{duration(seconds)}; {losses}; {result.reason}",
        output=str(outputs.picture),
        sheet=outputs.sheet and str(outputs.sheet),
        width=cols,
        height=rows,
        iterations=result.iterations,
        evaluations=result.evaluations,
        losses=outcome.losses,
        trace=loss_plot.columns(result.trace),
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


def main_losses(losses: dict) -> dict:
    """Return the losses without those of single layers, the total first."""
    names = ["total", *(name for name in losses if name != "total" and "." not in name)]
    return {name: losses[name] for name in names if name in losses}


class _Watch:
    """The callback of the optimizer: progress, JSON trace, snapshots."""

    def __init__(self, job, outputs, report, progress, started):
        self.job, self.outputs, self.report, self.progress = job, outputs, report, progress
        self.started = started
        self.snapshots = {job.lead + i for i in outputs.snapshots(job.steps - job.lead)}
        self.frames = outputs.frames
        if self.frames:
            self.frames.begin()
        self.shown = set(self.frames.steps(job.steps)[:-1]) if self.frames else set()

    def __call__(self, iteration, x, value, info):
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
        }
        counted = iteration - self.job.lead
        settings = replace(self.job.settings, iterations=counted)
        path = self.outputs.snapshot(counted)
        save_image(
            path,
            _pixels(self.job, self.job.snapshot(x), x),
            metadata=self.job.metadata(ended, settings),
            force=self.outputs.force,
        )
        self.report.event("snapshot", output=str(path), iteration=iteration)


def _pixels(job, picture, x):
    """Return the picture uint8 of x as it goes into the file, of 8 or of 16 bits a channel."""
    return to_uint16(job.colours(x)) if getattr(job.settings, "bits", 8) == 16 else picture


def _save(job, outputs, outcome):
    from minicnn.sheets import side_by_side

    result = outcome.result
    ended = {
        "losses": outcome.losses,
        **{k: getattr(result, k) for k in ("iterations", "evaluations", "status", "reason")},
        **outcome.findings,
    }
    metadata = job.metadata(ended)
    pixels = _pixels(job, outcome.picture, result.x)
    save_image(outputs.picture, pixels, metadata=metadata, force=outputs.force)
    if outputs.sheet:
        row = job.row(outcome)
        sheet = side_by_side(list(row.values()), list(row))
        save_image(outputs.sheet, sheet, metadata=metadata, force=outputs.force)
    if outputs.plot:
        trace = loss_plot.columns(result.trace)
        drawing = loss_plot.draw(trace, f"{job.verb}: {Path(outputs.picture).name}")
        settings = {**metadata, "trace": trace}
        save_image(outputs.plot, drawing, metadata=settings, force=outputs.force)
    if outputs.npz:
        save_npz(outputs.npz, outcome.arrays, metadata, force=outputs.force)
