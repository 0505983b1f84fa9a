"""The verb `figures`: the figures of the lecture notes, and a page that walks through them."""

import time
from dataclasses import dataclass
from importlib import import_module

from minicnn.errors import MinicnnError
from minicnn.figures.settings import FigureSettings
from minicnn.runs.options import add_settings
from minicnn.runs.outputs import FolderOptions
from minicnn.runs.settings import list_of, number, setting, settings_of
from minicnn.terminal.report import Report, duration

example = """
minicnn figures -o figures --only 3,10 --size 64 --iterations 5
minicnn figures -o painted --only 9,12 --size 64 --iterations 5
"""
FIGURES = {
    **dict.fromkeys((2, 3), "layer_structure"),
    **dict.fromkeys((4, 5, 6, 7, 8), "units"),
    **dict.fromkeys((10, 11), "gram_matrices"),
    **dict.fromkeys((9, 12, 13, 14), "painted"),
}
NUMBERS = sorted(FIGURES)


@dataclass(frozen=True, kw_only=True)
class FigureOptions(FolderOptions):
    """Which figures, and where they go."""

    only: list | None = setting(
        list_of(number(int, 1, 14, wanted=f"of {', '.join(map(str, NUMBERS))}"), "LIST"),
        None,
        "numbers of figures of the notes, as 4,6",
        shown="all but 1",
    )


def add(parser) -> None:
    """Declare the options."""
    add_settings(parser, FigureSettings, FigureOptions)


def run(args) -> int:
    """Draw the figures, one after the other, and the page."""
    settings, options = settings_of(FigureSettings, args), settings_of(FigureOptions, args)
    settings.check()
    wanted = sorted(set(options.only or NUMBERS))
    if unknown := [number for number in wanted if number not in FIGURES]:
        listed = ", ".join(map(str, NUMBERS))
        raise MinicnnError(f"no figure {unknown[0]} is drawn here; use {listed}")
    return draw(settings, options, wanted, Report(options.json, options.quiet))


def draw(settings, options, wanted, report) -> int:
    """Draw figures into a folder, with the help of another that is removed; return the code."""
    import tempfile

    from minicnn.figures import page
    from minicnn.figures.material import Material
    from minicnn.pictures.html import coloured
    from minicnn.pictures.sheets import figure
    from minicnn.pictures.writer import save_image
    from minicnn.storage.atomic import results_folder, write_whole

    names, found = {number: f"figure-{number:02}.png" for number in wanted}, {}
    folder = results_folder(options.output, [*names.values(), page.FILE], options.force)
    with tempfile.TemporaryDirectory() as place:
        material = Material(settings, place)
        material.check(wanted)
        with report.progress(len(wanted), "figure") as progress:
            for done, (number, name) in enumerate(names.items(), 1):
                started = time.monotonic()
                module = import_module(f"minicnn.figures.{FIGURES[number]}")
                one = getattr(module, f"figure_{number}")(material)
                told = {"verb": "figures", "figure": number, "caption": one.caption}
                how = {"width": 720, "paper": settings.paper}
                sheet = figure(one.picture, one.title, one.caption, **how)
                save_image(folder / name, sheet, metadata=told, force=True)
                found[number] = (name, one)
                progress.update(done, {})
                report.note(f"{name} in {duration(time.monotonic() - started)}")
    write_whole(folder / page.FILE, coloured(page.html(found), settings.dark).encode())
    report.result(
        f"{folder}: {len(found)} figures; open {folder / page.FILE}",
        output=str(folder),
        figures=[str(folder / name) for name in names.values()],
        page=str(folder / page.FILE),
    )
    return 0
