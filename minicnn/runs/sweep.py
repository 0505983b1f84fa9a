"""One picture for every value of an option, or for every pair of two, and a sheet of them all.

The table of Gatys et al. 2015 (arXiv 1508.06576, figure 3): layers added one by one downwards, the
ratio of the weights from left to right.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from minicnn.errors import MinicnnError
from minicnn.pictures.overlays import magnified
from minicnn.pictures.reader import load_image
from minicnn.pictures.sheets import figure, table
from minicnn.pictures.writer import check_output, read_metadata, save_image
from minicnn.runs.options import option_of
from minicnn.runs.picture_run import check_files, check_memory
from minicnn.runs.settings import refusal
from minicnn.storage.interrupts import INTERRUPTED, interrupts_noted

MOST = 100  # pictures of a sweep
LAYERS = "style-layers"  # with no values: the layers of the style, added one by one


@dataclass(frozen=True)
class Axis:
    """An option and what it is set to, [(label, {setting: value})]; no cells for the layers."""

    option: str
    cells: list

    @classmethod
    def of(cls, text, settings):
        """Read "style-weight=1,10,100", or "style-layers", for a class of settings."""
        option, equals, values = text.partition("=")
        option = option.strip().removeprefix("--")
        layered = "style_layers" in settings.by_name()
        if layered and option == LAYERS and not equals:
            return cls(option, [])
        known = _numeric(settings)
        example = f"style-weight=1,10,100, or {LAYERS} alone" if layered else "tv-weight=1,10,100"
        if option not in known or not equals:
            raise MinicnnError(
                f"{text!r} sweeps nothing; write {example}; the options are {', '.join(known)}"
            )
        name, kind = known[option]
        texts = [value.strip() for value in values.split(",")]
        read = []
        for value in texts:
            try:
                read.append(kind.read(value))
            except ValueError:
                raise MinicnnError(refusal(option, repr(value), kind)) from None
            if isinstance(read[-1], list) or not kind.fits(read[-1]):
                raise MinicnnError(refusal(option, value, kind))
        if len(set(read)) < len(read):
            raise MinicnnError(f"{text!r} has a value twice; give each once")
        return cls(option, [(f"{option} {t}", {name: v}) for t, v in zip(texts, read, strict=True)])


def _numeric(settings):
    """Return {option: (setting, kind)} of the settings that are numbers."""
    found = {}
    for field, declared in settings.declared():
        kind = declared.kind
        try:
            number = not declared.argument and isinstance(kind.read("1"), (int, float))
        except ValueError:
            number = False
        if number and not kind.choices and not isinstance(field.default, bool):
            found[option_of(field, declared).removeprefix("--")] = field.name, kind
    return found


def _layer_cells(verb, settings):
    layers = verb.open_job(settings).settings.style_layers
    rows = []
    for count, layer in enumerate(layers, 1):
        first = dict(list(layers.items())[:count])
        rows.append(("+ " * (count > 1) + layer, {"style_layers": first}))
    return rows


def run(verb, settings, outputs, report) -> int:
    """Make all pictures and the sheet; return the exit code.

    A run that was interrupted ends the sweep: the sheet has what there is.
    """
    cells = _cells(verb, settings, outputs)
    many = [replace(settings, **values) for _, values in cells]
    if outputs.estimate:
        from minicnn.runs.estimate import option

        return option.pictures(verb, many, report)
    sheet, force = outputs.output, outputs.force
    metadata = {"verb": f"{verb.name} --sweep"}
    if outputs.resume and _is_sheet(sheet, metadata):
        force = True
    check_output(sheet, force)
    parts = [replace(outputs, output=str(_name(sheet, labels)), sweep=None) for labels, _ in cells]
    for one, part in zip(many, parts, strict=True):
        if not outputs.resume:  # each is looked at when its turn comes
            check_files(part, one.inputs().values())
        job = verb.open_job(one)
        check_memory(verb, job, one)  # all of them are fit, or none is begun
        title = job.title
    made, code = [], 0
    for one, part in zip(many, parts, strict=True):
        try:
            code = max(code, verb.make(one, part, report))
        except KeyboardInterrupt:  # before it had a picture
            if not made:
                raise
            code = INTERRUPTED
            break
        made.append(part.output)
        if code == INTERRUPTED:
            break
    pictures = [magnified(load_image(name)[0]) for name in made]
    axes = zip(*(labels for labels, _ in cells), strict=True)
    labels = [list(dict.fromkeys(axis)) for axis in axes]
    rows, columns = labels if len(labels) == 2 else ([""], labels[0])
    metadata["pictures"] = made
    rgb = table(pictures, rows, columns, paper=settings.paper)
    rgb = figure(rgb, title, "", paper=settings.paper)
    with interrupts_noted():
        save_image(sheet, rgb, metadata=metadata, force=force)
    report.result(
        f"{sheet}: {len(made)} of {len(cells)} pictures",
        output=str(sheet),
        pictures=made,
        width=rgb.shape[1],
        height=rgb.shape[0],
    )
    return code


def _is_sheet(path, metadata):
    """Return whether a file is a sheet of such a sweep."""
    try:
        return metadata.items() <= read_metadata(path).items()
    except MinicnnError:
        return False


def _cells(verb, settings, outputs):
    """Return [((label, ...), {setting: value})] of every picture, row by row."""
    axes = outputs.sweep
    if len(axes) > 2 or len({axis.option for axis in axes}) < len(axes):
        raise MinicnnError("--sweep takes one option, or two different ones for a table")
    for name in ("sheet", "save_every", "plot", "frames", "gif"):
        if getattr(outputs, name, None):
            option = name.replace("_", "-")
            raise MinicnnError(f"--sweep writes a sheet of many pictures; leave out --{option}")
    cells = [((), {})]
    for axis in axes:
        cells = [
            ((*labels, label), {**values, **value})
            for labels, values in cells
            for label, value in axis.cells or _layer_cells(verb, settings)
        ]
    if len(cells) > MOST:
        raise MinicnnError(f"--sweep asks for {len(cells)} pictures; use at most {MOST}")
    return cells


def _name(sheet, labels):
    """Return the file of a picture, beside the sheet."""
    path = Path(sheet)
    parts = [label.removeprefix("+ ").replace(" ", "-").replace("/", "-") for label in labels]
    return path.with_name("-".join([path.stem, *parts]) + path.suffix)
