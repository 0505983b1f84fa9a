"""The units of a plan: a convolution with its ReLU, a pooling, any other layer by itself.

A unit has `name` (of the activation that it makes), `inputs`, forward(xs) -> activation, and
backward(g), which hands its gradients to the plan. `mask(calls, part, pictures, rows)` notes that
the bits of its ReLU are applied to a part (n, rows, W, C) of the gradient of its activation;
`masks` says whether there are any.
"""

import numpy as np

from minicnn.engine import columns, pooling, winograd
from minicnn.engine.calls import share
from minicnn.engine.threads import parallel_map
from minicnn.errors import MinicnnError
from minicnn.layers import AvgPool2d, Concat, Conv2d, MaxPool2d, Mode, ReLU, Rule
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
            before = next((unit for unit in found if unit.name in node.inputs), None)
            found.append(Pooling(plan, node, before))
        elif type(node.layer) is Concat:
            found.append(Concatenation(plan, node.name, node.inputs))
        else:
            found.append(Plain(plan, node, net.own_params(node)))
    return found


class Unit:
    """What all units share."""

    masks = False
    hands_on = False  # whether a gradient handed down may be a view of the one that came

    def __init__(self, plan, name, inputs):
        self.plan, self.name, self.inputs = plan, name, inputs

    def mask(self, calls, part, pictures, rows):
        """Note nothing: there are no bits."""


class Plain(Unit):
    """Any layer, as `Network` walks it."""

    hands_on = True

    def __init__(self, plan, node, params):
        super().__init__(plan, node.name, node.inputs)
        self.node, self.params, self.cache = node, params, None

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


