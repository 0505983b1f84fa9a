"""Networks with other weights that compute the same.

fold_batch_norm        a convolution and the batch normalisation behind it become one
                       convolution (the formula is in `ops.batchnorm`)

normalize_activations  every channel c of a ReLU behind a convolution gets the mean activation 1
                       over pictures and pixels, so that no layer outweighs another in a sum over
                       layers:
                           w[c] -> w[c] / m[c],   b[c] -> b[c] / m[c]
                       and the layers that take channel c multiply their weights for it by m[c].
                       ReLU, pooling, dropout and concatenation commute with positive factors, so
                       the factors pass through them; a sum of branches and a clipping do not.
                       Source: Gatys et al. 2015, arXiv 1505.07376, section 2.
"""

from dataclasses import replace

import numpy as np

from minicnn.backend import array_module, check_finite, to_host
from minicnn.errors import MinicnnError
from minicnn.network.layers import LRN, Add, BatchNorm2d, Clip, Conv2d, Linear, ReLU, Softmax
from minicnn.network.network import INPUT, Network
from minicnn.ops import batchnorm, conv2d

DEAD = 1e-6  # of the largest mean of the layer: what is smaller is rounding, or nothing


def fold_batch_norm(net: Network) -> Network:
    """Return a network without batch normalisations that computes what `net` does in evaluation.

    Its `attrs["name"]` loses the ending "-bn".

    Raises
    ------
    MinicnnError
        If a batch normalisation does not stand behind a convolution, as its only consumer.
    """
    consumers = _consumers(net)
    layers, params, renamed = [], dict(net.params), {}
    for name, layer, inputs in net.nodes:
        inputs = tuple(renamed.get(source, source) for source in inputs)
        if not isinstance(layer, BatchNorm2d):
            layers.append((name, layer, inputs))
            continue
        conv = inputs[0]
        place = next((i for i, entry in enumerate(layers) if entry[0] == conv), None)
        if place is None or not isinstance(layers[place][1], Conv2d) or len(consumers[conv]) > 1:
            raise MinicnnError(
                f"layer {name} cannot be folded: it must be the only consumer of a convolution, "
                f"and its input is {conv}"
            )
        w, b = params.pop(f"{conv}.weight"), params.pop(f"{conv}.bias", None)
        own = [params.pop(f"{name}.{kind}") for kind in ("gamma", "beta", "mean", "var")]
        exact = [None if a is None else a.astype(np.float64) for a in (w, b, *own)]
        folded = batchnorm.fold(*exact, eps=layer.eps)
        params[f"{conv}.weight"], params[f"{conv}.bias"] = (a.astype(w.dtype) for a in folded)
        layers[place] = (conv, replace(layers[place][1], bias=True), layers[place][2])
        renamed[name] = conv
    attrs = dict(net.attrs)
    if "name" in attrs:
        attrs["name"] = attrs["name"].removesuffix("-bn")
    attrs["last"] = renamed.get(attrs.get("last"), attrs.get("last"))
    return _like(net, layers, params, attrs)


def normalize_activations(net: Network, batches, convolution=conv2d) -> Network:
    """Return a network of the same outputs whose ReLU channels have the mean activation 1.

    Channels that are dead on these pictures (no activation, or less than 1e-6 of the largest mean
    of their layer) are left as they are, and so are convolutions without a ReLU or whose factors
    would reach the output.

    Parameters
    ----------
    net : Network
    batches : iterable of array (N, C, H, W)
        Preprocessed pictures.
    convolution
        See `Network.forward`.

    Returns
    -------
    Network
        `attrs["normalized"]` reports: {"pictures": their number, "dead": {layer: [channels]},
        "left": [layers that were left]}.

    Raises
    ------
    MinicnnError
        If the network has layers that do not commute with factors, or there are no pictures.
    """
    for name, layer, _ in net.nodes:
        if isinstance(layer, (LRN, BatchNorm2d)):
            advice = " (fold it first)" if isinstance(layer, BatchNorm2d) else ""
            raise MinicnnError(
                f"layer {name} ({type(layer).__name__}) does not commute with a change of scale, "
                f"so this network cannot be normalised{advice}"
            )
    relus = _rescalable(net)
    if not relus:
        raise MinicnnError("no convolution of this network has a ReLU that could be normalised")
    pictures, means = _means(net, list(relus.values()), batches, convolution)
    factors, dead = {}, {}
    for conv, relu in relus.items():
        alive = means[relu] > DEAD * means[relu].max()
        factors[conv] = 1 / np.where(alive, means[relu], 1)
        if not alive.all():
            dead[conv] = np.flatnonzero(~alive).tolist()
    left = [n.name for n in net.nodes if isinstance(n.layer, Conv2d) and n.name not in relus]
    report = {"pictures": pictures, "dead": dead, "left": left}
    layers = [tuple(node) for node in net.nodes]
    return _like(net, layers, _rescaled(net, factors), {**net.attrs, "normalized": report})


