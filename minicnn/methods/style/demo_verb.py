"""The verb `demo`."""

from pathlib import Path

from minicnn.methods.style import verb as style_verb
from minicnn.runs import search_run
from minicnn.terminal import parser

FOLDER = "minicnn-demo"


def add(verbs) -> None:
    """Declare the verb."""
    verb = parser.add_verb(
        verbs, "demo", run, "stylise two pictures that come with minicnn", "minicnn demo"
    )
    verb.add_argument(
        "-o",
        "--output",
        metavar="FOLDER",
        default=FOLDER,
        help=f"folder for the pictures (default: {FOLDER})",
    )
    verb.set_defaults(init="content")
    style_verb.add_options(verb)


def run(args) -> int:
    """Write the two pictures, the result and the sheet into a folder."""
    from minicnn.methods.style import demo

    folder = Path(args.output)
    outputs = search_run.Outputs(folder / demo.RESULT, folder / demo.SHEET, force=args.force)
    if folder.is_dir():
        outputs.check([])
    content, painted = demo.unpack(folder, args.force)
    args.size = args.size or demo.SIZE
    args.iterations = args.iterations or demo.ITERATIONS
    args.coarse_iterations = args.coarse_iterations or demo.COARSE_ITERATIONS
    settings = style_verb.settings(args, content=str(content), style=str(painted))
    return search_run.run(settings, outputs, args)
