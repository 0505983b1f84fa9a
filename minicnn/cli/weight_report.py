"""How actions on weight files write and what they say."""

from minicnn.storage import atomic
from minicnn.terminal.report import Report

SHOWN = 60  # characters of a list


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


def add_file_options(action) -> None:
    """Declare how a weight file is written."""
    action.add_argument(
        "--dtype",
        choices=("float32", "float16"),
        default="float32",
        help="of the numbers in the file (default: float32)",
    )
    action.add_argument("--force", action="store_true", help="replace a file that exists")