def _rescalable(net):
    """Return {convolution: its ReLU} where all that the ReLU feeds can take the factors back."""
    consumers, absorbed = _consumers(net), {}
    for node in reversed(net.nodes):
        behind = consumers[node.name]
        absorbed[node.name] = bool(behind) and all(
            isinstance(other.layer, (Conv2d, Linear))
            or (not isinstance(other.layer, (Softmax, Add, Clip)) and absorbed[other.name])
            for other in behind
        )
    return {
        node.name: consumers[node.name][0].name
        for node in net.nodes
        if isinstance(node.layer, Conv2d)
        and [type(other.layer) for other in consumers[node.name]] == [ReLU]
        and absorbed[node.name]
    }


def _means(net, relus, batches, convolution):
    """Return the number of pictures and {relu: mean (C,) over pictures and pixels}, in float64."""
    sums, counts, pictures = dict.fromkeys(relus, 0.0), dict.fromkeys(relus, 0), 0
    for x in batches:
        pictures += len(x)
        for name, y in net.forward(x, relus, keep=False, convolution=convolution).items():
            sums[name] = sums[name] + to_host(y.sum(axis=(0, 2, 3), dtype=np.float64))
            counts[name] += y.size // y.shape[1]
    if not pictures:
        raise MinicnnError("mean activations need at least one picture")
    means = {name: sums[name] / counts[name] for name in relus}
    for name, mean in means.items():
        check_finite(mean, f"activations of layer {name}")
    return pictures, means


def _rescaled(net, factors):
    """Return parameters with which every convolution's output is multiplied by its factors."""
    params = dict(net.params)
    carried = {INPUT: np.ones(net.input_shape[0])}  # {layer: factor (C,) of its output}
    for name, layer, inputs in net.nodes:
        # no factor comes to a sum of branches: its inputs are as they were
        joined = inputs[:1] if isinstance(layer, Add) else inputs
        factor = np.concatenate([carried[source] for source in joined])
        if isinstance(layer, Conv2d):
            own = factors.get(name, np.ones(layer.channels))
            # (K, C / groups): what the weight of output k for input c is multiplied by
            by_group = factor.reshape(layer.groups, -1)  # (C,) -> (G, C/G)
            change = own[:, None] / np.repeat(by_group, layer.channels // layer.groups, axis=0)
            _multiply(params, f"{name}.weight", change[:, :, None, None])
            if layer.bias:
                _multiply(params, f"{name}.bias", own)
            carried[name] = own
        elif isinstance(layer, Linear):
            pixels = params[f"{name}.weight"].shape[1] // len(factor)
            _multiply(params, f"{name}.weight", 1 / np.repeat(factor, pixels))
            carried[name] = np.ones(layer.channels)
        else:
            carried[name] = factor
    return params


def _multiply(params, key, change):
    array = params[key]
    params[key] = array * array_module(array).asarray(change.astype(array.dtype))


def _consumers(net):
    consumers = {name: [] for name in (INPUT, *net.layers)}
    for node in net.nodes:
        for source in node.inputs:
            consumers[source].append(node)
    return consumers


def _like(net, layers, params, attrs):
    other = Network(layers, params, net.input_shape, attrs)
    other.params = {key: params[key] for key in other.param_shapes()}
    return other
