"""The shapes of a network's outputs and parameters, from the rules of its layers.

out_shape of a layer = layer.out_shape(out_shape of its inputs),  out_shape of the picture given
"""

from itertools import islice

from minicnn.errors import MinicnnError
from minicnn.network.nodes import INPUT


def outputs(net, input_shape=None, taps=None):
    """Return {layer: (C, H, W) of its output}, see `Network.shapes`."""
    count = len(net.nodes) if taps is None else len(net.nodes_until(taps))
    return {name: out for name, _, out in islice(_walk(net, input_shape), count)}


def parameters(net):
    """Return {"conv1_1.weight": shape, ...}, see `Network.param_shapes`."""
    return {
        f"{name}.{param}": shape
        for name, own, _ in _walk(net, None, check=False)
        for param, shape in own.items()
    }


def _walk(net, input_shape, check=True):
    """Yield (name, {parameter: shape}, (C, H, W) of the output) layer by layer."""
    shapes = {INPUT: tuple(input_shape or net.input_shape)}
    for node in net.nodes:
        sources = [shapes[source] for source in node.inputs]
        try:
            shapes[node.name] = node.layer.out_shape(*sources)
        except MinicnnError as error:
            raise MinicnnError(f"layer {node.name}: {error}") from None
        own = node.layer.param_shapes(sources[0])
        for name, array in net.own_params(node).items() if check else ():
            if array.shape != own.get(name):
                raise MinicnnError(
                    f"layer {node.name}: its {name} {array.shape} does not fit an input of "
                    f"{sources[0]}, which needs {own.get(name)}"
                )
        yield node.name, own, shapes[node.name]