class Convolution(Unit):
    """A convolution, and the ReLU behind it if there is one and nobody else wants its input."""

    def __init__(self, plan, node, relu, pool, params):
        super().__init__(plan, (pool or relu or node).name, node.inputs)
        self.layer, self.rectified = node.layer, relu is not None
        self.shape = plan.shapes[(relu or node).name]  # before the pooling
        self.w, self.b = params["weight"], params.get("bias")
        self.padding = pair(node.layer.padding)
        self.suits = winograd.suits(self.w.shape, node.layer.stride, 1, node.layer.groups)
        behind = plan.consumers.get(self.name, [])
        # a max pooling alone behind it drops the windows that are not positive
        dropped = len(behind) == 1 and drops(behind[0].layer) and self.name not in plan.taps
        self.masks = self.rectified and plan.keep and not dropped
        self.y = self.adjoint = None
        self.bits = None  # of a tap, its sign will do
        if self.masks and self.name not in plan.taps and not pool:
            N, K, P, Q = self.shape
            self.bits = np.empty((N, P, -(-Q * K // 8)), np.uint8)

    def forward(self, xs):
        """Compute the activation."""
        out = self.y = self.plan.buffer(self.name)
        then = self.rectify if self.rectified else None
        self.correlate(xs[0], out, lambda calls, *where: out[where], then)
        return out.transpose(0, 3, 1, 2)

    def correlate(self, x, out, target, then):
        """Convolve, part by part; `target` and `then` are those of `winograd.Correlation`."""
        filters, x = self.plan.convolution.filters, self.plan.steady(self.inputs[0], x)

        def make(scratches):
            how = {"target": target, "then": then}
            if self.suits:
                U, _ = filters.winograd(self.w)
                rows = winograd.Rows(x)
                return winograd.Correlation(rows, U, self.b, self.padding, **how).program(scratches)
            W, size = filters.matrices(self.w, self.layer.groups), self.shape[2:]
            how |= {"stride": self.layer.stride, "padding": self.padding, "dilation": 1}
            there = columns.Correlation(x, W, self.b, self.w.shape[2:], size, **how)
            return there.program(scratches)

        self.plan.play((self.name, "forward"), (x, out), make)

    def rectify(self, calls, part, pictures, rows):
        """Note the ReLU, in place, and its bits if they will be wanted."""
        zero = part.dtype.type(0)
        calls.add(np.maximum, part, zero, out=part)
        if self.bits is not None:
            positive = calls.buffer("positive", part.shape, bool)
            calls.add(np.greater, part, zero, out=positive)
            calls.add(pooling.pack, positive, self.bits[pictures, rows])

    def backward(self, g):
        """Hand down the gradient of the picture or activation below."""
        (source,) = self.inputs
        g = self.plan.steady(self.name + " gradient", g)
        if not (self.suits or self._is_pointwise()) or max(self.padding) > 2:
            self._backward_by_strips(g)
            return
        first = self.plan.by_name.get(source)
        if self.suits and isinstance(first, Convolution) and first.is_first():
            self._backward_through(first, g)
            return
        out, finish = self.plan.gradient_buffer(source)

        def make(scratches):
            there = self._correlation_back(g, lambda calls, *where: out[where], finish)
            return there.program(scratches)

        self.plan.play((self.name, "backward"), (g, out), make)
        settled = finish is not None
        self.plan.contribute(source, out, owned=source != INPUT, settled=settled)

    def rows(self, g):
        """Return the gradient of what the convolution has made, for `winograd.Correlation`."""
        return winograd.Rows(g)

    def is_first(self):
        """Return whether this reads the picture by columns, and one other unit reads it."""
        alone = len(self.plan.consumers[self.name]) == 1
        return self.inputs == (INPUT,) and not self.suits and alone

    def mask(self, calls, part, pictures, rows):
        """Note that 0 is put where the ReLU did, in place."""
        if not self.masks:
            return
        if self.bits is None:
            positive = calls.buffer("positive", part.shape, bool)
            calls.add(np.greater, self.y[pictures, rows], part.dtype.type(0), out=positive)
            calls.add(np.multiply, part, positive, out=part)
        else:
            calls.add(pooling.keep, part, self.bits[pictures, rows], part)

    def _is_pointwise(self):
        one = {pair(self.w.shape[2:]), pair(self.layer.stride)} == {(1, 1)}
        return one and self.layer.groups == 1 and self.padding == (0, 0)

    def _correlation_back(self, g, target, then):
        """Return the gradient of the data, part by part, as a correlation."""
        filters, how = self.plan.convolution.filters, {"target": target, "then": then}
        if self.suits:
            _, U = filters.winograd(self.w)
            border = tuple(2 - p for p in self.padding)
            return winograd.Correlation(self.rows(g), U, None, border, flipped=True, **how)
        W = np.ascontiguousarray(filters.matrices(self.w, 1).transpose(0, 2, 1))
        how |= {"stride": 1, "padding": 0, "dilation": 1}
        return columns.Correlation(g, W, None, (1, 1), self.shape[2:], **how)

    def _backward_by_strips(self, g):
        """Hand down the gradient of a convolution of another kind."""

        def make(scratches):
            self.adjoint = self._strips()
            return self.adjoint.program(scratches, g)

        self.plan.play((self.name, "backward"), (g,), make)
        self.plan.contribute(self.inputs[0], self.adjoint.dx.transpose(0, 2, 3, 1))

    def _backward_through(self, first, g):
        """Hand the gradient down through the first convolution too, part by part."""
        _, C, _, Q = first.shape
        finish = self.plan.finisher(first.name)

        def target(calls, pictures, rows):
            size = (pictures.stop - pictures.start, rows.stop - rows.start, Q, C)
            return calls.buffer("first", size, first.w.dtype)

        def then(calls, part, pictures, rows):
            finish(calls, part, pictures, rows)
            self.adjoint.strip(calls, part, pictures, rows.start)

        def make(scratches):
            self.adjoint = first._strips()
            stages = self._correlation_back(g, target, then).program(scratches)
            return [*stages, self.adjoint.sum()]

        self.plan.play((self.name, "backward"), (g,), make)
        self.plan.contribute(INPUT, self.adjoint.dx.transpose(0, 2, 3, 1))
        self.plan.pass_by(first.name)

    def _strips(self):
        W = self.plan.convolution.filters.matrices(self.w, self.layer.groups)
        how = {"stride": self.layer.stride, "padding": self.padding, "dilation": 1}
        return columns.Adjoint(W, self.w.shape[2:], self.plan.shapes[self.inputs[0]], **how)


class PooledConvolution(Convolution):
    """A convolution, its ReLU, and a pooling of 2x2 windows: only what is pooled goes to memory."""

    def __init__(self, plan, node, relu, pool, params):
        super().__init__(plan, node, relu, pool, params)
        self.masks = False
        how = {"largest": type(pool.layer) is MaxPool2d, "keep": plan.keep, "dtype": self.w.dtype}
        self.halving = pooling.Halving(self.shape, plan.shapes[self.name], pool.layer, **how)

    def forward(self, xs):
        """Compute the activation."""
        out, (_, K, _, Q) = self.plan.buffer(self.name), self.shape

        def target(calls, pictures, rows):
            size = (pictures.stop - pictures.start, rows.stop - rows.start, Q, K)
            return calls.buffer("not pooled", size, out.dtype)

        def then(calls, part, pictures, rows):
            pooled = out[pictures, rows.start // 2 : -(-rows.stop // 2)]
            if pooled.shape[1]:  # else a last row that no window holds
                self.rectify(calls, part, pictures, rows)
                self.halving.forward(calls, part, pooled, pictures, rows)

        self.correlate(xs[0], out, target, then)
        return out.transpose(0, 3, 1, 2)

    def rows(self, g):
        """Return the gradient of what the convolution has made, for `winograd.Correlation`."""
        return pooling.Unpooled(g, self.halving)


class Pooling(Unit):
    """A max or average pooling without padding, in bands of rows."""

    def __init__(self, plan, node, before):
        super().__init__(plan, node.name, node.inputs)
        shapes = plan.shapes[node.inputs[0]], plan.shapes[node.name]
        # with the switches of dropped windows gone, the ReLU before it needs no bits
        drop = isinstance(before, Convolution) and before.rectified and not before.masks
        how = {"largest": type(node.layer) is MaxPool2d, "keep": plan.keep, "drop": drop}
        self.windows = pooling.Windows(*shapes, node.layer, **how, dtype=plan.dtype)

    def forward(self, xs):
        """Compute the activation."""
        x, out = self.plan.steady(self.inputs[0], xs[0]), self.plan.buffer(self.name)
        x = x.transpose(0, 2, 3, 1)

        def make(scratches):
            def band(calls, where):
                self.windows.forward(calls, x, out, where)

            return [share(scratches, pooling.row_bands(out), band)]

        self.plan.play((self.name, "forward"), (x, out), make)
        return out.transpose(0, 3, 1, 2)

    def backward(self, g):
        """Hand down the gradient."""
        source = self.inputs[0]
        g = self.plan.steady(self.name + " gradient", g).transpose(0, 2, 3, 1)
        out, finish = self.plan.gradient_buffer(source)

        def make(scratches):
            def band(calls, where):
                self.windows.backward(calls, g, out, where)
                if finish:
                    finish(calls, out[where], *where)

            return [share(scratches, pooling.row_bands(out), band)]

        self.plan.play((self.name, "backward"), (g, out), make)
        settled = finish is not None
        self.plan.contribute(source, out, owned=source != INPUT, settled=settled)


class Concatenation(Unit):
    """Activations side by side along their channels; most are in their place already."""

    hands_on = True

    def forward(self, xs):
        """Compute the activation."""
        out = self.plan.buffer(self.name)
        parts = [
            (x.transpose(0, 2, 3, 1), out[..., place])
            for x, (_, place) in zip(xs, self.plan.places(self), strict=True)
            if not np.shares_memory(x, out)
        ]

        def band(where):
            for x, there in parts:
                there[where] = x[where]

        if parts:
            parallel_map(band, pooling.row_bands(out))
        return out.transpose(0, 3, 1, 2)

    def backward(self, g):
        """Hand down the gradient."""
        for source, place in self.plan.places(self):
            self.plan.contribute(source, g.transpose(0, 2, 3, 1)[..., place])


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
