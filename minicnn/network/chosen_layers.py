"""Which layers of a network are meant: by patterns of names, or by what stands around them."""

from fnmatch import fnmatchcase

from minicnn.errors import MinicnnError
from minicnn.network.layers import BatchNorm2d, MaxPool2d, ReLU
from minicnn.network.nodes import INPUT


def choose_layers(net, patterns=None):
    """Return the names of the layers that `patterns` mean, in the network's order.

    Parameters
    ----------
    net : Network
    patterns : list of str, optional
        Names, or patterns as relu*; by default the layers just below each pooling.

    Raises
    ------
    MinicnnError
        If a pattern fits no layer.
    """
    if patterns is None:
        pooled = {n.inputs[0] for n in net.nodes if "Pool" in type(n.layer).__name__}
        return [name for name in net.layers if name in pooled] or net.layers[-1:]
    for pattern in patterns:
        if not fitting(net, [pattern]):
            raise MinicnnError(
                f"no layer {pattern!r} in {net.attrs['name']}; its layers are "
                f"{', '.join(net.layers)}"
            )
    return fitting(net, patterns)


def fitting(net, patterns):
    """Return the names of the layers that fit one of `patterns`, in the network's order."""
    return [name for name in net.layers if any(fnmatchcase(name, p) for p in patterns)]


def relus_of_convolutions(net):
    """Return the ReLUs behind convolutions, or the layers below poolings where those are many."""
    fields = net.receptive_fields()
    relus = [
        node.name
        for node in net.nodes
        if isinstance(node.layer, ReLU) and fields[node.name].size is not None
    ]
    return relus if 0 < len(relus) <= 8 else choose_layers(net)


def relu_behind(net, name):
    """Return the ReLU behind a convolution, normalised or not; the convolution if there is none."""
    found = name
    for node in net.nodes[net.layers.index(name) + 1 :]:
        if node.inputs == (found,) and isinstance(node.layer, (BatchNorm2d, ReLU)):
            found = node.name
            if isinstance(node.layer, ReLU):
                return found
    return name


def pools_below(net, layers):
    """Return the max poolings that lie on the way from some of `layers` down to the picture."""
    needed = set(layers)
    for node in reversed(net.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    needed.discard(INPUT)
    return [n.name for n in net.nodes if n.name in needed and isinstance(n.layer, MaxPool2d)]


def weights_below(net, layer):
    """Return the names of the weights that a layer's units are made with: the nearest ones below.

    >>> from minicnn.network.build import skeleton
    >>> weights_below(skeleton("minialexnet"), "pool1")
    ['conv1.weight']
    """
    nodes = {node.name: node for node in net.nodes}
    found, todo = [], [layer]
    while todo:
        name = todo.pop(0)
        key = f"{name}.weight"
        if key in net.params and net.params[key].ndim > 1:
            found.append(key)
        elif name != INPUT:
            todo += nodes[name].inputs
    return list(dict.fromkeys(found))
