"""The units of a plan: a convolution with its ReLU, a pooling, any other layer by itself.

A unit has `name` (of the activation that it makes), `inputs`, forward(xs) -> activation, and
backward(g), which hands its gradients to the plan. `mask(part, pictures, rows)` applies the bits of
its ReLU to a part (n, rows, W, C) of the gradient of its activation; `masks` says whether there are
any.
"""

import numpy as np

from minicnn.engine import columns, pooling, winograd
from minicnn.engine.scratch import buffer
from minicnn.errors import MinicnnError
from minicnn.layers import AvgPool2d, Conv2d, MaxPool2d, Mode, ReLU, Rule
from minicnn.network import INPUT
from minicnn.ops.shapes import pair


def fuse(plan, nodes, net):
    """Return the units that compute `nodes`."""
    found, done = [], set()
    for node in nodes:
        if node.name in done:
            continue
        behind = plan.consumers.get(node.name, [])
        alone = len(behind) == 1 and node.name not in plan.taps
        if type(node.layer) is Conv2d:
            relu = behind[0] if alone and type(behind[0].layer) is ReLU else None
            pool = _halving(plan, relu) if relu and fits_winograd(node, net) else None
            done |= {other.name for other in (relu, pool) if other}
            kind = PooledConvolution if pool else Convolution
            found.append(kind(plan, node, relu, pool, net.own_params(node)))
        elif type(node.layer) in (MaxPool2d, AvgPool2d) and pooling.suits(node.layer):
            found.append(Pooling(plan, node))
        else:
            found.append(Plain(plan, node, net.own_params(node)))
    return found


class Plain:
    """Any layer, as `Network` walks it."""

    masks = False

    def __init__(self, plan, node, params):
        self.plan, self.node, self.params = plan, node, params
        self.name, self.inputs = node.name, node.inputs
        self.cache = None

    def forward(self, xs):
        """Compute the activation."""
        x = xs if node_takes_many(self.node) else xs[0]
        mode = Mode(convolution=self.plan.convolution)
        try:
            y, self.cache = self.node.layer.forward(x, self.params, mode)
        except MinicnnError as error:
            raise MinicnnError(f"layer {self.name}: {error}") from None
        return y

    def backward(self, g):
        """Hand down the gradient."""
        dx = self.node.layer.backward(g, self.cache, self.params, Rule())
        parts = dx if node_takes_many(self.node) else [dx]
        for source, part in zip(self.inputs, parts, strict=True):
            self.plan.contribute(source, part.transpose(0, 2, 3, 1))

    def mask(self, part, pictures, rows):
        """There are no bits."""


