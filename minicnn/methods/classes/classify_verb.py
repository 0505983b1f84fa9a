"""The verb `classify`."""

from minicnn.terminal import parser
from minicnn.terminal.report import Report

FAILED = 1
EXAMPLE = """
minicnn demo
minicnn classify minicnn-demo/content.jpg minicnn-demo/result.png --top 3
"""


def add(verbs) -> None:
    """Declare the verb."""
    verb = parser.add_verb(verbs, "classify", run, "say what is in pictures", EXAMPLE)
    verb.add_argument("images", metavar="IMAGE", nargs="+", help="picture")
    verb.add_argument("--network", metavar="NAME", help="see `minicnn models` (default: minivgg)")
    verb.add_argument(
        "--weights", metavar="FILE", help="HDF5 file of weights, a network at hand, or `random`"
    )
    verb.add_argument(
        "--top", metavar="N", type=parser.count, default=5, help="classes to show (default: 5)"
    )
    verb.add_argument(
        "--side",
        metavar="N",
        type=parser.count,
        help="scale the shorter side to N pixels before the centre is cut out "
        "(default: 256 for networks of about 224, else the network's input)",
    )
    parser.add_machine_options(verb)
    verb.add_argument("--json", action="store_true", help="one JSON object a picture")


def run(args) -> int:
    """Print the most probable classes of every picture."""
    from minicnn.backend import resolve_device
    from minicnn.engine.select import Evaluation, evaluator_of
    from minicnn.methods.classes import classify
    from minicnn.methods.classes.scores import scores_layer
    from minicnn.runs import inputs

    report = Report(args.json)
    net = inputs.load_network(
        args.network, args.weights, inputs.OWN, device=resolve_device(args.device)
    )
    scores_layer(net)
    classify.check_side(net, args.side)
    if not net.attrs.get("classes"):
        report.note(f"this {net.attrs['name']} has no class names: classes go by their numbers")
    if args.weights == inputs.RANDOM:
        report.note("random weights: the classes mean nothing")
    evaluator = evaluator_of(net, Evaluation(args.engine, args.threads))
    bad = sum(not _show(args, report, net, evaluator, path) for path in args.images)
    if bad:
        report.note(f"error: {bad} of {len(args.images)} pictures could not be classified")
    return FAILED if bad else 0


def _show(args, report, net, evaluator, path):
    """Print the classes of one picture; return whether that went well."""
    from minicnn.errors import MinicnnError
    from minicnn.methods.classes import classify

    try:
        found = classify.classify(net, evaluator, path, top=args.top, side=args.side)
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
