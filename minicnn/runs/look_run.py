"""A verb that looks at one picture, from its arguments to its files.

    arguments -> settings -> checked -> job (network, picture) -> `Look` -> files

`LookVerb` is that road for `deconv`, `saliency` and `occlusion`; a method gives its settings and
`open_job(settings, files)`, which returns a `LookJob`.
"""

import time
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np

from minicnn.backend import to_device
from minicnn.engine import memory
from minicnn.engine.select import Evaluation, evaluator_of
from minicnn.errors import MinicnnError
from minicnn.network.sizes import LARGEST
from minicnn.pictures.arrays import centre, fit, preprocess, resize
from minicnn.pictures.html import figures
from minicnn.pictures.overlays import magnified
from minicnn.pictures.sheets import figure, side_by_side
from minicnn.pictures.writer import check_output, save_image
from minicnn.runs import provenance
from minicnn.runs.inputs import OWN, Job, SettingsVerb, open_all
from minicnn.runs.settings import (
    RunOptions,
    Settings,
    SheetSettings,
    as_in,
    choice,
    count,
    setting,
    text,
)
from minicnn.storage.atomic import refuse_clashes
from minicnn.storage.interrupts import INTERRUPTED, interrupts_noted
from minicnn.storage.npz import check_npz, save_npz
from minicnn.terminal.report import Progress, duration


@dataclass(frozen=True)
class LookSettings(SheetSettings, Settings):
    """The settings of verbs that look at a picture."""

    image: str = setting(text("IMAGE"), help="picture to look at", argument=True)
    size: int | None = setting(
        count(LARGEST),
        None,
        "pixels of the picture's side",
        group="picture",
        shown="what the network was made for",
    )
    fit: str = setting(
        choice(("crop", "stretch", "whole")),
        "crop",
        "scale the short side and cut the centre out, make it square, or keep its shape",
        group="picture",
    )
    seed: int = as_in(Settings, "seed", group="network")

    def inputs(self):
        """Return {role: picture file}."""
        return {"image": self.image}


@dataclass(frozen=True, kw_only=True)
class LookOutputs(RunOptions):
    """What a look writes."""

    output: str = setting(text("OUT"), help="picture to write", group="files")
    overlay: str | None = setting(
        text("OUT2"), None, "also write it as heat on the picture", group="files"
    )
    sheet: str | None = setting(
        text("OUT3"), None, "also write all views side by side", group="files"
    )
    npz: str | None = setting(text("OUT4"), None, "also write the raw arrays", group="files")


@dataclass(frozen=True, kw_only=True)
class LookJob(Job):
    """Checked settings, and what they stand for.

    Attributes
    ----------
    evaluator : what walks the network
    picture : uint8 (H, W, 3), as the network sees it
    x : float32 (1, 3, H, W), the same preprocessed, on the device
    """

    evaluator: object
    picture: np.ndarray = field(repr=False)
    x: np.ndarray = field(repr=False)

    steps = 1  # parts of the work that `progress` counts

    @property
    def what(self):
        """What the verb makes, for titles."""
        return self.verb

    def figure(self, sheet, caption):
        """Return a sheet with what it is of above it, and a caption below."""
        s, network = self.settings, self.net.attrs["name"]
        title = f"{self.what} of {Path(s.image).name} in {network}"
        return figure(sheet, title, caption, paper=s.paper)


@dataclass
class Look:
    """What a look has found.

    Attributes
    ----------
    picture : uint8 (H, W, 3), the main picture
    is_view : bool, False if `picture` is one that networks are to be shown: it is not enlarged
    columns : str, what the pictures of the row are
    overlay : uint8 (H, W, 3), the finding on the picture looked at
    row : dict, label -> picture, what `--sheet` puts side by side
    arrays : dict, name -> array, the raw numbers for `--npz`
    findings : dict, plain values for `--json` and the metadata
    text : str, the same for people, in a line or a few
    notes : list of str, what to be aware of
    scales : dict, label -> `lettering.Scale` of those in the row that are maps
    """

    picture: np.ndarray
    overlay: np.ndarray
    row: dict
    arrays: dict
    findings: dict
    text: str
    notes: list = field(default_factory=list)
    scales: dict = field(default_factory=dict)
    columns: str = ""
    is_view: bool = True

    def pixels(self):
        """Return the main picture as it is written, small ones enlarged."""
        return magnified(self.picture) if self.is_view else self.picture

    def _repr_html_(self):
        """Return all views side by side, maps with their ranges, and what was found."""
        ends = {
            label: f", {scale.low:.4g} to {scale.high:.4g}" for label, scale in self.scales.items()
        }
        row = {label + ends.get(label, ""): rgb for label, rgb in self.row.items()}
        return f"{figures(row)}<pre>{escape(self.text)}</pre>"


