"""Receptive fields: which pixels an entry of a layer's output can see.

    size'   = size + (kernel - 1) stride
    stride' = stride u
    offset' = offset - pad stride

for a layer with stride u; the field of a concatenation covers those of its inputs. Ceil-mode
windows change no formula: what hangs over the edge sees nothing.

Source: Dumoulin & Visin 2016, arXiv 1603.07285, section 2, applied layer by layer.
"""

from typing import NamedTuple

from minicnn.network.layers import GlobalAvgPool2d, Linear
from minicnn.network.nodes import INPUT
from minicnn.ops.shapes import pair


class Field(NamedTuple):
    """Entry (i, j) sees rows offset + i stride ... offset + i stride + size - 1, and columns alike.

    Each is (rows, columns) in pixels; the offset is negative where padding comes first. `size` is
    None where the layer sees the whole picture.
    """

    size: tuple
    stride: tuple
    offset: tuple

    def box(self, row, column):
        """Return what the entry at (row, column) sees as [top, left, bottom, right], ends excluded.

        It lies in part outside of the picture where padding is seen; None stands for all of it.
        """
        if self.size is None:
            return None
        top, left = (self.offset[i] + (row, column)[i] * self.stride[i] for i in (0, 1))
        return [top, left, top + self.size[0], left + self.size[1]]


PIXEL = Field((1, 1), (1, 1), (0, 0))
WHOLE = Field(None, (0, 0), (0, 0))


def of_layers(net):
    """Return {layer: `Field`} of a network, in pixels of the picture."""
    found = {INPUT: PIXEL}
    for node in net.nodes:
        found[node.name] = behind(cover([found[source] for source in node.inputs]), node.layer)
    del found[INPUT]
    return found


def cover(fields):
    """Return the least field that covers all of `fields`, which have the same stride."""
    if any(field.size is None for field in fields):
        return WHOLE
    offset = tuple(min(f.offset[i] for f in fields) for i in (0, 1))
    end = tuple(max(f.offset[i] + f.size[i] for f in fields) for i in (0, 1))
    return Field(tuple(end[i] - offset[i] for i in (0, 1)), fields[0].stride, offset)


def behind(field, layer):
    """Return the field of `layer` when that of its input is `field`."""
    size, stride, offset = field
    if size is None or isinstance(layer, (Linear, GlobalAvgPool2d)):
        return WHOLE
    kernel, step, pad = pair(layer.kernel), pair(layer.stride), pair(layer.padding)
    return Field(
        tuple(size[i] + (kernel[i] - 1) * stride[i] for i in (0, 1)),
        tuple(stride[i] * step[i] for i in (0, 1)),
        tuple(offset[i] - pad[i] * stride[i] for i in (0, 1)),
    )
