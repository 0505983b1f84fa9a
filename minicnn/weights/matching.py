"""Which network a foreign file fits, and by which of the names known for its layers."""

import contextlib

from minicnn.errors import MinicnnError
from minicnn.network import build
from minicnn.network.layers import Linear
from minicnn.weights.fit_arrays import layer_before, parameters, some
from minicnn.weights.formats.names import namings


def refuse_larger(arrays, naming, prefix, network, path):
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


def fits_others(foreign, network, path):
    """Say which known networks a file fits, perhaps without its classifier, if not `network`."""
    fits = []
    for other in build.names():
        net = build.skeleton(other)
        naming, prefix = _best(foreign, net) if other != network else (None, "")
        if naming is not None and naming.family != "our own":
            used = {key: prefix + naming.names[key] for key in net.params}
            with contextlib.suppress(MinicnnError):
                if top := missing_top(net, naming, prefix, foreign.arrays):
                    net = build.skeleton(other, last=layer_before(net, top[0]))
                else:
                    net = build.skeleton(other, classes=outputs_of(foreign.arrays, used, net))
                parameters(net, in_our_axes(foreign, naming.layout), naming, path, prefix)
                fits.append(other)
    return f"; it fits --network {' or '.join(fits)}" if fits else ""


def missing_top(net, naming, prefix, arrays):
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


def fitting(foreign, net, path, prefix=None):
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
            f"{fits_others(foreign, name, path)}"
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


def in_our_axes(foreign, layout):
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


def outputs_of(arrays, used, net):
    """Return the number of classes in the file, or of the network where there is none."""
    last = [key for key in net.params if key.endswith(".weight")][-1]
    array = arrays.get(used[last])
    if array is None or array.ndim < 2 or not array.shape[0]:
        return net.params[last].shape[0]
    return int(array.shape[0])
