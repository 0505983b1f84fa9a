"""The verb `texture`."""

from minicnn.runs import frames, search_run
from minicnn.terminal import parser

EXAMPLE = """
minicnn demo --iterations 1
minicnn texture minicnn-demo/style.jpg -o texture.png --size 192x128 --iterations 30
"""


def add(verbs) -> None:
    """Declare the verb."""
    verb = parser.add_verb(
        verbs, "texture", run, "make a texture that looks like that of a picture", EXAMPLE
    )
    verb.add_argument(
        "sources", metavar="SOURCE", nargs="+", help="picture of a texture; several with --sweep"
    )
    search_run.add_file_options(verb, "source and texture")
    verb.add_argument(
        "--size",
        metavar="N|WxH",
        type=parser.size,
        default=(None, None),
        help="width and height of the texture in pixels (default: the source's)",
    )
    verb.add_argument(
        "--source-size",
        metavar="N",
        type=parser.count,
        help="long side that the source is brought to (default: 256, less for a small source)",
    )
    verb.add_argument(
        "--seamless", action="store_true", help="make a tile: copies of it join without a seam"
    )
    verb.add_argument(
        "--histogram",
        action="store_true",
        help="at the end, give every channel the histogram of the source",
    )
    verb.add_argument(
        "--sweep",
        action="store_true",
        help="write a sheet: layers added one by one downwards, a column for each SOURCE",
    )
    verb.add_argument(
        "--layers",
        metavar="LIST",
        type=parser.layers,
        help="as relu1_1,pool1=0.5 (default: the network's)",
    )
    verb.add_argument(
        "--gram",
        choices=("gatys", "mean", "lecture"),
        default="gatys",
        help="normalisation of the Gram matrices (default: gatys)",
    )
    verb.add_argument(
        "--normalize",
        choices=("layers", "channels", "none"),
        help="make layers comparable: by the size of their Gram matrices, or by scaling every "
        "channel to the mean 1 over the source (default: layers; none for weights that are "
        "normalised already, see `minicnn weights normalize`)",
    )
    verb.add_argument(
        "--bounds",
        choices=("source", "none"),
        default="source",
        help="keep pixels between the least and largest of the source (default: source)",
    )
    verb.add_argument(
        "--tv-weight",
        metavar="W",
        type=parser.weight,
        help="weight of the total variation (default: 0, with SqueezeNet 0.2)",
    )
    verb.add_argument(
        "--iterations",
        metavar="N",
        type=parser.count,
        help="steps of the optimizer, for each texture (default: 500)",
    )
    search_run.add_padding_option(verb)
    search_run.add_large_options(verb)
    search_run.add_run_options(verb, pool="average")
    search_run.add_snapshot_options(verb)
    frames.add_options(verb)


def run(args) -> int:
    """Make the texture that the arguments ask for."""
    from minicnn.errors import MinicnnError
    from minicnn.methods.texture.settings import TextureSettings

    if args.sweep and (args.sheet or args.save_every or args.frames or args.gif):
        raise MinicnnError(
            "--sweep writes a sheet already; leave out --sheet, --save-every, --frames and --gif"
        )
    width, height = args.size
    settings = parser.settings_of(TextureSettings, args, width=width, height=height)
    return search_run.run(settings, search_run.Outputs.of(args), args)
