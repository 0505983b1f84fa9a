"""The verb `lab`."""

from dataclasses import dataclass

from minicnn.errors import MinicnnError
from minicnn.runs.options import add_settings
from minicnn.runs.outputs import FolderOptions
from minicnn.runs.settings import FLAG, JsonOption, as_in, setting
from minicnn.storage.atomic import results_folder, write_whole
from minicnn.terminal.report import Report, table

example = """
minicnn lab
minicnn lab 1 -o labs
"""


@dataclass(frozen=True, kw_only=True)
class LabOptions(JsonOption):
    """What is copied, and where to."""

    output: str | None = as_in(
        FolderOptions, "output", default=None, help="folder to copy the labs into"
    )
    solutions: bool = setting(
        FLAG, False, "copy the solutions instead, into files of their own", group="files"
    )
    force: bool = as_in(FolderOptions, "force")


def add(verb) -> None:
    """Declare the options."""
    verb.add_argument(
        "labs", metavar="LAB", nargs="*", help="numbers of labs to copy, or `all`; lists them else"
    )
    add_settings(verb, LabOptions)


def run(args) -> int:
    """List the labs, or copy some."""
    from minicnn.labs import copies

    report = Report(args.json)
    if not args.labs:
        if args.output or args.solutions:
            raise MinicnnError("which lab? `minicnn lab` lists them; give a number, or all")
        rows = [{"lab": n, "title": copies.title(path)} for n, path in copies.sources().items()]
        for row in rows:
            report.event("lab", **row)
        report.tell(table(rows))
        return 0
    if not args.output:
        raise MinicnnError("give the folder to copy into: -o FOLDER")
    kind, change = ("_solution", copies.solution) if args.solutions else ("", copies.blank)
    files = {}
    for number in _numbers(args.labs, copies.sources()):
        path = copies.source_of(number)
        files[f"{path.stem}{kind}.py"] = change(path.read_text(encoding="utf-8"))
    folder = results_folder(args.output, list(files), args.force)
    for name, text in files.items():
        write_whole(folder / name, text.encode())
        report.result(str(folder / name), path=str(folder / name))
    return 0


def _numbers(words, known):
    """Return the numbers of labs that are named."""
    if words == ["all"]:
        return list(known)
    if not all(word.isdecimal() for word in words):
        raise MinicnnError(
            f"no lab {' '.join(words)!r}; give numbers from 1 to {len(known)}, or all"
        )
    return dict.fromkeys(map(int, words))
