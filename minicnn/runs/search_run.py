"""Make one stylised picture: check where it goes, run with progress, write it. For three verbs."""

import time
from dataclasses import dataclass
from pathlib import Path

from minicnn.errors import MinicnnError
from minicnn.pictures.writer import check_bits, check_output, save_image
from minicnn.runs import loss_plot
from minicnn.runs.estimate import option
from minicnn.runs.frames import Frames
from minicnn.runs.watch import Watch, main_losses, pixels_of
from minicnn.storage.npz import check_npz, save_npz
from minicnn.terminal import parser
from minicnn.terminal.report import Report, duration

INTERRUPTED, FAILED = 130, 1
OPTIONS = ("sheet", "save_every", "force", "npz", "plot")  # of a verb, as of `Outputs`
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
    option.add_option(verb)
    parser.add_machine_options(verb, low_memory=True)
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
    add_bits_option(verb)


def add_padding_option(verb) -> None:
    """Declare what is beyond the edges."""
    verb.add_argument(
        "--padding",
        choices=("zero", "replicate"),
        help="what the first layer sees beyond the edge: zeros, or the edge again (default: zero, "
        "but for networks whose first layer pads nothing)",
    )


def add_bits_option(verb) -> None:
    """Declare the depth of the picture's colours."""
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

    @classmethod
    def of(cls, args):
        """Return those that the arguments of a verb ask for, of the options that it has."""
        own = {name: getattr(args, name) for name in OPTIONS if hasattr(args, name)}
        frames = Frames.of(args) if hasattr(args, "frames") else None
        return cls(args.output, frames=frames, **own)

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
        return option.pictures([settings], report(args))
    return paint(settings, outputs, report(args))


def paint(settings, outputs: Outputs, report: Report, files=None, weights=None) -> int:
    """Make the picture of the settings (see `job`); return the exit code.

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
    raise option.out_of_memory(settings, files, text)  # here, where the arrays are gone


def _paint(settings, outputs, report, files, weights):
    inputs = {**settings.inputs(), **(files or {})}
    outputs.check(inputs.values())
    check_bits(outputs.picture, getattr(settings, "bits", 8))
    job = settings.prepare(files)
    outputs.check(inputs.values(), job.steps - job.lead, job.lead)
    job.check_weights(weights)
    for note in job.notes:
        report.note(note)
    started = time.monotonic()
    with report.progress(job.steps) as progress:
        watch = Watch(job, outputs, report, progress, started)
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


def _save(job, outputs, outcome):
    from minicnn.pictures.sheets import side_by_side

    result = outcome.result
    ended = {
        "losses": outcome.losses,
        **{k: getattr(result, k) for k in ("iterations", "evaluations", "status", "reason")},
        "course": loss_plot.course(result.trace),
        **outcome.findings,
    }
    metadata = job.metadata(ended)
    pixels = pixels_of(job, outcome.picture, result.x)
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