class Convolution:
    """A convolution, and the ReLU behind it if there is one and nobody else wants its input."""

    def __init__(self, plan, node, relu, pool, params):
        self.plan, self.layer, self.rectified = plan, node.layer, relu is not None
        self.name, self.inputs = (pool or relu or node).name, node.inputs
        self.shape = plan.shapes[(relu or node).name]  # before the pooling
        self.w, self.b = params["weight"], params.get("bias")
        self.geometry = {"stride": node.layer.stride, "padding": node.layer.padding}
        self.suits = winograd.suits(self.w.shape, node.layer.stride, 1, node.layer.groups)
        behind = plan.consumers.get(self.name, [])
        # a max pooling alone behind it drops the windows that are not positive
        dropped = len(behind) == 1 and drops(behind[0].layer) and self.name not in plan.taps
        self.masks = self.rectified and plan.keep and not dropped
        self.y = None
        self.bits = None  # of a tap, its sign will do
        if self.masks and self.name not in plan.taps:
            self.bits = self._empty_bits()

    def forward(self, xs):
        """Compute the activation."""
        out = self.y = self.plan.buffer(self.name)
        self.correlate(xs[0], lambda *where: out[where], self.rectify if self.rectified else None)
        return out.transpose(0, 3, 1, 2)

    def correlate(self, x, target, then):
        """Convolve, part by part; see `winograd.correlate`."""
        filters = self.plan.convolution.filters
        if self.suits:
            U, _ = filters.winograd(self.w)
            padding = pair(self.layer.padding)
            how = {"target": target, "then": then, "size": winograd.LARGE_CHUNK_BYTES}
            winograd.correlate(x, U, self.b, padding, **how)
            return
        W = filters.matrices(self.w, self.layer.groups)
        how = {**self.geometry, "dilation": 1, "target": target, "then": then}
        columns.correlate(x, W, self.b, self.w.shape[2:], self.shape[2:], **how)

    def rectify(self, part, pictures, rows):
        """Apply the ReLU in place, and note its bits if they will be wanted."""
        np.maximum(part, 0, out=part)
        if self.bits is not None:
            positive = np.greater(part, 0, out=buffer("positive", part.shape, bool))
            self.bits[pictures, rows] = np.packbits(positive.reshape(*part.shape[:2], -1), -1)

    def backward(self, g):
        """Hand down the gradient of the picture or activation below."""
        (source,) = self.inputs
        if self.suits and max(pair(self.layer.padding)) <= 2:
            first = self.plan.by_name.get(source)
            if isinstance(first, Convolution) and first.is_first():
                self._backward_through(first, g)
                return
            out, finish = self.plan.gradient_buffer(source)
            self._correlate_back(g, lambda *where: out[where], finish)
            settled = finish is not None
            self.plan.contribute(source, out, owned=source != INPUT, settled=settled)
            return
        W = self.plan.convolution.filters.matrices(self.w, self.layer.groups)
        shape = self.plan.shapes[source]
        dx = columns.correlate_adjoint(g, W, self.w.shape[2:], shape, **self.geometry, dilation=1)
        self.plan.contribute(source, dx.transpose(0, 2, 3, 1))

    def is_first(self):
        """Return whether this reads the picture by columns, and one other unit reads it."""
        alone = len(self.plan.consumers[self.name]) == 1
        return self.inputs == (INPUT,) and not self.suits and alone

    def _correlate_back(self, g, target, then):
        _, U = self.plan.convolution.filters.winograd(self.w)
        border = tuple(2 - p for p in pair(self.layer.padding))
        how = {"target": target, "then": then, "size": winograd.LARGE_CHUNK_BYTES}
        winograd.correlate(g, U, None, border, flipped=True, **how)

    def _backward_through(self, first, g):
        """Hand the gradient down through the first convolution too, part by part."""
        _, C, _, Q = first.shape
        finish, strips = self.plan.finisher(first.name), []
        W = self.plan.convolution.filters.matrices(first.w, first.layer.groups)
        shape, how = self.plan.shapes[INPUT], {**first.geometry, "dilation": 1}

        def target(pictures, rows):
            size = (pictures.stop - pictures.start, rows.stop - rows.start, Q, C)
            return buffer("first", size, first.w.dtype)

        def then(part, pictures, rows):
            finish(part, pictures, rows)
            strip = columns.adjoint_strip(part, W, first.w.shape[2:], shape, **how)
            strips.append((pictures, rows.start, strip))

        self._correlate_back(g, target, then)
        strips.sort(key=lambda strip: (strip[0].start, strip[1]))
        dx = columns.add_strips(
            strips, shape, stride=first.layer.stride, padding=first.layer.padding
        )
        self.plan.contribute(INPUT, dx.transpose(0, 2, 3, 1))
        self.plan.pass_by(first.name)

    def mask(self, part, pictures, rows):
        """Put 0 where the ReLU did, in place."""
        if not self.masks:
            return
        if self.bits is None:
            positive = buffer("positive", part.shape, bool)
            np.greater(self.y[pictures, rows], 0, out=positive)
        else:
            positive = pooling.positive(self.bits[pictures, rows], part.shape)
        part *= positive

    def _empty_bits(self):
        N, K, P, Q = self.shape
        return np.empty((N, P, -(-Q * K // 8)), np.uint8)


class PooledConvolution(Convolution):
    """A convolution, its ReLU, and a pooling of 2x2 windows: only what is pooled goes to memory."""

    def __init__(self, plan, node, relu, pool, params):
        super().__init__(plan, node, relu, pool, params)
        self.pool, self.largest = pool.layer, type(pool.layer) is MaxPool2d
        self.masks, self.found, self.bits = False, None, None
        N, K, P, Q = plan.shapes[self.name]
        if plan.keep and self.largest:  # windows that are not positive have no switch
            self.found = np.empty((N, P, Q, K), np.uint8).transpose(0, 3, 1, 2)
        elif plan.keep:
            self.found, self.bits = np.empty((P, Q), self.w.dtype), self._empty_bits()

    def forward(self, xs):
        """Compute the activation."""
        out = self.plan.buffer(self.name)

        def target(pictures, rows):
            n, height = pictures.stop - pictures.start, rows.stop - rows.start
            return buffer("pooled", (n, height, self.shape[3], self.shape[1]), out.dtype)

        def then(part, pictures, rows):
            if part.shape[1] < 2 and not self.pool.ceil:
                return  # a last row that no window holds
            self.rectify(part, pictures, rows)
            part = part.transpose(0, 3, 1, 2)
            y, cache = pooling.pool(part, self.pool, largest=self.largest, drop=self.plan.keep)
            mine = slice(rows.start // 2, rows.start // 2 + y.shape[2])
            out[pictures, mine] = y.transpose(0, 2, 3, 1)
            if self.plan.keep and self.largest:
                self.found[pictures, :, mine] = cache.switches
            elif self.plan.keep:
                self.found[mine] = cache.count

        self.correlate(xs[0], target, then)
        return out.transpose(0, 3, 1, 2)

    def backward(self, g):
        """Hand down the gradient of the picture or activation below."""
        super().backward(pooling.Unpooled(g, self.shape, self.found, self.bits))


class Pooling:
    """A max or average pooling without padding, in bands of rows."""

    masks = False

    def __init__(self, plan, node):
        self.plan, self.layer = plan, node.layer
        self.name, self.inputs = node.name, node.inputs
        self.largest, self.caches = type(node.layer) is MaxPool2d, None

    def forward(self, xs):
        """Compute the activation."""
        out = self.plan.buffer(self.name)
        # with the switches of dropped windows gone, the ReLU before it needs no bits
        self.caches = pooling.forward(
            xs[0], self.layer, out, largest=self.largest, drop=self._drops_for_relu()
        )
        return out.transpose(0, 3, 1, 2)

    def backward(self, g):
        """Hand down the gradient."""
        out, finish = self.plan.gradient_buffer(self.inputs[0])
        pooling.backward(g, self.layer, self.caches, out, largest=self.largest, then=finish)
        owned = self.inputs[0] != INPUT
        self.plan.contribute(self.inputs[0], out, owned=owned, settled=finish is not None)

    def mask(self, part, pictures, rows):
        """There are no bits."""

    def _drops_for_relu(self):
        unit = self.plan.by_name.get(self.inputs[0])
        return isinstance(unit, Convolution) and unit.rectified and not unit.masks


def _halving(plan, relu):
    """Return the pooling of 2x2 windows behind a ReLU if nobody else wants its input."""
    behind = plan.consumers.get(relu.name, [])
    if len(behind) != 1 or relu.name in plan.taps:
        return None
    layer = behind[0].layer
    halving = type(layer) in (MaxPool2d, AvgPool2d) and pooling.suits(layer)
    same = halving and pair(layer.kernel) == pair(layer.stride) == (2, 2)
    return behind[0] if same else None


def fits_winograd(node, net):
    """Return whether a convolution goes by Winograd's filtering."""
    w = net.own_params(node)["weight"]
    return winograd.suits(w.shape, node.layer.stride, 1, node.layer.groups)


def drops(layer):
    """Return whether a layer is pooled here and can drop windows that are not positive."""
    return type(layer) is MaxPool2d and pooling.suits(layer)


def node_takes_many(node):
    """Return whether a layer takes a list of activations."""
    return len(node.inputs) > 1
