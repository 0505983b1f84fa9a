"""A network whose weights stand still: its 3x3 filters are kept transformed, and only so."""

import weakref

from minicnn.engine.cpu import filters
from minicnn.engine.cpu.conv2d import FastConvolution
from minicnn.engine.cpu.threads import parallel_map
from minicnn.engine.cpu.units import fits_winograd
from minicnn.network.layers import Conv2d
from minicnn.ops.shapes import pair


class FrozenNetwork:
    """The layers of a network, a table of its weights, and what they have been transformed to.

    The table is its own: the network that it was made from keeps every weight. Filters leave the
    table once they are transformed, so a caller that lets go of the network gives their memory up.
    The forward pass of `net` needs this `convolution`. With `low_memory` no large filters are kept
    twice.
    """

    def __init__(self, net, low_memory=False):
        self.net, self.convolution = net.replica(), FastConvolution(frozen=True)
        self.net.params = dict(net.params)
        self.low_memory = low_memory
        self._outlines = weakref.WeakValueDictionary()  # plans of other sizes may have them

    def transform(self, taps, shape, backward=False):
        """Give `net` the filters up to `taps` for pictures of a shape (C, H, W).

        They are transformed where that has not been done, for gradients too if `backward`. The crew
        at hand shares the layers.
        """
        params, banks = self.net.params, self.convolution.filters
        shapes = self.net.shapes(shape, taps)
        few = not self.low_memory and shape[1] * shape[2] <= filters.FEW_PIXELS

        def one(node):
            name, outputs = f"{node.name}.weight", shapes[node.name][1:]
            if not fits_winograd(node, self.net):
                banks.matrices(params[name], node.layer.groups)
            elif max(pair(node.layer.padding)) <= 2:  # else the way back goes by columns
                w = self._outlines.get((name, few), params[name])
                params[name] = self._outlines[name, few] = banks.outline(w, *outputs, few)
                if backward:
                    _ = banks.winograd(params[name], *outputs).backward  # made once, and kept

        parallel_map(one, [n for n in self.net.nodes_until(taps) if type(n.layer) is Conv2d])

    def let_go(self):
        """Let go of the copies of large filters for gradients: the next size may want none."""
        for bank in (getattr(w, "bank", None) for w in self.net.params.values()):
            if bank:
                bank.let_go()
