"""A network whose weights stand still: its 3x3 filters are kept transformed, and only so."""

from minicnn.engine.cpu.conv2d import FastConvolution
from minicnn.engine.cpu.threads import parallel_map
from minicnn.engine.cpu.units import fits_winograd
from minicnn.network.layers import Conv2d
from minicnn.ops.shapes import pair


class FrozenNetwork:
    """The layers of a network, a table of its weights, and what they have been transformed to.

    The table is its own: the network that it was made from keeps every weight. Filters leave the
    table once they are transformed, so a caller that lets go of the network gives their memory up.
    The forward pass of `net` needs this `convolution`.
    """

    def __init__(self, net):
        self.net, self.convolution = net.replica(), FastConvolution(frozen=True)
        self.net.params = dict(net.params)

    def transform(self, taps, shape):
        """Transform the filters of the layers up to `taps`, where that has not been done.

        They are those for pictures of a shape (C, H, W). The crew at hand shares the layers.
        """
        params, filters = self.net.params, self.convolution.filters
        shapes = self.net.shapes(shape, taps)

        def one(node):
            name = f"{node.name}.weight"
            if not fits_winograd(node, self.net):
                filters.matrices(params[name], node.layer.groups)
            elif max(pair(node.layer.padding)) <= 2:  # else the way back goes by columns
                params[name] = filters.outline(params[name], *shapes[node.name][1:])

        parallel_map(one, [n for n in self.net.nodes_until(taps) if type(n.layer) is Conv2d])
