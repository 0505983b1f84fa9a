"""What a network sees beyond the edge of the picture: zeros, or the picture's own outermost pixels.

Zero padding puts a frame of the mean colour around the picture. Every layer sees it, and a picture
that is changed until its Gram matrices fit answers with a margin of its own. Repeating the
outermost pixels at the first layer (as crowsonkb/style-transfer-pytorch does) takes most of it
away: what the deeper layers still pad with zeros are activations, not colours.

A first layer that pads nothing has the opposite fault: the outermost pixels are seen through the
weak rim of a single window, so that hardly any gradient reaches them and a margin of the start is
left. There the edges are repeated by half a kernel.
"""

from dataclasses import replace

from minicnn.errors import MinicnnError
from minicnn.network.layers import Conv2d, ReplicatePad2d
from minicnn.network.network import INPUT, Network
from minicnn.ops.shapes import pair

PADDINGS = ("zero", "replicate")


def replicate_first(net: Network) -> Network:
    """Return a network with the parameters of `net` whose first convolution repeats the edges.

    Its layers keep their names; before the first one comes a layer "replicate". Sizes and receptive
    fields stay as well, but where the first convolution pads nothing: it then sees half a kernel
    beyond the edges. A network that does not begin with one convolution larger than a pixel is
    refused.
    """
    first = [node for node in net.nodes if INPUT in node.inputs]
    name, layer, _ = first[0]
    padding = (0, 0)
    if len(first) == 1 and isinstance(layer, Conv2d):
        half = tuple(size // 2 for size in pair(layer.kernel))
        padding = pair(layer.padding) if max(pair(layer.padding)) else half
    if not max(padding):
        raise MinicnnError(
            f"the first layer of {net.attrs.get('name', 'this network')}, {name}, sees nothing "
            "beyond the edges, so there is nothing to replicate; leave the padding as it is"
        )
    layers = [("replicate", ReplicatePad2d(padding), (INPUT,))]
    for node in net.nodes:
        if node.name == name:
            layers.append((name, replace(layer, padding=0), ("replicate",)))
        else:
            layers.append(tuple(node))
    return Network(layers, net.params, net.input_shape, net.attrs)
