"""The verb `weights`: look into weight files, check, convert, fold, normalise and fetch them."""

from dataclasses import dataclass

from minicnn.cli.verbs import weights_convert, weights_fetch
from minicnn.cli.weight_report import FileOptions, check_output, describe
from minicnn.runs.options import add_settings
from minicnn.runs.settings import JsonOption, count, setting, text
from minicnn.terminal import parser
from minicnn.terminal.report import Report

example = "minicnn weights info minivgg"


@dataclass(frozen=True, kw_only=True)
class ExportOptions(FileOptions):
    """Where the arrays go."""

    output: str = setting(text("OUT"), help="file to write, .safetensors or .npz", group="files")


@dataclass(frozen=True, kw_only=True)
class NormalizeOptions(FileOptions):
    """Over which pictures activations have the mean 1."""

    pictures: str = setting(
        text("PICTURES"), help="folder of pictures, or a data set in HDF5", argument=True
    )
    split: str = setting(text("NAME"), "val", "of the data set")
    limit: int = setting(count(), 1000, "pictures to use, spread over all")
    size: int = setting(
        count(), 256, "long side above which pictures are made smaller", group="picture"
    )


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
    from pathlib import Path

    from minicnn.data.picture_set import PictureSet
    from minicnn.engine.memory import refuse_walk
    from minicnn.network import folding
    from minicnn.weights import checkpoint

    check_output(args)
    net = checkpoint.load(args.file)
    split = None if Path(args.pictures).is_dir() else args.split
    pictures = PictureSet(args.pictures, split, args.limit)

    def batches():
        for x in pictures.batches(net.attrs["preprocess"], args.size):
            refuse_walk(net, x.shape, net.layers, "use a smaller --size")
            yield x

    code = _save(folding.normalize_activations(net, batches()), args)
    if pictures.left_out:
        Report().note(pictures.left_out)
    return code


def export(args) -> int:
    """Write the arrays for others."""
    from minicnn.storage import atomic
    from minicnn.weights import checkpoint
    from minicnn.weights.export import FORMATS, export

    atomic.check_output(args.output, args.force, tuple(FORMATS))
    net = checkpoint.load(args.file)
    export(net, args.output, args.dtype)
    return describe({"path": args.output, "arrays": len(net.params)}, args.json)


def _save(net, args):
    from minicnn.weights import checkpoint

    checkpoint.save(net, args.output, dtype=args.dtype)
    return describe(checkpoint.verify(args.output), args.json)


ACTIONS = (
    (info, JsonOption, "show what a weight file says of itself", "minicnn weights info minivgg"),
    (
        verify,
        JsonOption,
        "read all of a weight file and check every array",
        "minicnn weights verify minivgg",
    ),
    (
        fold,
        FileOptions,
        "fold the batch normalisations into the convolutions",
        "minicnn weights fold minivgg -o folded.h5",
    ),
    (
        export,
        ExportOptions,
        "write the arrays as .safetensors or .npz, for other programs",
        "minicnn weights export minivgg -o minivgg.safetensors",
    ),
    (
        normalize,
        NormalizeOptions,
        "give every channel the mean activation 1; the network's output stays",
        "minicnn demo\nminicnn weights normalize minivgg minicnn-demo -o normalized.h5",
    ),
)


def add(verb) -> None:
    """Declare the options."""
    actions = verb.add_subparsers(title="actions", metavar="ACTION", required=True)
    for do, options, summary, example in ACTIONS:
        action = parser.add_verb(actions, do.__name__, do, summary, example)
        action.add_argument("file", metavar="FILE", help="HDF5 file, or a network at hand")
        add_settings(action, options)
    weights_convert.add(actions)
    weights_fetch.add(actions)


def run(args) -> int:
    """Do nothing: every action has a function of its own."""
    raise AssertionError("no action")
