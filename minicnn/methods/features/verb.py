"""The verb `features`."""

from minicnn.methods.features.settings import FeaturesOptions, FeaturesSettings
from minicnn.runs.options import add_settings
from minicnn.runs.settings import settings_of
from minicnn.terminal.report import Report

example = """
minicnn demo --size 64 --iterations 1
minicnn features minicnn-demo --layers relu1_2,relu2_2 --top 4 -o features
minicnn features minicnn-demo --layers relu1_2 --shard 1/2 -o shards
minicnn features minicnn-demo --layers relu1_2 --shard 2/2 -o shards
minicnn features merge shards/features-1-of-2.h5 shards/features-2-of-2.h5 -o merged
"""


def add(parser) -> None:
    """Declare the options."""
    add_settings(parser, FeaturesSettings, FeaturesOptions)


def run(args) -> int:
    """Scan, or merge; then draw."""
    from minicnn.methods.features import run as features_run

    settings, options = settings_of(FeaturesSettings, args), settings_of(FeaturesOptions, args)
    report = Report(options.json, options.quiet)
    settings.check()
    if options.estimate:
        from minicnn.methods.features.estimate import measure
        from minicnn.runs.estimate import option

        return option.repeated(measure, settings, "use a smaller --batch", report)
    do = features_run.merge if settings.data[0] == "merge" else features_run.scan
    return do(settings, options, report)
