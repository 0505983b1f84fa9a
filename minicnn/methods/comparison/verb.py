"""The verb `compare`."""

import json

from minicnn.methods.comparison.settings import ComparisonSettings
from minicnn.runs.options import add_settings
from minicnn.runs.outputs import FolderOptions
from minicnn.runs.settings import settings_of
from minicnn.terminal.report import Report

example = """
minicnn demo
minicnn compare minivgg random:minivgg --data minicnn-demo --layers relu1_1,relu2_2 -o comparison
"""
FILES = ("index.html", "compare.png", "compare.json")


def add(parser) -> None:
    """Declare the options."""
    add_settings(parser, ComparisonSettings, FolderOptions)


def run(args) -> int:
    """Look at both networks, and write the page, the sheet and the numbers."""
    from minicnn.data.picture_set import PictureSet
    from minicnn.methods.comparison import accuracy, comparison
    from minicnn.methods.comparison import report as comparison_report
    from minicnn.methods.comparison.verdict import verdicts
    from minicnn.pictures.html import coloured
    from minicnn.pictures.writer import save_image
    from minicnn.storage.atomic import results_folder, write_whole

    settings, options = settings_of(ComparisonSettings, args), settings_of(FolderOptions, args)
    report = Report(options.json, options.quiet)
    settings.check()
    networks = [
        comparison.open_network(name, settings.seed) for name in (settings.one, settings.other)
    ]
    layers = comparison.layers_to_count(networks, settings.layers)
    pictures = PictureSet(settings.data, settings.split, settings.limit)
    labelled = accuracy.labelled_pictures(pictures, settings.data, settings.split)
    folder = results_folder(options.output, FILES, options.force)
    each = len(pictures) * (1 if isinstance(labelled, str) else 2)  # scanned, and classified
    with report.progress(2 * each, "picture") as progress:
        for turn, (network, own) in enumerate(zip(networks, layers, strict=True)):

            def show(done, *_, turn=turn):
                progress.update(turn * each + done, {})

            comparison.look(network, own, pictures, labelled, settings, show)
    found = verdicts(*(network.findings for network in networks))
    told = {
        "networks": [network.findings for network in networks],
        "verdicts": found,
        "data": settings.data,
        "data_sha256": pictures.fingerprint(),
        "split": pictures.split,
        "seed": settings.seed,
    }
    drawn = comparison_report.pictures(networks, settings.paper)
    what = f"{len(pictures)} pictures of {settings.data}"
    picture = comparison_report.sheet(networks, drawn, what, settings.paper)
    page = coloured(comparison_report.html(networks, drawn, found, what), settings.dark)
    save_image(folder / FILES[1], picture, metadata={"verb": "compare", **told}, force=True)
    write_whole(folder / FILES[2], (json.dumps(told, indent=1) + "\n").encode())
    write_whole(folder / FILES[0], page.encode(errors="replace"))
    lines = comparison_report.conclusions(networks, found)
    if pictures.left_out:
        report.note(pictures.left_out)
    report.result(
        "\n".join([*lines, f"{folder}: {', '.join(FILES)}"]),
        output=str(folder),
        files=[str(folder / name) for name in FILES],
        conclusions=lines,
        **told,
    )
    return 0
