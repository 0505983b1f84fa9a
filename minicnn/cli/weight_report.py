"""How actions on weight files write and what they say."""

from dataclasses import dataclass

from minicnn.runs.settings import FLAG, JsonOption, choice, setting, text
from minicnn.storage import atomic
from minicnn.terminal.report import Report

SHOWN = 60  # characters of a list


@dataclass(frozen=True, kw_only=True)
class FileOptions(JsonOption):
    """How a weight file is written."""

    output: str = setting(text("OUT"), help="HDF5 file to write", group="files")
    dtype: str = setting(
        choice(("float32", "float16")), "float32", "of the numbers in the file", group="files"
    )
    force: bool = setting(FLAG, False, "replace a file that exists", group="files")


def check_output(args) -> None:
    """Refuse an output that cannot be written, before the work is done."""
    atomic.check_output(args.output, args.force, (".h5", ".hdf5"))


def describe(found, as_json) -> int:
    """Print the attributes of a weight file."""
    lines = (f"{name:16} {_short(value)}" for name, value in found.items())
    Report(as_json).result("\n".join(lines), **found)
    return 0


def _short(value):
    """Return a value in one line; of a long list, its beginning and how many it has."""
    if not isinstance(value, (list, tuple)):
        return str(value)
    text = ", ".join(map(str, value))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(value)} in all)"
