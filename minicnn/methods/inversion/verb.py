"""The verb `invert`."""

from minicnn.runs import frames, search_run
from minicnn.terminal import parser

EXAMPLE = """
minicnn demo --iterations 1
minicnn invert minicnn-demo/content.jpg --layer relu2_2 -o inverted.png --iterations 50
minicnn invert minicnn-demo/content.jpg --layer relu1_2,relu3_3,fc5 -o row.png --iterations 50
"""


def add(verbs) -> None:
    """Declare the verb."""
    verb = parser.add_verb(
        verbs, "invert", run, "show what a layer of a network keeps of a picture", EXAMPLE
    )
    verb.add_argument("image", metavar="IMAGE", help="picture whose representation is inverted")
    verb.add_argument(
        "--layer",
        dest="layers",
        metavar="NAME,...",
        required=True,
        type=lambda text: [part.strip() for part in text.split(",")],
        help="layer to invert; several make a row, see `minicnn models NAME`",
    )
    search_run.add_file_options(verb, "picture and reconstruction")
    verb.add_argument(
        "--preset",
        choices=("lbfgs", "cvpr15", "ijcv16"),
        default="lbfgs",
        help="energy and search: L-BFGS, or as Mahendran & Vedaldi 2015 or 2016 (default: lbfgs)",
    )
    verb.add_argument(
        "--restarts",
        metavar="N",
        type=parser.count,
        default=1,
        help="reconstructions from the seeds SEED, SEED+1, ... in a row (default: 1)",
    )
    verb.add_argument(
        "--size",
        metavar="N|WxH",
        type=parser.size,
        default=(None, None),
        help="what the picture is stretched to (default: what the network was made for)",
    )
    verb.add_argument(
        "--iterations",
        metavar="N",
        type=parser.count,
        help="steps for each layer (default: 200 for lbfgs, 400 for cvpr15, 350 for ijcv16)",
    )
    parser.add_evaluations(verb)
    verb.add_argument(
        "--optimizer",
        choices=("lbfgs", "lbfgs-device"),
        default="lbfgs",
        help="of the preset lbfgs: SciPy's, or our own where the picture is (default: lbfgs)",
    )
    for name, text in (
        ("data", "the distance of the representations"),
        ("alpha", "the alpha-norm"),
        ("tv", "the total variation"),
    ):
        verb.add_argument(
            f"--{name}-weight",
            metavar="W",
            type=parser.weight,
            help=f"weight of {text} (default: the preset's, by depth)",
        )
    verb.add_argument(
        "--tv-beta",
        metavar="B",
        type=parser.rate,
        default=2.0,
        help="exponent of the total variation, at least 1 (default: 2)",
    )
    verb.add_argument(
        "--jitter",
        metavar="N",
        type=parser.count,
        help="places of the moving window, for ijcv16 (default: a quarter of the stride)",
    )
    search_run.add_bits_option(verb)
    search_run.add_run_options(verb, pool="max", search=False)
    frames.add_options(verb)


def run(args) -> int:
    """Make the reconstructions that the arguments ask for."""
    from minicnn.errors import MinicnnError
    from minicnn.methods.inversion.settings import InvertSettings

    several = len(args.layers) > 1 or args.restarts > 1
    if several and (args.frames or args.gif):
        raise MinicnnError(
            "--frames and --gif show one search; name one --layer, and leave out --restarts"
        )
    width, height = args.size
    settings = parser.settings_of(InvertSettings, args, width=width, height=height)
    return search_run.run(settings, search_run.Outputs.of(args), args)
