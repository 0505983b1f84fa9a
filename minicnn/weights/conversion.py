"""Foreign weight files into networks: names by table, every shape checked, nothing in silence."""

import contextlib
from pathlib import Path

from minicnn.errors import MinicnnError
from minicnn.network import architectures, build
from minicnn.network.folding import fold_batch_norm
from minicnn.network.layers import Linear
from minicnn.network.network import Network
from minicnn.storage.atomic import file_hash
from minicnn.weights import formats, manifest, norm_folding
from minicnn.weights.fit_arrays import layer_before, parameters, some
from minicnn.weights.formats import norms
from minicnn.weights.formats.names import namings
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
    naming, prefix = _fitting(foreign, build.skeleton(network), path, prefix)
    if naming.note:
        notes.append(naming.note)
    foreign = _in_our_axes(foreign, naming.layout)
    if until is None and (top := _missing_top(wanted, naming, prefix, foreign.arrays)):
        wanted = build.skeleton(network, last=layer_before(wanted, top[0]))
        notes.append(
            f"the file has no {', '.join(top)}: converted up to {wanted.attrs['last']}, which is "
            "enough to make pictures with, but not to classify any"
        )
    used = {key: prefix + naming.names[key] for key in wanted.params}
    if not fold:
        _refuse_norms(foreign, {prefix + name for name in naming.names.values()}, network, path)
    if until is None and foreign.arrays.keys() >= set(used.values()):
        _refuse_larger(foreign.arrays, naming, prefix, network, path)
    last, outputs = wanted.attrs["last"], None
    if last is None:
        outputs = _outputs(foreign.arrays, used, wanted)
    net = build.skeleton(network, classes=outputs, last=last)
    try:
        net.params = parameters(net, foreign, naming, path, prefix)
    except MinicnnError as error:
        raise MinicnnError(f"{error}{_fits_others(foreign, network, path)}") from None
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


def _refuse_larger(arrays, naming, prefix, network, path):
    """Refuse a file with all the layers of this network and those of another: VGG-19 as VGG-16."""
    own = {name for name in naming.names.values() if prefix + name in arrays}
    for other in build.names():
        for theirs in namings(other, list(build.skeleton(other).params)):
            found = {name for name in theirs.names.values() if prefix + name in arrays}
            if theirs.family == naming.family and found > own:
                raise MinicnnError(
                    f"{path} has more layers than {network} ({some(sorted(found - own))}): it is "
                    f"like {other}; use --network {other}, or --until LAYER for a part of it"
                )


def _fits_others(foreign, network, path):
    """Say which known networks a file fits, perhaps without its classifier, if not `network`."""
    fits = []
    for other in build.names():
        net = build.skeleton(other)
        naming, prefix = _best(foreign, net) if other != network else (None, "")
        if naming is not None and naming.family != "our own":
            used = {key: prefix + naming.names[key] for key in net.params}
            with contextlib.suppress(MinicnnError):
                if top := _missing_top(net, naming, prefix, foreign.arrays):
                    net = build.skeleton(other, last=layer_before(net, top[0]))
                else:
                    net = build.skeleton(other, classes=_outputs(foreign.arrays, used, net))
                parameters(net, _in_our_axes(foreign, naming.layout), naming, path, prefix)
                fits.append(other)
    return f"; it fits --network {' or '.join(fits)}" if fits else ""


def _missing_top(net, naming, prefix, arrays):
    """Return the layers of the classifier if the file has none of them but all others, else []."""
    owners = list(dict.fromkeys(key.rpartition(".")[0] for key in net.params))
    kinds = {node.name: node.layer for node in net.nodes}
    dense = [name for name in owners if isinstance(kinds[name], Linear)]
    first = owners.index(dense[0]) if dense else len(owners) - 1
    there = {
        key.rpartition(".")[0] for key, name in naming.names.items() if prefix + name in arrays
    }
    top = owners[first:]
    return top if there == set(owners[:first]) else []


def _fitting(foreign, net, path, prefix=None):
    """Return the naming of which the file has most names, and what stands before them there."""
    naming, prefixes = _best_of(foreign, net, prefix)
    if naming is None:
        name = net.attrs["name"]
        known = namings(name, list(net.params))
        families = ", ".join(dict.fromkeys(naming.family for naming in known))
        behind = f" behind {prefix!r}" if prefix else ""
        raise MinicnnError(
            f"{path} ({foreign.format}) has no layer of {name}{behind} under any name known for it "
            f"({families}); its arrays are {some(foreign.arrays)}"
            f"{_fits_others(foreign, name, path)}"
        )
    if len(prefixes) > 1:
        raise MinicnnError(
            f"{path} has {len(prefixes)} sets of weights, whose names begin with "
            f"{' and '.join(map(repr, prefixes))}; give --prefix, one of them"
        )
    return naming, prefixes[0]


def _best(foreign, net):
    naming, prefixes = _best_of(foreign, net)
    return naming, prefixes[0]


def _best_of(foreign, net, prefix=None):
    """Return the naming of which the file has most names, and behind which prefixes it has them."""
    best, most = (None, [""]), 0
    for naming in namings(net.attrs["name"], list(net.params)):
        if foreign.format not in naming.formats:
            continue
        for before in _prefixes(foreign.arrays, naming) if prefix is None else [prefix]:
            hits = sum(before + name in foreign.arrays for name in naming.names.values())
            if hits > most:
                best, most = (naming, [before]), hits
            elif hits == most and best[0] is naming:
                best[1].append(before)
    return best


def _in_our_axes(foreign, layout):
    """Return the file with kernels (K, C, R, S) and matrices (out, in), whatever it has."""
    turned = {
        name: array.T if layout != "ours" and array.ndim == 2 else array
        for name, array in foreign.arrays.items()
    }
    if layout != "HWIO":
        return foreign._replace(arrays=turned)
    for name, array in turned.items():
        turned[name] = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
    return foreign._replace(arrays=turned, flatten="HWC")


def _prefixes(arrays, naming):
    """Return what may stand before all names, as "module." or "state_dict." does."""
    first = next(iter(naming.names.values()))
    ends = [name[: -len(first)] for name in arrays if name.endswith(first)]
    return ["", *dict.fromkeys(end for end in ends if end and end[-1] in "./")]


def _outputs(arrays, used, net):
    """Return the number of classes in the file, or of the network where there is none."""
    last = [key for key in net.params if key.endswith(".weight")][-1]
    array = arrays.get(used[last])
    if array is None or array.ndim < 2 or not array.shape[0]:
        return net.params[last].shape[0]
    return int(array.shape[0])
