"""The action `weights convert`: foreign weight files into ours, or a look into them."""

from dataclasses import dataclass

from minicnn.cli.weight_report import FileOptions, check_output, describe
from minicnn.runs.options import add_settings
from minicnn.runs.settings import FLAG, WEIGHT, choice, setting, text
from minicnn.terminal import parser
from minicnn.terminal.report import Report, table
from minicnn.weights.formats.names import ORDERS

SUMMARY = "make a weight file of one of PyTorch, Caffe, Keras, TensorFlow, MatConvNet and others"
EXAMPLE = """\
minicnn weights convert --list minivgg
minicnn weights convert minivgg --network minivgg -o converted.h5
minicnn weights convert minivgg --network minivgg --until pool3 -o without-the-top.h5
"""


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(FileOptions):
    """What is made of a file."""

    list: bool = setting(FLAG, False, "print the arrays in FILE and stop")
    network: str | None = setting(
        text("NAME"),
        None,
        "whose weights these are, as vgg19",
        shown="of an ONNX file, what its graph says",
    )
    output: str | None = setting(text("OUT"), None, "HDF5 file to write", group="files")
    until: str | None = setting(
        text("LAYER"),
        None,
        "leave out all layers behind this one",
        shown="only those that FILE does not have, where these are the classifier",
    )
    fold: bool = setting(
        FLAG, False, "fold batch normalisations right behind convolutions, which NAME does not have"
    )
    eps: float | None = setting(
        WEIGHT._replace(metavar="E"),
        None,
        "epsilon of those",
        shown="what FILE says, else 1e-3 for Keras and 1e-5 for others",
    )
    preprocess: str | None = setting(
        text("HOW"),
        None,
        "caffe (BGR, 0 to 255), torchvision, rgb-mean, tf (-1 to 1) or unit (0 to 1)",
        shown="as names tell; asked for with an ONNX graph",
    )
    order: str | None = setting(
        choice(ORDERS),
        None,
        "where Keras trained the weights: Theano's kernels are turned",
        shown="as FILE tells",
    )
    prefix: str | None = setting(
        text("TEXT"),
        None,
        "what the names of the arrays to take begin with, as ema.",
        shown="any; asked for where FILE has several sets of weights",
    )


def add(actions) -> None:
    """Declare the action."""
    action = parser.add_verb(actions, "convert", run, SUMMARY, EXAMPLE)
    action.add_argument("file", metavar="FILE", help="of any of these formats, told by its content")
    add_settings(action, ConvertOptions)
    action.set_defaults(usage_error=action.error)


def run(args) -> int:
    """Convert, or list."""
    return _list(args) if args.list else _convert(args)


def _list(args):
    from minicnn.weights import formats

    foreign = formats.read(_located(args.file), args.order)
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
    from minicnn.weights import checkpoint
    from minicnn.weights.conversion import convert_file, convert_graph

    graph = args.network is None and str(args.file).endswith(".onnx")
    if (args.network is None and not graph) or args.output is None:
        args.usage_error("give --network NAME and -o OUT, or --list to look into the file")
    if args.eps is not None and not args.fold:
        args.usage_error("--eps is the epsilon of the batch normalisations that --fold folds")
    if graph and {args.eps, args.order, args.prefix} != {None}:
        args.usage_error(
            "an ONNX graph says its epsilons, order and names; leave out --eps, --order, --prefix"
        )
    check_output(args)
    how = {"fold": args.fold, "until": args.until, "preprocess": args.preprocess}
    if graph:
        net = convert_graph(args.file, **how)
    else:
        how |= {"eps": args.eps, "order": args.order, "prefix": args.prefix}
        net = convert_file(_located(args.file), args.network, **how)
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
    from minicnn.weights import locations

    return locations.embedded().get(file, file)
