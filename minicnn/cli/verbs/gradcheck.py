"""The verb `gradcheck`."""

from dataclasses import dataclass

from minicnn.runs.options import add_settings
from minicnn.runs.settings import JsonOption, setting, text
from minicnn.terminal.report import Report

example = """
minicnn gradcheck --op conv2d
minicnn gradcheck --op engine.plan
"""


@dataclass(frozen=True, kw_only=True)
class GradcheckOptions(JsonOption):
    """What is checked."""

    op: str | None = setting(text("NAME"), None, "check only this operation or objective")


def add(verb) -> None:
    """Declare the options."""
    add_settings(verb, GradcheckOptions)


def run(args) -> int:
    """Print the table; fail if one gradient is wrong."""
    from minicnn.gradcheck import checks, engine

    results = checks.run(args.op, {**checks.CASES, **engine.CASES})
    report = Report(args.json)
    for result in results:
        report.event("check", **result._asdict())
    report.tell(checks.format_table(results))
    return 0 if all(result.ok for result in results) else 1
