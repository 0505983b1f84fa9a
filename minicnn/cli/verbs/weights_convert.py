"""The action `weights convert`: foreign weight files into ours, or a look into them."""

from minicnn.cli.weight_report import add_file_options
from minicnn.terminal import parser
from minicnn.terminal.report import Report, table

SUMMARY = "make a weight file of one of PyTorch, Caffe, Keras, MatConvNet, NumPy or safetensors"
EXAMPLE = """\
minicnn weights convert --list minivgg
minicnn weights convert minivgg --network minivgg -o converted.h5
minicnn weights convert minivgg --network minivgg --until pool3 -o without-the-top.h5
"""


def add(actions) -> None:
    """Declare the action."""
    action = parser.add_verb(actions, "convert", run, SUMMARY, EXAMPLE)
    action.add_argument("file", metavar="FILE", help="of any of these formats, told by its content")
    action.add_argument("--list", action="store_true", help="print the arrays in FILE and stop")
    action.add_argument("--network", metavar="NAME", help="whose weights these are, as vgg19")
    action.add_argument("-o", "--output", metavar="OUT", help="HDF5 file to write")
    action.add_argument(
        "--until",
        metavar="LAYER",
        help="leave out all layers behind this one (default: only those that FILE does not have, "
        "where these are the classifier)",
    )
    action.add_argument(
        "--fold",
        action="store_true",
        help="fold batch normalisations right behind convolutions, which NAME does not have",
    )
    action.add_argument(
        "--eps",
        metavar="E",
        type=parser.weight,
        help="epsilon of those (default: what FILE says, else 1e-3 for Keras and 1e-5 for others)",
    )
    action.add_argument(
        "--preprocess",
        metavar="HOW",
        help="caffe (BGR, 0 to 255), torchvision or rgb-mean; by default as the names tell",
    )
    add_file_options(action)
    action.add_argument("--json", action="store_true", help="as one JSON object")
    action.set_defaults(usage_error=action.error)


def run(args) -> int:
    """Convert, or list."""
    return _list(args) if args.list else _convert(args)


def _list(args):
    from minicnn.weights import formats

    foreign = formats.read(_located(args.file))
    rows = [
        {"array": name, "shape": " x ".join(map(str, array.shape)), "type": str(array.dtype)}
        for name, array in foreign.arrays.items()
    ]
    arrays = {
        name: {"shape": list(array.shape), "dtype": str(array.dtype)}
        for name, array in foreign.arrays.items()
    }
    text = f"{table(rows)}\nformat: {foreign.format}"
    Report(args.json).result(text, format=foreign.format, arrays=arrays)
    return 0


def _convert(args):
    from minicnn.cli.weight_report import check_output, describe
    from minicnn.weights import checkpoint
    from minicnn.weights.conversion import convert_file

    if args.network is None or args.output is None:
        args.usage_error("give --network NAME and -o OUT, or --list to look into the file")
    if args.eps is not None and not args.fold:
        args.usage_error("--eps is the epsilon of the batch normalisations that --fold folds")
    check_output(args)
    net = convert_file(
        _located(args.file),
        args.network,
        fold=args.fold,
        eps=args.eps,
        until=args.until,
        preprocess=args.preprocess,
    )
    checkpoint.save(net, args.output, dtype=args.dtype)
    left_out = net.attrs["left_out"]
    report = Report(args.json)
    if left_out:
        report.note(f"left out {len(left_out)} arrays of the file: {', '.join(left_out[:5])}")
    if "note" in net.attrs:
        report.note(net.attrs["note"])
    return describe(checkpoint.verify(args.output), args.json)


def _located(file):
    """Return the path of an embedded network, or `file` as it is."""
    from minicnn.weights import checkpoint

    return checkpoint.embedded().get(file, file)
