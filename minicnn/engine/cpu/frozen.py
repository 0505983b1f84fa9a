"""A network whose weights stand still: its 3x3 filters are kept transformed, and only so."""

from minicnn.engine.cpu.conv2d import FastConvolution
from minicnn.engine.cpu.threads import parallel_map
from minicnn.engine.cpu.units import fits_winograd
from minicnn.network.layers import Conv2d
from minicnn.ops.shapes import pair

FEW_PIXELS = 256 * 256  # for which filters may take twice the memory, as all else takes little


class FrozenNetwork:
    """The layers of a network, a table of its weights, and what they have been transformed to.

    The table is its own: the network that it was made from keeps every weight. Filters leave the
    table once they are transformed, so a caller that lets go of the network gives their memory up.
    The forward pass of `net` needs this `convolution`.
    """

    def __init__(self, net):
        self.net, self.convolution = net.replica(), FastConvolution(frozen=True)
        self.net.params = dict(net.params)

    def transform(self, taps, shape, pictures=0):
        """Transform the filters of the layers up to `taps`, where that has not been done.

        They are those for pictures of a shape (C, H, W), and laid out for the gradients of so many
        `pictures` if these are taken again and again. The crew at hand shares the layers.
        """
        params, filters = self.net.params, self.convolution.filters
        shapes, pixels = self.net.shapes(shape, taps), pictures * shape[1] * shape[2]

        def one(node):
            name = f"{node.name}.weight"
            if not fits_winograd(node, self.net):
                filters.matrices(params[name], node.layer.groups)
            elif max(pair(node.layer.padding)) <= 2:  # else the way back goes by columns
                outputs = shapes[node.name][1:]
                params[name] = filters.outline(params[name], *outputs)
                if pictures:
                    filters.lay_out(params[name], *outputs, twice=pixels <= FEW_PIXELS)

        parallel_map(one, [n for n in self.net.nodes_until(taps) if type(n.layer) is Conv2d])
