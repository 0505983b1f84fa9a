"""Weight files: a network's parameters and what must travel with them, in HDF5.

    /conv1_1            one group for each layer that has parameters
        weight          (K, C, R, S) of a convolution, (out, in) of a fully connected layer
        bias            (K,); a batch normalisation has gamma, beta, mean, var
    root attributes     format, format_version, architecture, outputs, input_shape, pool,
                        channel_order, mean, std, scale, class_names, weights_sha256,
                        last_layer of an architecture that is not there to its end,
                        layers of a network that is none of ours, see `network.tables`,
                        and whatever else is in `net.attrs`: source, licence, training, ...

float16 halves the file; networks compute in float32. `hdf5` says how files are read with
distrust; here, every array is checked against the architecture before it is read.
"""

import hashlib
import math
from os import PathLike

import numpy as np

from minicnn.backend import resolve_device, to_device, to_host
from minicnn.errors import MinicnnError
from minicnn.network.build import MODELS, skeleton
from minicnn.network.layers import Dropout
from minicnn.network.network import Network
from minicnn.network.sizes import set_input
from minicnn.network.tables import network_of, table_of
from minicnn.storage.hdf5 import inspect, load_arrays, save_arrays
from minicnn.weights.locations import find

FORMAT, VERSION = "minicnn", 1
PREPROCESS = ("channel_order", "mean", "std", "scale")
# attribute of a network: of a file
OPTIONAL = {"pool": "pool", "classes": "class_names", "last": "last_layer"}
HEADER = ("format", "format_version", "architecture", "outputs", "input_shape", "weights_sha256")
RESERVED = {*HEADER, *PREPROCESS, *OPTIONAL.values(), "layers"}
UNNAMED = "own"  # a network without a name in its `attrs`


def save(
    net: Network, path: str | PathLike, *, dtype: str = "float32", compression: bool = True
) -> None:
    """Write the weights of `net`; a file that is there is replaced when all is written.

    Parameters
    ----------
    net : Network
        If `net.attrs["name"]` is one of `build.names()`, with the layers of that. Of any other, the
        table of layers is stored too. `attrs["preprocess"]` says how pictures are prepared. All
        other `attrs` are stored as well, as far as JSON can.
    path : path
    dtype : {"float32", "float16"}
    compression : bool
        Without loss, by gzip.

    Raises
    ------
    MinicnnError
        If the network is not one that could be read back, or the file cannot be written.
    """
    if dtype not in ("float32", "float16"):
        raise MinicnnError(f"no dtype {dtype!r} for weight files; use float32 or float16")
    attrs = {**net.attrs, "name": net.attrs.get("name") or UNNAMED}
    own = {} if attrs["name"] in MODELS else {"layers": table_of(net)}
    outputs = net.shapes()[net.layers[-1]][0]
    wanted = _for_attrs(attrs, outputs, own.get("layers"), net.input_shape)
    if [_lasting(node) for node in wanted.nodes] != [_lasting(node) for node in net.nodes]:
        raise MinicnnError(
            f"the layers are not those of {attrs['name']}; nothing was saved. Give a network of "
            'your own another name: net.attrs["name"]'
        )
    arrays = {key: to_host(array) for key, array in net.params.items()}
    _compare({key: (array.shape, array.dtype) for key, array in arrays.items()}, wanted)
    with np.errstate(over="ignore"):
        arrays = {key: arrays[key].astype(dtype) for key in wanted.params}
    _check_values(arrays)
    stored = {
        "format": FORMAT,
        "format_version": VERSION,
        "architecture": attrs["name"],
        "outputs": outputs,
        "input_shape": list(net.input_shape),
        **wanted.attrs["preprocess"],
        **{new: net.attrs[old] for old, new in OPTIONAL.items() if net.attrs.get(old) is not None},
        **own,
        "weights_sha256": _hash(arrays),
    }
    for key, value in net.attrs.items():
        if key in RESERVED - OPTIONAL.keys():
            raise MinicnnError(f"attribute {key!r} has another meaning in a weight file; rename it")
        if key not in ("name", "preprocess", *OPTIONAL):
            stored[key] = value
    save_arrays(path, {_path(key): arrays[key] for key in arrays}, stored, compression=compression)


