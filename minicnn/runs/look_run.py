"""Look at one picture and write what was found: for deconv, saliency and occlusion."""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from minicnn.errors import MinicnnError
from minicnn.terminal import parser
from minicnn.terminal.report import Report, duration


@dataclass(frozen=True)
class Outputs:
    """Where the results go; what is None is not written."""

    picture: str
    overlay: str | None = None
    sheet: str | None = None
    npz: str | None = None
    force: bool = False

    def named(self) -> dict:
        """Return {what: path} of all that are wanted."""
        paths = {name: getattr(self, name) for name in ("picture", "overlay", "sheet", "npz")}
        return {name: path for name, path in paths.items() if path}

    def check(self, inputs) -> None:
        """Raise `MinicnnError` if a file cannot be written, or is one of `inputs`."""
        from minicnn.pictures.writer import check_output
        from minicnn.storage.npz import check_npz

        taken = {Path(path).resolve(): "an input of this run" for path in inputs}
        for name, path in self.named().items():
            place = Path(path).resolve()
            if place in taken:
                raise MinicnnError(f"cannot write {str(path)!r}: it is {taken[place]}")
            taken[place] = "already to be written by this run"
            (check_npz if name == "npz" else check_output)(path, self.force)


def add_image_and_class(verb) -> None:
    """Declare the picture, and which of its classes is meant."""
    verb.add_argument("image", metavar="IMAGE", help="picture to look at")
    verb.add_argument(
        "--class",
        dest="wanted_class",
        metavar="C",
        help="number from 0, or name (default: the most probable)",
    )


def add_options(verb) -> None:
    """Declare the options that all these verbs share."""
    verb.add_argument("-o", "--output", metavar="OUT", required=True, help="picture to write")
    verb.add_argument("--overlay", metavar="OUT2", help="also write it as heat on the picture")
    verb.add_argument("--sheet", metavar="OUT3", help="also write all views side by side")
    verb.add_argument("--npz", metavar="OUT4", help="also write the raw arrays")
    add_network_options(verb)
    verb.add_argument(
        "--fit",
        choices=("crop", "stretch", "whole"),
        default="crop",
        help="cut the centre out, make it square, or keep its shape (default: crop)",
    )
    parser.add_output_options(verb)


def add_network_options(verb) -> None:
    """Declare which network, and how it computes."""
    parser.add_network_options(verb)
    verb.add_argument(
        "--size",
        metavar="N",
        type=parser.count,
        help="pixels of the picture's side (default: what the network was made for)",
    )
    verb.add_argument(
        "--seed", metavar="N", type=parser.seed, default=0, help="of all randomness (default: 0)"
    )
    parser.add_machine_options(verb)


def run(settings, args) -> int:
    """Do what a verb's arguments ask for."""
    outputs = Outputs(args.output, args.overlay, args.sheet, args.npz, args.force)
    return look(settings, outputs, Report(as_json=args.json, quiet=args.quiet))


def look(settings, outputs: Outputs, report: Report, files=None, weights=None) -> int:
    """Look, and write; return the exit code.

    Parameters
    ----------
    files : dict, optional
        role -> where a picture named in the settings lies now.
    weights : str, optional
        The SHA-256 that the network's parameters must have.
    """
    outputs.check({**settings.inputs(), **(files or {})}.values())
    job = settings.prepare(files)
    job.check_weights(weights)
    for note in job.notes:
        report.note(note)
    started = time.monotonic()
    quiet = job.steps == 1
    with contextlib.nullcontext() if quiet else report.progress(job.steps, "step") as progress:
        found = job.run(None if quiet else lambda done: progress.update(done, {}))
    seconds = time.monotonic() - started
    _save(job, outputs, found)
    for note in found.notes:
        report.note(note)
    rows, cols = found.picture.shape[:2]
    report.result(
        f"{found.text}\n{outputs.picture}: {cols} x {rows}, in {duration(seconds)}",
        output=str(outputs.picture),
        **{f"{name}_output": str(p) for name, p in outputs.named().items() if name != "picture"},
        width=cols,
        height=rows,
        **found.findings,
        seconds=round(seconds, 3),
        notes=[*job.notes, *found.notes],
    )
    return 0


def _save(job, outputs, found):
    from minicnn.pictures.overlays import magnified
    from minicnn.pictures.sheets import side_by_side
    from minicnn.pictures.writer import save_image
    from minicnn.storage.npz import save_npz

    metadata = job.metadata({"status": "done", **found.findings})
    save_image(outputs.picture, found.picture, metadata=metadata, force=outputs.force)
    if outputs.overlay:
        save_image(outputs.overlay, found.overlay, metadata=metadata, force=outputs.force)
    if outputs.sheet:
        sheet = side_by_side([magnified(view) for view in found.row.values()], list(found.row))
        save_image(outputs.sheet, sheet, metadata=metadata, force=outputs.force)
    if outputs.npz:
        save_npz(outputs.npz, found.arrays, metadata, force=outputs.force)
