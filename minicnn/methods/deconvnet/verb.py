"""The verb `deconv`."""

from minicnn.runs import look_run
from minicnn.terminal import parser

EXAMPLE = """
minicnn demo --size 64 --iterations 1
minicnn deconv minicnn-demo/content.jpg --layer relu3_3 --unit max:9 -o deconv.png --sheet sheet.png
"""


def add(verbs) -> None:
    """Declare the verb."""
    verb = parser.add_verb(
        verbs, "deconv", run, "show what in a picture excites a unit of a layer", EXAMPLE
    )
    verb.add_argument("image", metavar="IMAGE", help="picture to look at")
    verb.add_argument("--layer", metavar="NAME", required=True, help="see `minicnn models NETWORK`")
    verb.add_argument(
        "--unit",
        metavar="K|max",
        default="max",
        help="a unit from 0, several as 3,17, the strongest (max), or nine of them (max:9)",
    )
    verb.add_argument(
        "--position",
        metavar="max|all|Y,X",
        default="max",
        help="where in its map: its maximum, everywhere, or a row and column (default: max)",
    )
    add_policy(verb)
    verb.add_argument(
        "--start",
        choices=("activation", "one"),
        default="activation",
        help="what is projected: the unit's activation, or 1 (default: activation)",
    )
    verb.add_argument(
        "--clip",
        metavar="SHARE",
        type=parser.weight,
        default=0.005,
        help="share of the values that may be shown as full black or white (default: 0.005)",
    )
    look_run.add_options(verb)


def add_policy(verb) -> None:
    """Declare what the papers leave open, see `projection.Policy`."""
    verb.add_argument(
        "--rule",
        choices=("deconvnet", "guided", "gradient"),
        default="deconvnet",
        help="of the ReLUs on the way down (default: deconvnet)",
    )
    verb.add_argument(
        "--overlap",
        choices=("sum", "max", "overwrite"),
        default="sum",
        help="where pooling windows share a winner (default: sum, the adjoint)",
    )
    verb.add_argument(
        "--order",
        choices=("unpool-rectify", "rectify-unpool"),
        default="unpool-rectify",
        help="(default: unpool-rectify, as published)",
    )
    verb.add_argument(
        "--zero-windows",
        choices=("first", "drop"),
        default="first",
        help="ties in pooling windows that are all 0: the switch at the first pixel, or no switch",
    )
    verb.add_argument(
        "--lrn",
        choices=("identity", "gradient"),
        help="pass response normalisations by, or differentiate them "
        "(default: identity for the deconvnet, else gradient)",
    )


def run(args) -> int:
    """Project, and write the pictures."""
    from minicnn.methods.deconvnet.job import DeconvSettings

    return look_run.run(parser.settings_of(DeconvSettings, args), args)