def load(name_or_path: str | PathLike, *, pool: str | None = None, device: str = "cpu") -> Network:
    """Read a network.

    Parameters
    ----------
    name_or_path : str or path
        One of `locations.available()`, or a weight file.
    pool : {"max", "average"}, optional
        What all spatial pooling layers are to be; as in the file by default.
    device : {"cpu", "cuda", "cuda:1", "auto"}

    Raises
    ------
    MinicnnError
        If there is no such file, or it is damaged, or its arrays are not those of its network.

    >>> load("minizfnet").layers[:3]
    ['conv1', 'relu1', 'pool1']
    """
    device = resolve_device(device)
    path = find(name_or_path)

    def check(found, attrs):
        _compare({_key(where): entry for where, entry in found.items()}, _for_file(attrs, pool))

    arrays, attrs = load_arrays(path, check=check)
    net = _for_file(attrs, pool)
    try:
        arrays = {key: _as_float32(arrays[_path(key)]) for key in net.params}
        _check_values(arrays)
    except MinicnnError as error:
        raise MinicnnError(f"{path}: {error}") from None
    net.params = {key: to_device(array, device) for key, array in arrays.items()}
    return net


def info(name_or_path) -> dict:
    """Describe a weight file by its attributes and the shapes in it, without reading the arrays."""
    path = find(name_or_path)
    found, attrs = inspect(path)
    try:
        net = _for_file(attrs, None)
    except MinicnnError as error:
        raise MinicnnError(f"{path}: {error}") from None
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        "parameters": sum(int(np.prod(shape)) for shape, _ in found.values()),
        "dtype": ", ".join(sorted({str(dtype) for _, dtype in found.values()})),
        "layers": net.layers,
        **attrs,
    }


def verify(name_or_path) -> dict:
    """Read all of a weight file and return its `info`.

    Raises
    ------
    MinicnnError
        If anything is wrong with it: see `load`; or if the arrays are not those that were saved.
    """
    net, found = load(name_or_path), info(name_or_path)
    computed = weights_hash(net)
    if computed != found.get("weights_sha256"):
        raise MinicnnError(
            f"{found['path']}: the weights have the SHA-256 {computed}, but the file says "
            f"{found.get('weights_sha256')}; it was changed after it was written"
        )
    return found


def weights_hash(net: Network) -> str:
    """Return the SHA-256 over names, shapes and values of the parameters, as hexadecimal digits.

    It depends on neither the device nor the order of the parameters.
    """
    return _hash({key: to_host(array) for key, array in net.params.items()})


def _for_file(attrs, pool):
    """Return the network without weights that the attributes of a file describe."""
    if attrs.get("format") != FORMAT:
        raise MinicnnError("not a weight file of minicnn; make one by `minicnn weights convert`")
    if attrs.get("format_version") != VERSION:
        raise MinicnnError(
            f"format version {attrs.get('format_version')}, but this minicnn reads {VERSION} alone"
        )
    missing = [key for key in (*HEADER, *PREPROCESS) if key not in attrs]
    if missing:
        raise MinicnnError(f"the attribute {missing[0]} is missing")
    own = {key: value for key, value in attrs.items() if key not in RESERVED}
    own |= {old: attrs.get(new) for old, new in OPTIONAL.items()}
    own |= {"name": attrs["architecture"], "preprocess": {key: attrs[key] for key in PREPROCESS}}
    net = _for_attrs(own, attrs["outputs"], attrs.get("layers"), attrs["input_shape"], pool)
    if attrs["input_shape"] != list(net.input_shape):
        set_input(net, attrs["input_shape"])
    return net


