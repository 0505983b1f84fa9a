"""Foreign weight files into networks: names by table, every shape checked, nothing in silence."""

from pathlib import Path

from minicnn.errors import MinicnnError
from minicnn.network import architectures, build
from minicnn.network.folding import fold_batch_norm
from minicnn.network.network import Network
from minicnn.storage.atomic import file_hash
from minicnn.weights import formats, manifest, norm_folding
from minicnn.weights.fit_arrays import layer_before, parameters, some
from minicnn.weights.formats import norms
from minicnn.weights.matching import (
    fits_others,
    fitting,
    in_our_axes,
    missing_top,
    outputs_of,
    refuse_larger,
)
from minicnn.weights.onnx_graph import network_of_file

PREPROCESS = {
    "caffe": architectures.CAFFE,
    "torchvision": architectures.TORCHVISION,
    "rgb-mean": {
        **architectures.CAFFE,
        "channel_order": "RGB",
        "mean": architectures.CAFFE["mean"][::-1],
    },
    "tf": {"channel_order": "RGB", "mean": [1.0] * 3, "std": [1.0] * 3, "scale": 2 / 255},
    "unit": {"channel_order": "RGB", "mean": [0.0] * 3, "std": [1.0] * 3, "scale": 1 / 255},
}


def convert_file(
    path, network, *, fold=False, eps=None, until=None, preprocess=None, order=None, prefix=None
):
    """Make a network of a foreign weight file.

    A file without the classifier, as those for style transfer are, gives the network up to the
    last layer before it.

    Parameters
    ----------
    path : path
        In any of `convert.FORMATS`.
    network : str
        One of `models.names()`.
    fold : bool
        Fold batch normalisations that the file has and the network has not.
    eps : float, optional
        Their epsilon; by default what the file says, or else the default of who wrote it.
    until : str, optional
        The last layer that is wanted; all behind it is left out.
    preprocess : str, one of `PREPROCESS`, optional
        How pictures are prepared; by default as the names of the layers tell.
    order : {"theano", "tensorflow"}, optional
        On which of the two Keras trained the weights, where the file does not say it.
    prefix : str, optional
        What stands before the names of the arrays to take, such as "ema.", where a file has several
        sets of them.

    Returns
    -------
    Network
        Its `attrs` say where the weights come from: "source_file", "source_sha256",
        "source_format", "source_names" (the table that fitted), "left_out" (names of the arrays
        that were not used), "classes" (the names of ImageNet's classes if there are 1000), and,
        where there is something to know, "note".

    Raises
    ------
    MinicnnError
        If the file cannot be read, or does not fit: the message names the first layer that
        differs.
    """
    wanted = build.skeleton(network, last=until)
    if preprocess not in (None, *PREPROCESS):
        raise MinicnnError(f"no preprocessing {preprocess!r}; use {', '.join(PREPROCESS)}")
    foreign, folded, notes = formats.read(path, order), {}, []
    if fold:
        foreign, folded = _folded(foreign, eps, path)
        notes += _about(folded, eps)
    naming, prefix = fitting(foreign, build.skeleton(network), path, prefix)
    if naming.note:
        notes.append(naming.note)
    foreign = in_our_axes(foreign, naming.layout)
    if until is None and (top := missing_top(wanted, naming, prefix, foreign.arrays)):
        wanted = build.skeleton(network, last=layer_before(wanted, top[0]))
        notes.append(
            f"the file has no {', '.join(top)}: converted up to {wanted.attrs['last']}, which is "
            "enough to make pictures with, but not to classify any"
        )
    used = {key: prefix + naming.names[key] for key in wanted.params}
    if not fold:
        _refuse_norms(foreign, {prefix + name for name in naming.names.values()}, network, path)
    if until is None and foreign.arrays.keys() >= set(used.values()):
        refuse_larger(foreign.arrays, naming, prefix, network, path)
    last, outputs = wanted.attrs["last"], None
    if last is None:
        outputs = outputs_of(foreign.arrays, used, wanted)
    net = build.skeleton(network, classes=outputs, last=last)
    try:
        net.params = parameters(net, foreign, naming, path, prefix)
    except MinicnnError as error:
        raise MinicnnError(f"{error}{fits_others(foreign, network, path)}") from None
    chosen = preprocess or naming.preprocess
    if chosen == "ask":
        raise MinicnnError(
            f"{path} ({naming.family}) does not tell how pictures are prepared; give --preprocess, "
            f"one of {', '.join(PREPROCESS)}"
        )
    if chosen != "own":
        net.attrs["preprocess"] = dict(PREPROCESS[chosen])
    net.attrs |= {
        "source_file": Path(path).name,
        "source_sha256": file_hash(path),
        "source_format": foreign.format,
        "source_names": naming.family,
        "left_out": [name for name in foreign.arrays if name not in set(used.values())],
        "classes": manifest.class_names(outputs),
    }
    if folded:
        net.attrs["folded"] = {norm: conv for norm, (conv, _) in folded.items()}
    if notes:
        net.attrs["note"] = "; ".join(notes)
    return net


def convert_graph(path, *, fold=False, until=None, preprocess=None):
    """Make a network of an ONNX file with the layers of its graph, whatever they are.

    Parameters
    ----------
    path : path
    fold, until
        See `convert_file`.
    preprocess : str, one of `PREPROCESS`
        How pictures are prepared: no ONNX file says it.

    Returns
    -------
    Network
        With the `attrs` that `convert_file` gives, and a name after the file.

    Raises
    ------
    MinicnnError
        If the file cannot be read, has an operator that is not, or `preprocess` is left out.
    """
    net = network_of_file(path)  # whether it can be read is told first
    if preprocess not in PREPROCESS:
        raise MinicnnError(
            f"{path} does not say how its pictures are prepared: give --preprocess, one of "
            f"{', '.join(PREPROCESS)}"
        )
    net.attrs["preprocess"] = dict(PREPROCESS[preprocess])
    if until is not None:
        nodes = net.nodes_until([until])
        net = Network(nodes, net.params, net.input_shape, net.attrs)
        net.params = {key: net.params[key] for key in net.param_shapes()}
    net.attrs |= {
        "source_file": Path(path).name,
        "source_sha256": file_hash(path),
        "source_format": "onnx",
        "left_out": [],
        "classes": manifest.class_names(net.shapes()[net.layers[-1]][0]),
    }
    return fold_batch_norm(net) if fold else net


def _folded(foreign, eps, path):
    try:
        return norm_folding.fold(foreign, eps)
    except MinicnnError as error:
        raise MinicnnError(f"{path}: {error}") from None


def _about(folded, eps):
    """Return a line on what was folded, and with which epsilons."""
    if not folded:
        return ["there is no batch normalisation in the file that could be folded"]
    values = ", ".join(f"{value:g}" for value in sorted({value for _, value in folded.values()}))
    source = "" if eps is not None else " (what the file says, or the default of its format)"
    return [f"folded {len(folded)} batch normalisations; epsilon {values}{source}"]


def _refuse_norms(foreign, known, network, path):
    """Refuse a file with normalisations that are not among the `known` arrays."""
    left = [norm.name for norm in norms.find(foreign) if not known.issuperset(norm.keys)]
    if left:
        raise MinicnnError(
            f"{path} has batch normalisations ({some(left)}), {network} has none; --fold folds "
            "them in"
        )
