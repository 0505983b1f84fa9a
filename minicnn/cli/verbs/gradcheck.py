"""The verb `gradcheck`."""

from minicnn.terminal.report import Report

example = """
minicnn gradcheck --op conv2d
minicnn gradcheck --op engine.plan
"""


def add(verb) -> None:
    """Declare the options."""
    verb.add_argument("--op", metavar="NAME", help="check only this operation or objective")
    verb.add_argument("--json", action="store_true", help="one JSON object a line")


def run(args) -> int:
    """Print the table; fail if one gradient is wrong."""
    from minicnn.gradcheck import checks, engine

    results = checks.run(args.op, {**checks.CASES, **engine.CASES})
    report = Report(args.json)
    for result in results:
        report.event("check", **result._asdict())
    report.tell(checks.format_table(results))
    return 0 if all(result.ok for result in results) else 1
