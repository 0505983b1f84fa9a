"""The verb `style`."""

from minicnn.runs import frames, search_run, sweep
from minicnn.terminal import parser

EXAMPLE = """
minicnn demo
minicnn style minicnn-demo/content.jpg minicnn-demo/style.jpg -o picture.png --iterations 50
"""

TERMS = {"content": "content", "style": "style", "tv": "total variation (smoothness)"}


def add(verbs) -> None:
    """Declare the verb."""
    verb = parser.add_verb(
        verbs, "style", run, "paint the content of one picture in the style of another", EXAMPLE
    )
    verb.add_argument("content", metavar="CONTENT", help="picture that says what is to be seen")
    verb.add_argument(
        "style",
        metavar="STYLE",
        nargs="+",
        help="picture that says how it is painted; several are blended",
    )
    search_run.add_file_options(verb, "content, style, result")
    verb.add_argument(
        "--init",
        metavar="content|noise|mix|FILE",
        help="what to start from (default: content, or the preset's)",
    )
    verb.add_argument(
        "--noise-ratio",
        metavar="F",
        type=parser.share,
        help="share of noise in the start `mix` (default: 0.5)",
    )
    add_options(verb)
    _add_formulas(verb)
    _add_regions(verb)
    _add_colours(verb)
    search_run.add_large_options(verb)
    search_run.add_snapshot_options(verb)
    frames.add_options(verb)
    sweep.add_option(verb)


def _add_formulas(verb):
    """Declare what else the loss can be."""
    verb.add_argument(
        "--preset",
        choices=("seed", "gatys", "neural-style", "neural-style-pt", "deeptextures"),
        help="losses, layers, weights, size and evaluations of the lecture notes or of another "
        "program (default: our own, by network)",
    )
    verb.add_argument(
        "--content-loss",
        choices=("mean", "sum", "half-sum", "relative"),
        help="normalisation of the content term (default: mean, or the preset's)",
    )
    verb.add_argument(
        "--tv",
        choices=("mean", "neural-style", "absolute"),
        help="form of the total variation (default: mean, or the preset's)",
    )
    verb.add_argument(
        "--precision",
        choices=("auto", "fp32", "tf32", "fp16"),
        default="auto",
        help="of matrix products on a GPU (default: tf32 where it has it)",
    )
    search_run.add_padding_option(verb)


def _add_regions(verb):
    """Declare what each of several styles is for."""
    verb.add_argument(
        "--blend",
        metavar="W,W,...",
        type=parser.weights,
        help="weights of the styles (default: equal)",
    )
    verb.add_argument(
        "--content-mask",
        dest="content_masks",
        metavar="FILE",
        nargs="+",
        action="extend",
        help="a mask for each STYLE: white where it is wanted; or one label picture, a flat "
        "colour for each STYLE from dark to light",
    )
    verb.add_argument(
        "--style-mask",
        dest="style_masks",
        metavar="FILE",
        nargs="+",
        action="extend",
        help="a mask for each STYLE: white where it is meant",
    )


def _add_colours(verb):
    """Declare what becomes of the colours."""
    verb.add_argument(
        "--match-color",
        choices=("mean-cov", "cholesky", "histogram"),
        help="give the style the colours of the content first",
    )
    verb.add_argument(
        "--preserve-color",
        choices=("luminance", "histogram"),
        help="keep the content's colours: paint in grey and put them back, or give the result "
        "their histogram at the end",
    )


def add_options(verb) -> None:
    """Declare the options that `style` and `demo` share."""
    verb.add_argument(
        "--size",
        metavar="N",
        type=parser.count,
        help="long side of the result in pixels (default: 512, less for a small content)",
    )
    scale = verb.add_mutually_exclusive_group()
    scale.add_argument(
        "--style-size",
        metavar="N,...",
        type=parser.counts,
        help="long side of the style pictures, or of each (default: as the result)",
    )
    scale.add_argument(
        "--style-scale",
        metavar="F",
        type=parser.rate,
        help="the same, as a multiple of the result's long side",
    )
    verb.add_argument(
        "--iterations",
        metavar="N",
        type=parser.count,
        help="steps of the optimizer at full size (default: 150 for lbfgs, else 250)",
    )
    verb.add_argument(
        "--scales",
        metavar="N",
        type=parser.count,
        help="sizes to paint at, each twice the one before (default: from about 100 pixels on)",
    )
    verb.add_argument(
        "--coarse-iterations",
        metavar="N",
        type=parser.count,
        help="steps at each size before the full one (default: 150 for lbfgs, else 250)",
    )
    for term in ("content", "style", "tv"):
        verb.add_argument(
            f"--{term}-weight",
            metavar="W",
            type=parser.weight,
            help=f"weight of the {TERMS[term]} (default: the network's)",
        )
    for term in ("content", "style"):
        verb.add_argument(
            f"--{term}-layers",
            metavar="LIST",
            type=parser.layers,
            help="layers as relu1_1,relu2_1=0.5 (default: the network's)",
        )
    verb.add_argument(
        "--gram",
        choices=("mean", "gatys", "lecture"),
        help="normalisation of the Gram matrices (default: the network's)",
    )
    search_run.add_run_options(verb)


def run(args) -> int:
    """Make the picture that the arguments ask for."""
    if args.sweep:
        return sweep.run(settings(args), args)
    return search_run.run(settings(args), search_run.Outputs.of(args), args)


def settings(args, **files):
    """Return the `StyleSettings` of the arguments; `files` are those that they do not name."""
    from minicnn.methods.style.settings import StyleSettings

    if isinstance(getattr(args, "style", None), list) and len(args.style) == 1:
        files = {"style": args.style[0], **files}
    return parser.settings_of(StyleSettings, args, **files)
