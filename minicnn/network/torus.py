"""A network on a torus: what it sees beyond one edge of the picture is the opposite edge.

A texture that is to repeat without a seam must be judged as it will be used, as one tile of an
endless wall. Every layer with a window gets, in the place of its zero padding, rows and columns of
its own input from the opposite side: p before (its padding), k - s - p behind, for a kernel of k
and a stride of s. Then a map of H rows becomes one of exactly H / s, and

    activations of the picture  =  one period of the activations of the endlessly repeated picture

exactly, in every layer; also, shifting the picture around the torus by the stride of the layers
in use shifts the activations and changes no Gram matrix. This is one evaluation at the usual cost.
The other way, moving the picture around at random and taking the mean over the moves, reaches the
same only in the limit, each of its steps still sees the zeros of the padding, and the function
changes from step to step, which no line search forgives. So we do it here, in the layers.

The price: rows and columns must be a multiple of the stride of the deepest layer in use.
Backward is the adjoint: what the copies receive is added where they came from.
"""

from dataclasses import dataclass, replace

from minicnn.backend import array_module
from minicnn.errors import MinicnnError
from minicnn.network.layers import AvgPool2d, Conv2d, Layer, MaxPool2d
from minicnn.network.network import Network
from minicnn.ops.shapes import pair

WINDOWED = (Conv2d, MaxPool2d, AvgPool2d)


def on_torus(net: Network) -> Network:
    """Return a network with the parameters of `net`, every windowed layer on the torus."""
    layers = [
        (name, OnTorus(layer) if isinstance(layer, WINDOWED) else layer, inputs)
        for name, layer, inputs in net.nodes
    ]
    return Network(layers, net.params, net.input_shape, net.attrs)


@dataclass(frozen=True)
class OnTorus(Layer):
    """A convolution or a pooling whose input goes on at the opposite edge."""

    layer: Layer

    @property
    def kernel(self):
        """That of the layer, as its stride and its padding."""
        return self.layer.kernel

    @property
    def stride(self):  # noqa: D102
        return self.layer.stride

    @property
    def padding(self):  # noqa: D102
        return self.layer.padding

    def param_shapes(self, shape):  # noqa: D102
        return self.layer.param_shapes(shape)

    def out_shape(self, shape):  # noqa: D102
        edges = self._edges(shape[1:])
        sides = (side + sum(edge) for side, edge in zip(shape[1:], edges, strict=True))
        return self._bare().out_shape((shape[0], *sides))

    def forward(self, x, params, mode):  # noqa: D102
        edges = self._edges(x.shape[2:])
        wide = _extend(_extend(x, *edges[0], axis=2), *edges[1], axis=3)
        y, cache = self._bare().forward(wide, params, mode)
        return y, (x.shape[2:], cache)

    def backward(self, dy, cache, params, rule):  # noqa: D102
        sides, own = cache
        edges = self._edges(sides)
        dx = self._bare().backward(dy, own, params, rule)
        return _fold(_fold(dx, *edges[1], axis=3), *edges[0], axis=2)

    def backward_params(self, dy, cache):  # noqa: D102
        return self._bare().backward_params(dy, cache[1])

    def _bare(self):
        return replace(self.layer, padding=0)

    def _edges(self, sides):
        """Return ((above, below), (left, right)): how much of the other side is added."""
        geometry = zip(sides, pair(self.kernel), pair(self.stride), pair(self.padding), strict=True)
        found = []
        for side, k, s, p in geometry:
            both = max(k - s, 0)
            before = min(p, both)
            if side % s:
                raise MinicnnError(f"on a torus, {side} rows or columns are no multiple of {s}")
            if both > side:
                raise MinicnnError(f"on a torus, {side} rows or columns are too few for a {k}")
            found.append((before, both - before))
        return found


def tv_on_torus(x):
    """Return total variation and its gradient; opposite edges of x (N, C, H, W) are neighbours.

    The value is the mean of all squared neighbour differences, summed in float64.
    """
    xp, factor = array_module(x), 1 / x[0].size
    value, dx = 0.0, xp.zeros_like(x)
    for axis in (2, 3):
        difference = xp.roll(x, -1, axis) - x
        value += factor * float(xp.sum(xp.square(difference), dtype=xp.float64))
        difference *= 2 * factor
        dx += xp.roll(difference, 1, axis) - difference
    return value, dx


def _extend(x, before, after, axis):
    """Add the last `before` slices in front and the first `after` ones behind."""
    if not before and not after:
        return x
    size = x.shape[axis]
    parts = [_slices(x, size - before, size, axis), x, _slices(x, 0, after, axis)]
    return array_module(x).concatenate(parts, axis=axis)


def _fold(dx, before, after, axis):
    """Adjoint of `_extend`: add the gradients of the copies to those of their originals."""
    size = dx.shape[axis] - before - after
    inner = _slices(dx, before, before + size, axis)
    if before:
        _slices(inner, size - before, size, axis)[...] += _slices(dx, 0, before, axis)
    if after:
        _slices(inner, 0, after, axis)[...] += _slices(dx, before + size, None, axis)
    return inner


def _slices(x, start, stop, axis):
    return x[(slice(None),) * axis + (slice(start, stop),)]