def open_look(settings, kind, files=None):
    """Return the job (of class `kind`, a `LookJob`) of `LookSettings`.

    Raises
    ------
    MinicnnError
        For whatever would make it fail, in one line.
    """
    opened = open_all(settings, files, pool=OWN)
    net = opened.net
    rgb = fitted(opened.pictures["image"], settings.size or net.input_shape[1], settings.fit)
    if opened.device == "cpu":
        _check_memory(net, getattr(settings, "layer", None), rgb)
    x = to_device(preprocess(rgb, net.attrs["preprocess"]), opened.device)
    x = x.astype(net.dtype, copy=False)
    evaluator = evaluator_of(net, Evaluation(settings.engine, settings.threads))
    return opened.job(kind, settings, evaluator=evaluator, picture=rgb, x=x)


def _check_memory(net, layer, rgb):
    """Refuse a picture uint8 (H, W, 3) whose walk through the network will not fit."""
    try:
        outputs = memory.outputs(net, (1, 3, *rgb.shape[:2]), layer and [layer])
    except MinicnnError:
        return  # an unknown layer, a size that is not the network's: told where it is used
    need, side = memory.HELD * outputs, max(rgb.shape[:2])
    share = memory.SPARE * (memory.available() or 0) / need  # memory grows with the area
    memory.refuse_lack(need, f"use a --size of {int(side * share**0.5)} or less")


def fitted(rgb, size, how):
    """Return a picture at `size` pixels, see `LookSettings.fit`."""
    if how == "crop":
        return np.ascontiguousarray(centre(rgb, size))
    return resize(rgb, (size, size)) if how == "stretch" else fit(rgb, size)


class LookVerb(SettingsVerb):
    """A verb that looks at a picture: settings are a `LookSettings`."""

    def __init__(self, name, settings, opener, example):
        super().__init__(name, settings, LookOutputs, opener, example)

    def make(self, settings, outputs, report, files=None, weights=None) -> int:
        """Look, and write; return the exit code.

        Parameters
        ----------
        files : dict, optional
            role -> where a picture named in the settings lies now.
        weights : str, optional
            The SHA-256 that the network's parameters must have.
        """
        settings.check()
        _check_files(outputs, {**settings.inputs(), **(files or {})}.values())
        job = self.open_job(settings, files)
        weights = provenance.checked_weights(job.net, weights)
        for note in job.notes:
            report.note(note)
        started = time.monotonic()
        with report.progress(job.steps, "step") if job.steps > 1 else Progress() as progress:
            found = job.run(lambda done: progress.update(done, {}))
        seconds = time.monotonic() - started
        with interrupts_noted() as interrupts:
            _save(job, outputs, found, weights)
        for note in found.notes:
            report.note(note)
        rows, cols = found.pixels().shape[:2]
        report.result(
            f"{found.text}\n{outputs.output}: {cols} x {rows}, in {duration(seconds)}",
            output=str(outputs.output),
            **{f"{name}_output": str(path) for name, path in _further(outputs).items()},
            width=cols,
            height=rows,
            **found.findings,
            seconds=round(seconds, 3),
            notes=[*job.notes, *found.notes],
        )
        return INTERRUPTED if interrupts else 0


def _further(outputs):
    """Return {what: path} of what is wanted beside the picture."""
    paths = {name: getattr(outputs, name) for name in ("overlay", "sheet", "npz")}
    return {name: path for name, path in paths.items() if path}


def _check_files(outputs, inputs):
    """Raise `MinicnnError` if a file cannot be written, or is one of `inputs`."""
    paths = {"picture": outputs.output, **_further(outputs)}
    refuse_clashes(paths.values(), inputs)
    for name, path in paths.items():
        (check_npz if name == "npz" else check_output)(path, outputs.force)


def _save(job, outputs, found, weights):
    metadata = provenance.metadata(job, weights, {"status": "done", **found.findings})

    def save(path, rgb):
        save_image(path, rgb, metadata=metadata, force=outputs.force)

    save(outputs.output, found.pixels())
    if outputs.overlay:
        save(outputs.overlay, magnified(found.overlay))
    if outputs.sheet:
        views = [magnified(view) for view in found.row.values()]
        scales = [found.scales.get(label) for label in found.row]
        sheet = side_by_side(views, list(found.row), scales=scales, paper=job.settings.paper)
        save(outputs.sheet, job.figure(sheet, f"{found.text}\n{found.columns}"))
    if outputs.npz:
        save_npz(outputs.npz, found.arrays, metadata, force=outputs.force)
