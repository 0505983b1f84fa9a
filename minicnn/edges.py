"""What a network sees beyond the edge of the picture: zeros, or the picture's own outermost pixels.

Zero padding puts a frame of the mean colour around the picture. Every layer sees it, and a picture
that is changed until its Gram matrices fit answers with a margin of its own. Repeating the
outermost pixels at the first layer (as crowsonkb/style-transfer-pytorch does) takes most of it
away: what the deeper layers still pad with zeros are activations, not colours.
"""

from dataclasses import replace

from minicnn.errors import MinicnnError
from minicnn.layers import Conv2d, ReplicatePad2d
from minicnn.network import INPUT, Network
from minicnn.ops.shapes import pair

PADDINGS = ("zero", "replicate")


def replicate_first(net: Network) -> Network:
    """Return a network with the parameters of `net` whose first convolution repeats the edges.

    Its layers keep their names, sizes and receptive fields; before the first one comes a layer
    "replicate".

    Raises
    ------
    MinicnnError
        If the network does not begin with one convolution that pads.
    """
    first = [node for node in net.nodes if INPUT in node.inputs]
    name, layer, _ = first[0]
    if len(first) > 1 or not isinstance(layer, Conv2d) or not max(pair(layer.padding)):
        raise MinicnnError(
            f"the first layer of {net.attrs.get('name', 'this network')}, {name}, pads nothing, so "
            "there is nothing to replicate; leave the padding as it is"
        )
    layers = [("replicate", ReplicatePad2d(layer.padding), (INPUT,))]
    for node in net.nodes:
        if node.name == name:
            layers.append((name, replace(layer, padding=0), ("replicate",)))
        else:
            layers.append(tuple(node))
    twin = Network(layers, net.params, net.input_shape, net.attrs)
    twin.convolution = net.convolution
    return twin
