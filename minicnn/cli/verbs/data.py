"""The verb `data`: labelled pictures that need no download, drawn into a folder."""

from dataclasses import dataclass

from minicnn.runs.options import add_settings
from minicnn.runs.outputs import FolderOptions
from minicnn.runs.settings import NATURAL, Declared, choice, count, setting, settings_of
from minicnn.terminal.report import Report

example = """
minicnn data shapes -o shapes --count 8
minicnn train shapes -o run --epochs 1 --batch 8 --group 8 --size 32 --crop 32
"""
RECIPE = "--epochs 8 --batch 32 --group 32 --rate 0.05 --size 32 --crop 32"
TRAINING = {  # two minutes of processor time, for a set of the default size
    "shapes": f"{RECIPE} --border 2 --snapshots 1,2,4,8",
    "digits": f"{RECIPE} --border 2 --no-flip",
}


@dataclass(frozen=True, kw_only=True)
class DataSettings(Declared):
    """Which pictures, and how many."""

    kind: str = setting(
        choice(("shapes", "digits")),
        help="shapes and textures in colours, 64 pixels; or digits, 28 pixels",
        argument=True,
    )
    count: int = setting(
        count(10_000), 120, "pictures of a class to train on; a quarter of it to validate"
    )
    seed: int = setting(NATURAL, 0, "of all that is drawn at random")


def add(verb) -> None:
    """Declare the options."""
    add_settings(verb, DataSettings, FolderOptions)


def run(args) -> int:
    """Write FOLDER/train/CLASS/000.png and so on, and FOLDER/val."""
    from minicnn.data import drawn
    from minicnn.storage.atomic import results_folder, write_whole

    settings, options = settings_of(DataSettings, args), settings_of(FolderOptions, args)
    settings.check()
    report = Report(options.json, options.quiet)
    folder = results_folder(options.output, drawn.SPLITS, options.force)
    names, counts = drawn.CLASSES[settings.kind], (settings.count, -(-settings.count // 4))
    done, total = 0, sum(counts) * len(names)
    with report.progress(total, "picture") as progress:
        for split, most in zip(drawn.SPLITS, counts, strict=True):
            for label, name in enumerate(names):
                place = results_folder(folder / split / name, ())
                for number in range(most):
                    png = drawn.png(settings.kind, split, label, number, settings.seed)
                    write_whole(place / f"{number:03}.png", png)
                    done += 1
                    progress.update(done, {})
    command = f"minicnn train {folder} -o run {TRAINING[settings.kind]}"
    report.result(
        f"{folder}: {total} pictures of {len(names)} classes. To train on them, in two minutes of "
        f"processor time:\n  {command}",
        output=str(folder),
        classes=list(names),
        pictures=dict(zip(drawn.SPLITS, counts, strict=True)),
        train=command,
    )
    return 0
