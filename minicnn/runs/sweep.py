"""One picture for every value of an option, or for every pair of two, and a sheet of them all.

The table of Gatys et al. 2015 (arXiv 1508.06576, figure 3): layers added one by one downwards, the
ratio of the weights from left to right.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from minicnn.errors import MinicnnError
from minicnn.pictures.reader import load_image
from minicnn.pictures.table import table
from minicnn.pictures.writer import check_output, save_image
from minicnn.runs import search_run
from minicnn.runs.estimate import option as estimate_option
from minicnn.terminal import parser

MOST = 100  # pictures of a sweep
LAYERS = "style-layers"  # with no values: the layers of the style, added one by one
# option -> how a value is read
NUMBERS = {
    "content-weight": parser.weight,
    "style-weight": parser.weight,
    "tv-weight": parser.weight,
    "noise-ratio": parser.share,
    "style-scale": parser.rate,
    "learning-rate": parser.rate,
    "size": parser.count,
    "style-size": parser.count,
    "scales": parser.count,
    "iterations": parser.count,
    "coarse-iterations": parser.count,
    "seed": parser.seed,
}


@dataclass(frozen=True)
class Axis:
    """An option and the texts of its values, none for `LAYERS`."""

    option: str
    values: tuple = ()

    @property
    def name(self):
        """The setting that the option stands for."""
        return self.option.replace("-", "_")

    def cells(self, settings) -> list:
        """Return [(label, {setting: value})]."""
        if self.option == LAYERS:
            rows, layers = [], settings.prepare().settings.style_layers
            for count, layer in enumerate(layers, 1):
                first = dict(list(layers.items())[:count])
                rows.append(("+ " * (count > 1) + layer, {self.name: first}))
            return rows
        read = NUMBERS[self.option]
        return [(f"{self.option} {text}", {self.name: read(text)}) for text in self.values]


def add_option(verb) -> None:
    """Declare the option."""
    verb.add_argument(
        "--sweep",
        metavar="OPTION=V,V,...",
        type=axis,
        action="append",
        default=[],
        help="a picture for each value of a numeric option, such as style-weight=1,10,100, as "
        "OUT-style-weight-1.png and so on, and OUT is a sheet of them; a second --sweep makes it a "
        f"table; {LAYERS} alone adds the layers one by one",
    )


def axis(text: str) -> Axis:
    """Read "style-weight=1,10,100", or "style-layers"."""
    option, equals, values = text.partition("=")
    option = option.strip().removeprefix("--")
    if option == LAYERS and not equals:
        return Axis(option)
    if option not in NUMBERS or not equals:
        raise argparse.ArgumentTypeError(
            f"{text!r} sweeps nothing; write style-weight=1,10,100, or {LAYERS} alone; the options "
            f"are {', '.join(NUMBERS)}"
        )
    texts = tuple(value.strip() for value in values.split(","))
    for value in texts:
        NUMBERS[option](value)
    if len({NUMBERS[option](value) for value in texts}) < len(texts):
        raise argparse.ArgumentTypeError(f"{text!r} has a value twice; give each once")
    return Axis(option, texts)


def run(settings, args) -> int:
    """Make all pictures and the sheet; return the exit code.

    A run that was interrupted ends the sweep: the sheet has what there is.
    """
    report = search_run.report(args)
    cells = _cells(settings, args)
    if args.estimate:
        return estimate_option.pictures(
            [replace(settings, **values) for _, values in cells], report
        )
    sheet, force = args.output, args.force
    check_output(sheet, force)
    names = [_name(sheet, axes) for axes, _ in cells]
    for (_, values), name in zip(cells, names, strict=True):
        changed = replace(settings, **values)
        search_run.Outputs(str(name), force=force).check(changed.inputs().values())
        changed.prepare()  # all of them are fit, or none is begun
    made, code = [], 0
    for (_, values), name in zip(cells, names, strict=True):
        outputs = search_run.Outputs(str(name), force=force)
        code = max(code, search_run.paint(replace(settings, **values), outputs, report))
        made.append(name)
        if code == search_run.INTERRUPTED:
            break
    pictures = [load_image(name)[0] for name in made]
    labels = [list(dict.fromkeys(axes[i] for axes, _ in cells)) for i in range(len(args.sweep))]
    rows, columns = labels if len(labels) == 2 else ([""], labels[0])
    metadata = {"verb": "style --sweep", "pictures": [str(name) for name in made]}
    rgb = table(pictures, rows, columns)
    save_image(sheet, rgb, metadata=metadata, force=force)
    report.result(
        f"{sheet}: {len(made)} of {len(cells)} pictures",
        output=str(sheet),
        pictures=metadata["pictures"],
        width=rgb.shape[1],
        height=rgb.shape[0],
    )
    return code


def _cells(settings, args):
    """Return [((label, ...), {setting: value})] of every picture, row by row."""
    if len(args.sweep) > 2 or len({axis.option for axis in args.sweep}) < len(args.sweep):
        raise MinicnnError("--sweep takes one option, or two different ones for a table")
    for name in ("sheet", "save_every", "plot", "frames", "gif"):
        if getattr(args, name, None):
            option = name.replace("_", "-")
            raise MinicnnError(f"--sweep writes a sheet of many pictures; leave out --{option}")
    axes = [axis.cells(settings) for axis in args.sweep]
    cells = [((label,), values) for label, values in axes[0]]
    for more in axes[1:]:
        cells = [
            ((*labels, label), {**values, **value})
            for labels, values in cells
            for label, value in more
        ]
    if len(cells) > MOST:
        raise MinicnnError(f"--sweep asks for {len(cells)} pictures; use at most {MOST}")
    return cells


def _name(sheet, labels):
    """Return the file of a picture, beside the sheet."""
    path = Path(sheet)
    parts = [label.removeprefix("+ ").replace(" ", "-").replace("/", "-") for label in labels]
    return path.with_name("-".join([path.stem, *parts]) + path.suffix)