def _for_attrs(attrs, outputs, table=None, input_shape=None, pool=None):
    """Return the network without weights with these `attrs`, checked: one of ours, or a table's."""
    name, classes = attrs.get("name"), attrs.get("classes")
    if not isinstance(name, str) or (name not in MODELS and table is None):
        raise MinicnnError(f"no architecture {name!r}; the architectures are {', '.join(MODELS)}")
    pool = pool or attrs.get("pool")
    if name in MODELS:
        net = skeleton(name, pool=pool, classes=outputs, last=attrs.get("last"))
    else:
        net = network_of(table, input_shape, pool)
        outputs = net.shapes()[net.layers[-1]][0]
    if classes is not None and not (isinstance(classes, (list, tuple)) and len(classes) == outputs):
        raise MinicnnError(f"the class names are not a list of {outputs}")
    preprocess = _checked_preprocessing(attrs.get("preprocess"))
    net.attrs |= {**attrs, "pool": net.attrs["pool"], "preprocess": preprocess}
    return net


def _checked_preprocessing(found):
    try:
        mean, std = ([float(v) for v in found[key]] for key in ("mean", "std"))
        checked = {"channel_order": found["channel_order"], "mean": mean, "std": std}
        checked["scale"] = float(found["scale"])
    except (KeyError, TypeError, ValueError):
        checked = None
    if (
        checked is None
        or checked["channel_order"] not in ("RGB", "BGR")
        or not len(mean) == len(std) == 3
        or not all(math.isfinite(v) for v in (*mean, *std, checked["scale"]))
        or 0 in (*std, checked["scale"])
    ):
        raise MinicnnError(
            "preprocessing needs channel_order RGB or BGR, three finite numbers mean, three std "
            f"and a scale that are not 0; it is {found}"
        )
    return checked


def _lasting(node):
    """What a file must keep of a node: all but the probability of a dropout."""
    return node._replace(layer=Dropout) if isinstance(node.layer, Dropout) else node


def _path(key):
    """fire2/squeeze1x1.weight -> fire2/squeeze1x1/weight."""
    return "/".join(key.rsplit(".", 1))


def _key(where):
    """fire2/squeeze1x1/weight -> fire2/squeeze1x1.weight."""
    return ".".join(where.rsplit("/", 1))


def _compare(found, net):
    """Check {parameter: (shape, dtype)} against what `net` wants."""
    name = net.attrs["name"]
    for key, array in net.params.items():
        layer, _, kind = key.rpartition(".")
        if key not in found:
            raise MinicnnError(f"layer {layer}: {kind} is missing; {name} wants {array.shape}")
        shape, dtype = found[key]
        if shape != array.shape:
            raise MinicnnError(f"layer {layer}: {kind} is {shape}, {name} wants {array.shape}")
        if dtype.kind != "f":
            raise MinicnnError(f"layer {layer}: {kind} is of type {dtype}, not floating point")
    extra = [key for key in found if key not in net.params]
    if extra:
        raise MinicnnError(f"{extra[0]} is no parameter of {name}")


def _as_float32(array):
    with np.errstate(over="ignore"):
        return array.astype(np.float32, copy=False)


def _check_values(arrays):
    for key, array in arrays.items():
        layer, _, kind = key.rpartition(".")
        bad = array.size - np.count_nonzero(np.isfinite(array))
        if bad:
            raise MinicnnError(
                f"layer {layer}: {kind} has {bad} values that are NaN or infinite in {array.dtype}"
            )
        if kind == "var" and (array < 0).any():
            raise MinicnnError(f"layer {layer}: the variance is negative")


def _hash(arrays):
    digest = hashlib.sha256()
    for key in sorted(arrays):
        array = np.ascontiguousarray(arrays[key], dtype="<f4")
        digest.update(f"{key} {array.shape}\n".encode())
        digest.update(array)
    return digest.hexdigest()
