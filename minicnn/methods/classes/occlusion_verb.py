"""The verb `occlusion`."""

from minicnn.runs import look_run
from minicnn.terminal import parser

EXAMPLE = """
minicnn demo --size 64 --iterations 1
minicnn occlusion minicnn-demo/content.jpg -o covered.png --step 8
"""


def add(verbs) -> None:
    """Declare the verb."""
    verb = parser.add_verb(
        verbs, "occlusion", run, "cover a picture here and there, and map what is lost", EXAMPLE
    )
    look_run.add_image_and_class(verb)
    verb.add_argument(
        "--layer", metavar="NAME", help="whose activation is mapped (default: the last of maps)"
    )
    verb.add_argument(
        "--unit", metavar="K|max", default="max", help="of that layer (default: the strongest)"
    )
    verb.add_argument(
        "--window",
        metavar="N",
        type=parser.count,
        help="side of the square in pixels (default: a fifth of the picture's)",
    )
    verb.add_argument(
        "--step",
        metavar="N",
        type=parser.count,
        help="pixels from place to place (default: a fifteenth of the picture's side)",
    )
    verb.add_argument(
        "--grey",
        metavar="N",
        type=parser.seed,
        help="level of the square, 0..255 (default: the mean colour of the network's pictures)",
    )
    look_run.add_options(verb)


def run(args) -> int:
    """Cover and measure, and write the maps."""
    from minicnn.methods.classes.occlusion import OcclusionSettings

    return look_run.run(parser.settings_of(OcclusionSettings, args), args)
