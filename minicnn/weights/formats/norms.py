"""Batch normalisations in foreign files.

    format            a normalisation BN is                                        epsilon
    PyTorch           BN.weight, bias, running_mean, running_var                   1e-5
    our own           BN.gamma, beta, mean, var                                    1e-5
    Keras             BN/gamma, beta, moving_mean, moving_variance                 model's, or 1e-3
    MXNet             BN_gamma, beta, moving_mean, moving_var                      1e-3
    caffe-tensorflow  BN.scale, offset, mean, variance                             1e-5
    Caffe             BatchNorm: sums of means and of variances, their weight s    layer's, or 1e-5
                      (mean = BN/0 / s, var = BN/1 / s); Scale: gamma, beta
    MatConvNet        SimpleNN BN/0, 1, 2, DagNN BNm, BNb, BNx or BN_mult, BN_bias, BN_moments:
                      gamma, beta, and the moments (K, 2): mean and sqrt(var + epsilon)

gamma or beta that are missing are 1 and 0.

Sources: torch/nn/modules/batchnorm.py; keras/src/layers/normalization; batch_norm_layer.cpp and
scale_layer.cpp of Caffe; vl_nnbnorm.m of MatConvNet; kaffe/tensorflow/network.py.
"""

from typing import NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.weights.formats.names import MATLAB

STATISTICS = {  # suffixes of gamma, beta, mean, var
    "torch": (".weight", ".bias", ".running_mean", ".running_var"),
    "own": (".gamma", ".beta", ".mean", ".var"),
    "own-hdf5": ("/gamma", "/beta", "/mean", "/var"),
    "keras": ("/gamma", "/beta", "/moving_mean", "/moving_variance"),
    "mxnet": ("_gamma", "_beta", "_moving_mean", "_moving_var"),
    "caffe-tensorflow": (".scale", ".offset", ".mean", ".variance"),
}
MOMENTS = (("/0", "/1", "/2"), ("m", "b", "x"), ("_mult", "_bias", "_moments"))  # of MatConvNet
EPS, KERAS_EPS = 1e-5, 1e-3
KERAS_LIKE = ("keras", "tensorflow", "tfjs", "mxnet")  # formats with the latter by default


class Layer(NamedTuple):
    """A layer of a file that says how its layers hang together.

    Attributes
    ----------
    name, kind : str
        As the file has them.
    source : str or None
        The layer that its (first) input comes from.
    eps : float or None
        Of a batch normalisation, if the file says it.
    """

    name: str
    kind: str
    source: str | None
    eps: float | None = None


class Norm(NamedTuple):
    """A batch normalisation; `keys` are the names of its arrays in the file."""

    name: str
    gamma: np.ndarray
    beta: np.ndarray
    mean: np.ndarray
    var: np.ndarray
    eps: float
    keys: tuple


def find(foreign, eps=None) -> list[Norm]:
    """Return the batch normalisations of a file, those of a chain in order.

    Parameters
    ----------
    foreign : convert.Foreign
    eps : float, optional
        The epsilon of all of them, where the file and the format do not fix it.

    Raises
    ------
    MinicnnError
        If the arrays of one do not fit each other.
    """
    if foreign.format in MATLAB:
        return _with_moments(foreign.arrays)
    if foreign.format in ("caffe", "caffe-hdf5"):
        return _of_caffe(foreign, eps)
    own = {layer.name: layer.eps for layer in foreign.layers}
    default = KERAS_EPS if foreign.format in KERAS_LIKE else EPS
    found = []
    for gamma, beta, mean, var in STATISTICS.values():
        for name in [key.removesuffix(mean) for key in foreign.arrays if key.endswith(mean)]:
            if name + var in foreign.arrays:
                known = own.get(name) if eps is None else eps
                keys = [name + end for end in (gamma, beta, mean, var)]
                found.append(_norm(foreign.arrays, name, keys, default if known is None else known))
    return found


def _norm(arrays, name, keys, eps, parts=None):
    """Return a `Norm` of the arrays `keys`: gamma, beta, mean, var, or what `parts` says."""
    there = tuple(key for key in keys if key in arrays)
    given = [arrays.get(key) for key in keys] if parts is None else parts
    if any(part is not None and part.dtype.kind != "f" for part in given):
        raise MinicnnError(f"the batch normalisation {name} is not of floating-point numbers")
    size = next(part.size for part in given if part is not None)
    defaults = (np.ones, np.zeros, np.zeros, np.ones)
    full = [
        make(size) if part is None else part.ravel().astype(np.float64)
        for make, part in zip(defaults, given, strict=True)
    ]
    if any(part.size != size for part in full):
        raise MinicnnError(f"the arrays of the batch normalisation {name} differ in their sizes")
    if not (full[3] + eps > 0).all():
        raise MinicnnError(f"the batch normalisation {name} has variances that are not positive")
    return Norm(name, *full, eps, there)


def _with_moments(arrays):
    """MatConvNet's: sqrt(var + epsilon) is stored, so that var is its square and epsilon 0."""
    found = []
    for ends in MOMENTS:
        for key, moments in arrays.items():
            name = key.removesuffix(ends[2])
            keys = [name + end for end in ends]
            if name == key or moments.ndim != 2 or 2 not in moments.shape or keys[0] not in arrays:
                continue
            gamma, beta = arrays[keys[0]], arrays.get(keys[1])
            if gamma.size * 2 != moments.size:
                continue
            mean, sigma = moments.T if moments.shape[1] == 2 else moments
            found.append(_norm(arrays, name, keys, 0.0, (gamma, beta, mean, sigma**2)))
    return found


def _of_caffe(foreign, eps):
    """Caffe's pairs of layers, as two: BatchNorm without gamma and beta, Scale without the rest."""
    arrays, kinds = foreign.arrays, {layer.name: layer for layer in foreign.layers}
    names = dict.fromkeys(key.rpartition("/")[0] for key in arrays)
    blobs = {name: [arrays.get(f"{name}/{i}") for i in range(3)] for name in names}
    norms, scales = [], []
    for name, (first, second, third) in blobs.items():
        keys = [f"{name}/{i}" for i in range(3)]
        kind = kinds[name].kind if name in kinds else _kind_by_shapes(first, second, third)
        if kind == "BatchNorm" and third is not None:
            total = float(third.ravel()[0]) if third.size else 0.0
            factor = 1 / total if total else 0.0  # as Caffe does
            own = kinds[name].eps if name in kinds else None
            own = EPS if own is None else own
            parts = (None, None, first * factor, second * factor)
            norms.append(_norm(arrays, name, keys, own if eps is None else eps, parts))
        elif kind == "Scale" and first is not None:
            scales.append(_norm(arrays, name, keys, 0.0, (first, second, None, None)))
    return [*norms, *scales]


def _kind_by_shapes(first, second, third):
    """What a layer of a file without kinds is: a BatchNorm has three blobs, a Scale two vectors."""
    if first is None or second is None or first.ndim != 1 or first.shape != second.shape:
        return ""
    if third is None:
        return "Scale"
    return "BatchNorm" if third.size == 1 else ""
