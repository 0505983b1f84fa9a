"""The verb `saliency`."""

from minicnn.runs import look_run
from minicnn.terminal import parser

EXAMPLE = """
minicnn demo --size 64 --iterations 1
minicnn saliency minicnn-demo/content.jpg -o map.png --overlay where.png
"""


def add(verbs) -> None:
    """Declare the verb."""
    verb = parser.add_verb(
        verbs, "saliency", run, "show which pixels decide the score of a class", EXAMPLE
    )
    look_run.add_image_and_class(verb)
    verb.add_argument(
        "--rule",
        choices=("gradient", "guided", "deconvnet"),
        default="gradient",
        help="of the ReLUs on the way down (default: gradient, the only one that is one)",
    )
    verb.add_argument(
        "--signed", action="store_true", help="write the signed gradient in colours, 0 as grey 128"
    )
    verb.add_argument(
        "--average",
        choices=("none", "shifts", "noise"),
        default="none",
        help="over moved or noisy copies of the picture (default: none)",
    )
    verb.add_argument(
        "--samples",
        metavar="N",
        type=parser.count,
        default=16,
        help="copies that are averaged (default: 16)",
    )
    verb.add_argument(
        "--shift",
        metavar="N",
        type=parser.seed,
        default=4,
        help="pixels that a copy is moved by at most (default: 4)",
    )
    verb.add_argument(
        "--noise",
        metavar="F",
        type=parser.weight,
        default=0.15,
        help="standard deviation, as a share of the picture's range (default: 0.15)",
    )
    verb.add_argument(
        "--clip",
        metavar="SHARE",
        type=parser.weight,
        default=0.01,
        help="share of the pixels that may be shown as the brightest (default: 0.01)",
    )
    look_run.add_options(verb)


def run(args) -> int:
    """Make the map, and write it."""
    from minicnn.methods.classes.saliency import SaliencySettings

    return look_run.run(parser.settings_of(SaliencySettings, args), args)
