"""The verb `class-model`."""

from minicnn.runs import look_run, search_run
from minicnn.runs.estimate import option
from minicnn.terminal import parser

EXAMPLE = """
minicnn class-model --class goldfish --jitter 4 --blur 0.7 --iterations 150 -o goldfish.png
"""


def add(verbs) -> None:
    """Declare the verb."""
    verb = parser.add_verb(
        verbs, "class-model", run, "make the picture that scores highest for a class", EXAMPLE
    )
    verb.add_argument(
        "--class",
        dest="wanted_class",
        metavar="C",
        required=True,
        help="number from 0, or name",
    )
    verb.add_argument("-o", "--output", metavar="OUT", required=True, help="picture to write")
    verb.add_argument("--sheet", metavar="OUT2", help="also write it with the class above it")
    verb.add_argument("--npz", metavar="OUT3", help="also write the raw arrays")
    search_run.add_plot_option(verb)
    for name, default, text in (
        ("l2-weight", 0.01, "weight of the squared norm of the picture"),
        ("tv-weight", 0.0, "weight of the total variation (smoothness)"),
        ("blur", 0.0, "pixels by which the picture is always blurred"),
        ("noise", 0.0, "grey levels of noise to start from, not from plain mean colour"),
    ):
        verb.add_argument(
            f"--{name}",
            metavar="W" if "weight" in name else "F",
            type=parser.weight,
            default=default,
            help=f"{text} (default: {default:g})",
        )
    verb.add_argument(
        "--jitter",
        metavar="N",
        type=parser.seed,
        default=0,
        help="pixels that the picture is rolled by at random before each look (default: 0)",
    )
    verb.add_argument(
        "--iterations",
        metavar="N",
        type=parser.count,
        default=200,
        help="steps of the optimizer (default: 200)",
    )
    parser.add_evaluations(verb)
    verb.add_argument(
        "--optimizer",
        choices=("lbfgs", "lbfgs-device", "adam", "momentum", "gradient-descent"),
        default="adam",
        help="(default: adam)",
    )
    verb.add_argument(
        "--learning-rate",
        metavar="R",
        type=parser.rate,
        help="first step in grey levels of 0..255; not for L-BFGS (default: 2)",
    )
    search_run.add_snapshot_options(verb)
    option.add_option(verb)
    look_run.add_network_options(verb)
    parser.add_output_options(verb)


def run(args) -> int:
    """Search for the picture, and write it."""
    from minicnn.methods.classes.class_model import ClassModelSettings

    settings = parser.settings_of(ClassModelSettings, args)
    return search_run.run(settings, search_run.Outputs.of(args), args)
