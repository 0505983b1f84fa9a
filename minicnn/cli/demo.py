"""The verb `demo`."""

from pathlib import Path

from minicnn.cli import painting, parser, style

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
    style.add_options(verb)


def run(args) -> int:
    """Write the two pictures, the result and the sheet into a folder."""
    from minicnn.tasks import demo

    folder = Path(args.output)
    outputs = painting.Outputs(folder / demo.RESULT, folder / demo.SHEET, force=args.force)
    if folder.is_dir():
        outputs.check([])
    content, painted = demo.unpack(folder, args.force)
    args.size = args.size or demo.SIZE
    args.iterations = args.iterations or demo.ITERATIONS
    args.coarse_iterations = args.coarse_iterations or demo.COARSE_ITERATIONS
    settings = style.settings(args, content=str(content), style=str(painted))
    return painting.run(settings, outputs, args)
