"""The verb `batch`."""

from minicnn.cli.register import rerunnable, verb_of
from minicnn.runs.batch.run import batch
from minicnn.runs.batch.settings import BatchSettings
from minicnn.runs.options import add_settings
from minicnn.runs.settings import settings_of

example = """
minicnn demo -o d --size 64 --iterations 4
minicnn batch --contents d --styles d -o out --name {row}.png --set size=100 --set iterations=2
"""


def add(parser) -> None:
    """Declare the options."""
    add_settings(parser, BatchSettings)


def run(args) -> int:
    """Do the rows."""
    return batch(settings_of(BatchSettings, args), verb_of, rerunnable())
