"""The verb `gradcheck`."""

from minicnn.cli import parser
from minicnn.cli.report import Report

EXAMPLE = """
minicnn gradcheck --op conv2d
minicnn gradcheck --op engine.plan
"""


def add(verbs) -> None:
    """Declare the verb."""
    verb = parser.add_verb(
        verbs, "gradcheck", run, "compare every gradient with central differences", EXAMPLE
    )
    verb.add_argument("--op", metavar="NAME", help="check only this operation or objective")
    verb.add_argument("--json", action="store_true", help="one JSON object a line")


def run(args) -> int:
    """Print the table; fail if one gradient is wrong."""
    from minicnn import gradcheck, gradcheck_engine

    results = gradcheck.run(args.op, {**gradcheck.CASES, **gradcheck_engine.CASES})
    report = Report(args.json)
    for result in results:
        report.event("check", **result._asdict())
    report.tell(gradcheck.format_table(results))
    return 0 if all(result.ok for result in results) else 1
