"""The verb `weights`: look into weight files, check, convert, fold, normalise and fetch them."""

from minicnn.cli import weight_report
from minicnn.cli.verbs import weights_convert, weights_fetch
from minicnn.cli.weight_report import check_output, describe
from minicnn.terminal import parser

example = "minicnn weights info minivgg"
ACTIONS = (
    ("info", "show what a weight file says of itself", "minicnn weights info minivgg"),
    ("verify", "read all of a weight file and check every array", "minicnn weights verify minivgg"),
    (
        "fold",
        "fold the batch normalisations into the convolutions",
        "minicnn weights fold minivgg -o folded.h5",
    ),
    (
        "normalize",
        "give every channel the mean activation 1; the network's output stays",
        "minicnn demo\nminicnn weights normalize minivgg minicnn-demo -o normalized.h5",
    ),
)


def add(verb) -> None:
    """Declare the options."""
    actions = verb.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, summary, example in ACTIONS:
        action = parser.add_verb(actions, name, globals()[name], summary, example)
        action.add_argument("file", metavar="FILE", help="HDF5 file, or a network at hand")
        if name in ("fold", "normalize"):
            _add_change(action, name)
        action.add_argument("--json", action="store_true", help="as one JSON object")
    weights_convert.add(actions)
    weights_fetch.add(actions)


def _add_change(action, name):
    if name == "normalize":
        action.add_argument(
            "pictures", metavar="PICTURES", help="folder of pictures, or a data set in HDF5"
        )
        action.add_argument("--split", default="val", help="of the data set (default: val)")
        action.add_argument(
            "--limit",
            metavar="N",
            type=parser.count,
            default=1000,
            help="pictures to use, spread over all (default: 1000)",
        )
        action.add_argument(
            "--size",
            metavar="N",
            type=parser.count,
            default=256,
            help="long side above which pictures are made smaller (default: 256)",
        )
    action.add_argument("-o", "--output", metavar="OUT", required=True, help="HDF5 file to write")
    weight_report.add_file_options(action)


def info(args) -> int:
    """Print the attributes of a weight file."""
    from minicnn.weights import checkpoint

    return describe(checkpoint.info(args.file), args.json)


def verify(args) -> int:
    """Read a weight file and print its attributes if everything is right."""
    from minicnn.weights import checkpoint

    return describe({**checkpoint.verify(args.file), "verified": "yes"}, args.json)


def fold(args) -> int:
    """Write the network without batch normalisations."""
    from minicnn.network import folding
    from minicnn.weights import checkpoint

    check_output(args)
    return _save(folding.fold_batch_norm(checkpoint.load(args.file)), args)


def normalize(args) -> int:
    """Write the network with activations of mean 1."""
    from minicnn.data.batches import picture_batches
    from minicnn.network import folding
    from minicnn.weights import checkpoint

    check_output(args)
    net = checkpoint.load(args.file)
    batches = picture_batches(
        args.pictures, net, split=args.split, limit=args.limit, size=args.size
    )
    return _save(folding.normalize_activations(net, batches), args)


def _save(net, args):
    from minicnn.weights import checkpoint

    checkpoint.save(net, args.output, dtype=args.dtype)
    return describe(checkpoint.verify(args.output), args.json)


def run(args) -> int:
    """Do nothing: every action has a function of its own."""
    raise AssertionError("no action")
