"""The verb `gradcheck`."""

from dataclasses import dataclass

from minicnn.errors import MinicnnError
from minicnn.runs.options import add_settings
from minicnn.runs.settings import POSITIVE, JsonOption, readable, setting, text
from minicnn.terminal.report import Report

example = """
minicnn gradcheck --op conv2d
minicnn gradcheck --op engine.plan
"""


def _shape(written):
    return tuple(int(side) for side in written.split(","))


@dataclass(frozen=True, kw_only=True)
class GradcheckOptions(JsonOption):
    """What is checked."""

    op: str | None = setting(
        text("NAME"),
        None,
        "check only this operation or objective; with FILE.py: compare with it",
        shown="all; of a FILE.py that which its names say",
    )
    shapes: tuple | None = setting(
        readable(_shape, "a shape, such as 2,3,8,8", "N,C,H,W"),
        None,
        "with FILE.py: check by central differences alone, with inputs of these shapes",
        several=True,
    )
    seconds: float = setting(
        POSITIVE._replace(metavar="S"), 20.0, "with FILE.py: how long it may run"
    )


def add(verb) -> None:
    """Declare the options."""
    verb.add_argument(
        "file",
        metavar="FILE.py",
        nargs="?",
        help="check the forward and backward of this file, and say what is wrong with them",
    )
    add_settings(verb, GradcheckOptions)


def run(args) -> int:
    """Print the table; fail if one gradient is wrong."""
    from minicnn.gradcheck import checks, engine

    report = Report(args.json)
    if args.file is not None:
        return _check_file(args, report)
    if args.shapes:
        raise MinicnnError("--shapes is for functions of yours: minicnn gradcheck FILE.py")
    results = checks.run(args.op, {**checks.CASES, **engine.CASES})
    for result in results:
        report.event("check", **result._asdict())
    report.tell(checks.format_table(results))
    return 0 if all(result.ok for result in results) else 1


def _check_file(args, report):
    """Check the reader's own functions."""
    from contextlib import redirect_stdout
    from sys import stderr

    from minicnn.gradcheck import own_files

    if args.op and args.shapes:
        raise MinicnnError("give --op to compare with an operation, or --shapes, not both")
    shapes = args.shapes and [_shape(written) for written in args.shapes]
    with redirect_stdout(stderr):  # what the file prints is no result
        judged = own_files.judged(args.file, args.op, shapes, args.seconds)
    for name, verdict in judged.items():
        for one in verdict.checks:
            report.event("check", op=name, **one._asdict())
        for one in verdict.diagnoses:
            report.event("diagnosis", op=name, **one._asdict())
        report.event("verdict", op=name, ok=verdict.ok, one_number_for_pairs=verdict.numbers)
        report.tell(own_files.told(name, verdict))
    return 0 if all(verdict.ok for verdict in judged.values()) else 1
