"""Batch normalisations of foreign files folded into the convolutions that they stand behind.

Which convolution a normalisation stands behind is told by the file where it holds the layers
(Caffe, MatConvNet's SimpleNN, Keras); else by numbers that follow each other (features.0,
features.1), by names (conv1_1, bn1_1), or, where the order of the arrays is that of the layers,
by what comes before it. What cannot be told is refused. The formula is in `ops.batchnorm`.
"""

import re

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.ops import batchnorm
from minicnn.weights.formats.names import MATLAB, SPELLINGS
from minicnn.weights.formats.norms import find

IN_ORDER = ("pytorch", "pytorch-legacy", "npz", *MATLAB)
CONVOLUTIONS = {"caffe": ("caffe",), "caffe-hdf5": ("caffe",), "keras": ("keras",),
                "tensorflow": ("slim", "keras"), "tfjs": ("keras",),
                "mxnet": ("mxnet", "torch"),
                "npy": ("dict", "list", "torch", "hdf5"),
                **dict.fromkeys(MATLAB, ("caffe", "dag", "dag-long"))}  # fmt: skip
OTHERS = ("torch", "hdf5")
WORDS = re.compile(r"conv(olution)?(2d)?|fc|batch_?norm(alization)?|bn|norm|scale")
KERAS_NUMBER = re.compile(r"batch_normalization(_\d+)?")
COUNTER = ".num_batches_tracked"  # of PyTorch; nothing to do with the result


def fold(foreign, eps=None):
    """Return the file without its batch normalisations, and what they were.

    Parameters
    ----------
    foreign : convert.Foreign
    eps : float, optional

    Returns
    -------
    convert.Foreign
        Every convolution has a bias.
    {norm: (convolution, eps)}

    Raises
    ------
    MinicnnError
        If it cannot be told which convolution one stands behind, or their sizes differ.
    """
    norms, convs = find(foreign, eps), _convolutions(foreign)
    arrays, folded = dict(foreign.arrays), {}
    for norm in norms:
        conv = _behind(norm.name, norms, convs, foreign, folded)
        weight, bias = convs[conv]
        w, b = arrays[weight], arrays.get(bias)
        if len(norm.mean) != len(w):
            raise MinicnnError(
                f"the batch normalisation {norm.name} has {len(norm.mean)} channels, {conv} in "
                f"front of it {len(w)}"
            )
        if b is not None and b.shape != (len(w),):
            raise MinicnnError(f"the bias {bias} is {b.shape}, its weights have {len(w)} channels")
        parts = (norm.gamma, norm.beta, norm.mean, norm.var)
        with np.errstate(all="ignore"):  # what is not finite is refused when it is converted
            full = w.reshape(len(w), -1, 1, 1).astype(np.float64)
            full, b = batchnorm.fold(full, b, *parts, eps=norm.eps)
        arrays[weight], arrays[bias] = full.reshape(w.shape), b
        for key in (*norm.keys, norm.name + COUNTER):
            arrays.pop(key, None)
        folded[norm.name] = (conv, norm.eps)
    for conv in {conv for conv, _ in folded.values()}:  # rounded once, behind a chain of them
        for key in convs[conv]:
            with np.errstate(all="ignore"):
                arrays[key] = arrays[key].astype(np.float32)
    return foreign._replace(arrays=arrays), folded


def _convolutions(foreign):
    """Return {layer: (name of its weight, of its bias)} of all that can stand before a norm."""
    found = {}
    for spelling in CONVOLUTIONS.get(foreign.format, OTHERS):
        weight, bias = (text.removeprefix("{}") for text in SPELLINGS[spelling])
        for key, array in foreign.arrays.items():
            if key.endswith(weight) and array.ndim in (2, 4) and array.dtype.kind == "f":
                name = key.removesuffix(weight)
                if len(array) and name + bias not in found:
                    found.setdefault(name, (key, name + bias))
    return found


def _behind(name, norms, convs, foreign, folded):
    """Return the convolution that the normalisation `name` stands behind."""
    sources = {layer.name: layer.source for layer in foreign.layers}
    chained = foreign.format in ("caffe", "caffe-hdf5")  # BatchNorm and then Scale
    place = re.fullmatch(r"(.*[./])?(\d+)", name)
    if name in sources:
        conv = sources[name]
        conv = folded[conv][0] if chained and conv in folded else conv
    elif place:
        conv = f"{place[1] or ''}{int(place[2]) - 1}"
    else:
        conv = _told_by_names(name, norms, convs)
        if conv is None and foreign.format in IN_ORDER:
            conv = _told_by_order(name, norms, convs, foreign.arrays)
    if conv not in convs:
        where = f"stands behind {conv}" if conv else f"could belong to any of {', '.join(convs)}"
        raise MinicnnError(
            f"the batch normalisation {name} cannot be folded: it {where[:200]}, and only what is "
            "known to stand right behind a convolution can"
        )
    if not chained and conv in [other for other, _ in folded.values()]:
        raise MinicnnError(f"two batch normalisations seem to stand behind {conv}, one is {name}")
    return conv


def _told_by_names(name, norms, convs):
    """Return the convolution whose name fits, or None."""
    alike = [conv for conv in convs if _bare(conv) == _bare(name)]
    if len(alike) != 1:
        return None
    if KERAS_NUMBER.fullmatch(name) and len(norms) != sum(map(_is_numbered, convs)):
        return None  # mere counters: they agree only if there is one for each
    return alike[0]


def _is_numbered(conv):
    return conv.startswith("conv2d")


def _bare(name):
    """conv1_1, bn1_1, scale_conv1_1, conv1_1/bn -> 1_1: what is left without words for layers."""
    return WORDS.sub("", name.lower()).strip("/._-")


def _told_by_order(name, norms, convs, arrays):
    """Return the convolution whose arrays come right before those of the normalisation, or None."""
    own = {key: norm.name for norm in norms for key in norm.keys}
    ends = {key: conv for conv, keys in convs.items() for key in keys}
    before = None
    for key in arrays:
        if own.get(key) == name:
            return before
        before = ends.get(key) if key not in own else None
    return None
