"""The verb `classify`."""

from minicnn.engine.memory import refuse_walk
from minicnn.engine.select import Evaluation, evaluator_of
from minicnn.errors import MinicnnError
from minicnn.methods.classes.classify import check_side, classify
from minicnn.methods.classes.scores import scores_layer
from minicnn.methods.classes.settings import ClassifyOptions, ClassifySettings
from minicnn.runs.inputs import OWN, RANDOM, open_all
from minicnn.runs.options import add_settings
from minicnn.runs.settings import settings_of
from minicnn.terminal.report import Report

FAILED = 1
example = """
minicnn demo
minicnn classify minicnn-demo/content.jpg minicnn-demo/result.png --top 3
"""


def add(parser) -> None:
    """Declare the options."""
    add_settings(parser, ClassifySettings, ClassifyOptions)


def run(args) -> int:
    """Print the most probable classes of every picture."""
    settings, report = settings_of(ClassifySettings, args), Report(args.json)
    settings.check()
    opened = open_all(settings, pool=OWN)
    net = opened.net
    scores_layer(net)
    check_side(net, settings.side)
    if opened.device == "cpu":
        refuse_walk(net, (1, *net.input_shape), None, "free some, or use a smaller network")
    if not net.attrs.get("classes"):
        report.note(f"this {net.attrs['name']} has no class names: classes go by their numbers")
    if settings.weights == RANDOM:
        report.note("random weights: the classes mean nothing")
    evaluator = evaluator_of(net, Evaluation(settings.engine, settings.threads))
    bad = sum(not _show(settings, report, net, evaluator, path) for path in settings.images)
    if bad:
        report.note(f"error: {bad} of {len(settings.images)} pictures could not be classified")
    return FAILED if bad else 0


def _show(settings, report, net, evaluator, path):
    """Print the classes of one picture; return whether that went well."""
    try:
        found = classify(net, evaluator, path, top=settings.top, side=settings.side)
    except MinicnnError as error:
        report.note(f"error: {error}")
        report.event("error", image=path, error=str(error))
        return False
    for note in found.notes:
        report.note(f"{path}: {note}")
    width = max(len(row["name"]) for row in found.classes)
    lines = [
        f"  {row['probability']:8.4%}  {row['name']:{width}}  {row['class']:4}  {row['score']:9.3f}"
        for row in found.classes
    ]
    report.result("\n".join([f"{path}:", *lines]), image=path, **found._asdict())
    return True
