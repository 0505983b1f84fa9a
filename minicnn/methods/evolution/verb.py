"""The verb `evolution`."""

import json

from minicnn.methods.evolution.settings import EvolutionSettings
from minicnn.runs.options import add_settings
from minicnn.runs.outputs import FolderOptions
from minicnn.runs.settings import settings_of
from minicnn.terminal.report import Report, table

example = """
minicnn demo
minicnn evolution minizfnet --data minicnn-demo --sample 2 -o evolution
"""
FILES = ("evolution.png", "evolution.csv", "evolution.json", "convergence.png")


def add(parser) -> None:
    """Declare the options."""
    add_settings(parser, EvolutionSettings, FolderOptions)


def run(args) -> int:
    """Look at every snapshot, and write sheet, numbers and plot."""
    from minicnn.data.picture_set import PictureSet
    from minicnn.methods.evolution import evolution
    from minicnn.methods.evolution import report as evolution_report
    from minicnn.methods.evolution.snapshots import read_snapshots
    from minicnn.pictures.writer import save_image
    from minicnn.runs import plots
    from minicnn.storage.atomic import results_folder, write_whole

    settings, options = settings_of(EvolutionSettings, args), settings_of(FolderOptions, args)
    report = Report(options.json, options.quiet)
    settings.check()
    folder = results_folder(options.output, FILES, options.force)
    snapshots = read_snapshots(settings.snapshots)
    pictures = PictureSet(settings.data, settings.split, settings.limit)
    with report.progress(len(pictures) * len(snapshots), "picture") as progress:
        found = evolution.evolve(
            snapshots, pictures, settings, lambda done, _: progress.update(done, {})
        )
    told = evolution_report.as_dict(found)
    told |= {"data": settings.data, "data_sha256": pictures.fingerprint(), "split": pictures.split}
    told |= {"seed": settings.seed, "policy": settings.choices()}
    picture, scales = evolution_report.sheet(found, settings.data, settings.paper)
    metadata = {"verb": "evolution", **told, "scale": scales}
    save_image(folder / FILES[0], picture, metadata=metadata, force=True)
    write_whole(folder / FILES[1], evolution_report.table_csv(found).encode())
    write_whole(folder / FILES[2], (json.dumps(told, indent=1) + "\n").encode())
    written = list(FILES[:3])
    if plots.available():
        name = f"{snapshots[0].architecture}: distance to epoch {snapshots[-1].epoch}"
        write_whole(folder / FILES[3], plots.convergence(found.rows, list(found.layers), name))
        written.append(FILES[3])
    else:
        report.note("no plot without matplotlib: pip install matplotlib")
    rows, holds = evolution_report.summary(found), evolution_report.order_holds(found)
    verdict = (
        "every layer was nearer to its end, on the whole, than the layer above it"
        if holds
        else "the layers do not converge in the order of their depth"
    )
    if pictures.left_out:
        report.note(pictures.left_out)
    report.result(
        f"{table(rows)}\n{verdict}\n{folder}: {', '.join(written)}",
        output=str(folder),
        files=[str(folder / name) for name in written],
        epochs=found.epochs,
        pictures=found.pictures,
        layers=rows,
        low_layers_first=holds,
    )
    return 0
