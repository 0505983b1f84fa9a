"""The units of a plan that are convolutions, each with the ReLU and the pooling behind it."""
# ruff: noqa: D102 - `Unit` says what forward and backward do

import numpy as np

from minicnn.engine.cpu import aligned, bits, columns, halving, pooling, winograd
from minicnn.engine.cpu.recomputed import Recomputed
from minicnn.network.layers import MaxPool2d
from minicnn.network.network import INPUT
from minicnn.ops.shapes import pair


class Unit:
    """What all units share: forward(xs) -> activation, and backward(g), which feeds the plan.

    `name` is the activation that it makes of `inputs`; `masks`: whether the bits of a ReLU are to
    be applied to the gradient of its activation; `hands_on`: whether the gradients that it hands
    down are views of the one that came; `recomputed`: what stands for its activation if that is not
    kept.
    """

    masks = False
    hands_on = False
    recomputed = None

    def __init__(self, plan, name, inputs):
        self.plan, self.name, self.inputs = plan, name, inputs

    def activation(self, calls, pictures, rows):
        """Return a part (n, rows, W, C) of what a tap has made; None if that was not kept."""
        held = self.plan.held.get(self.name)
        return None if held is None else held[pictures, rows]

    def mask(self, calls, part, f, pictures, rows):
        """Note that the bits are applied to a part (n, rows, W, C) of the gradient, in place.

        `f` is the `activation` there.
        """


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
        self.adjoint = None
        self.bits = None  # of a tap, its sign will do
        if self.masks and self.name not in plan.taps and not pool:
            self.bits = bits.empty(self.shape)

    def forward(self, xs):
        out, (peaks, channels) = self.plan.buffer(self.name), self.plan.peaks_of(self.name)

        def target(calls, *where):
            if out.flags.c_contiguous:
                return out[where]
            # a part of a concatenation, whose runs are short: written once, when all is done
            return calls.buffer("not concatenated", out[where].shape, out.dtype)

        def then(calls, part, *where):
            if self.rectified:
                self.rectify(calls, part, *where)
            if not out.flags.c_contiguous:
                calls.add(np.copyto, out[where], part)
            if peaks:
                peaks.note(calls, part, *where, channels)

        self.correlate(xs[0], out, target, then)
        return out.transpose(0, 3, 1, 2)

    def correlate(self, x, out, target, then):
        """Convolve, part by part; `target` and `then` are those of `winograd.TileCorrelation`."""
        filters, x = self.plan.convolution.filters, self.plan.steady(self.inputs[0], x)

        def make(scratches):
            how = {"target": target, "then": then}
            if self.suits:
                U = filters.winograd(self.w, *self.shape[2:]).forward
                rows = x.anew() if isinstance(x, Recomputed) else winograd.Rows(x)
                there = winograd.TileCorrelation(rows, U, self.b, self.padding, **how)
                return there.program(scratches)
            return self.by_columns(x, **how).program(scratches)

        self.plan.play((self.name, "forward"), (x, out), make)

    def by_columns(self, x, target=None, then=None):
        """Return the convolution of x, part by part, where it does not go by Winograd's road."""
        W = self.plan.convolution.filters.matrices(self.w, self.layer.groups)
        how = {"stride": self.layer.stride, "padding": self.padding, "dilation": 1}
        how |= {"target": target, "then": then}
        return columns.ColumnCorrelation(x, W, self.b, self.w.shape[2:], self.shape[2:], **how)

    def rectify(self, calls, part, pictures, rows):
        """Note the ReLU of a part, in place, and its bits if they will be wanted."""
        # NumPy is up to four times as fast with an array of zeros as with one zero
        calls.add(np.maximum, part, self.plan.zeros(part.shape[2:]), out=part)
        if self.bits is not None:
            bits.note(calls, part, self.bits[pictures, rows])

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
        out, finish = self.plan.gradient_buffer(source, self.name)

        def make(scratches):
            target, work = lambda calls, *where: out[where], self.plan.finishing_work(source)
            there = self._correlation_back(g, target, finish, work if finish else 0)
            return there.program(scratches)

        self.plan.play((self.name, "backward"), (g, out), make)
        settled = finish is not None
        self.plan.contribute(source, out, owned=source != INPUT, settled=settled)

    def rows(self, g):
        """Return the gradient of what the convolution has made, for `winograd.TileCorrelation`."""
        return winograd.Rows(g)

    def is_first(self):
        """Return whether this reads the picture by columns, and one other unit reads it."""
        alone = len(self.plan.consumers[self.name]) == 1
        return self.inputs == (INPUT,) and not self.suits and alone

    def mask(self, calls, part, f, pictures, rows):
        """Note that 0 is put where the ReLU did, in place."""
        if not self.masks:
            return
        if self.bits is None:
            positive = calls.buffer("positive", part.shape, bool)
            calls.add(np.greater, f, part.dtype.type(0), out=positive)
            calls.add(np.multiply, part, positive, out=part)
        else:
            calls.add(bits.keep, part, self.bits[pictures, rows], part)

    def _is_pointwise(self):
        one = {pair(self.w.shape[2:]), pair(self.layer.stride)} == {(1, 1)}
        return one and self.layer.groups == 1 and self.padding == (0, 0)

    def _correlation_back(self, g, target, then, then_work):
        """Return the gradient of the data, part by part, as a correlation."""
        filters = self.plan.convolution.filters
        how = {"target": target, "then": then, "then_work": then_work}
        if self.suits:
            U = filters.winograd(self.w, *self.shape[2:]).backward
            border = tuple(2 - p for p in self.padding)
            return winograd.TileCorrelation(self.rows(g), U, None, border, flipped=True, **how)
        W = aligned.copy(filters.matrices(self.w, 1).transpose(0, 2, 1))
        how |= {"stride": 1, "padding": 0, "dilation": 1}
        return columns.ColumnCorrelation(g, W, None, (1, 1), self.shape[2:], **how)

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
            work = self.plan.finishing_work(first.name)
            stages = self._correlation_back(g, target, then, work).program(scratches)
            return [*stages, self.adjoint.sum()]

        self.plan.play((self.name, "backward"), (g,), make)
        self.plan.contribute(INPUT, self.adjoint.dx.transpose(0, 2, 3, 1))
        self.plan.passed.add(first.name)  # its gradient has been handed on

    def _strips(self):
        W = self.plan.convolution.filters.matrices(self.w, self.layer.groups)
        how = {"stride": self.layer.stride, "padding": self.padding, "dilation": 1}
        return columns.Adjoint(W, self.w.shape[2:], self.plan.shapes[self.inputs[0]], **how)


class RecomputedConvolution(Convolution):
    """The first convolution, which is computed anew wherever it is read, see `recomputed`."""

    def __init__(self, plan, node, relu, pool, params):
        super().__init__(plan, node, relu, pool, params)
        made = {"bits": self.bits, "has_gram": self.name in plan.taps}
        self.recomputed = Recomputed(self.shape, self.w.dtype, rectified=self.rectified, **made)

    def forward(self, xs):
        """Put the picture where it can be read; return what stands for the activation."""
        x = self.plan.steady(INPUT, xs[0])

        if self.recomputed.correlation is None:  # for x always lies there
            self.recomputed.correlation = self.by_columns(x)
        self.plan.play((self.name, "forward"), (x,), self.recomputed.correlation.pad)
        return self.recomputed

    def activation(self, calls, pictures, rows):
        """Note that a part (n, rows, W, C) is computed again, and return it."""
        return self.recomputed.read(calls, pictures, rows.start, rows.stop)


class PooledConvolution(Convolution):
    """A convolution, its ReLU, and a pooling of 2x2 windows: only what is pooled goes to memory."""

    def __init__(self, plan, node, relu, pool, params):
        super().__init__(plan, node, relu, pool, params)
        self.masks = False
        how = {"largest": type(pool.layer) is MaxPool2d, "keep": plan.keep, "dtype": self.w.dtype}
        self.halving = halving.Halving(self.shape, plan.shapes[self.name], pool.layer, **how)

    def forward(self, xs):
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
        """Return the gradient of what the convolution has made, for `winograd.TileCorrelation`."""
        return halving.Unpooled(g, self.halving)


def drops(layer):
    """Return whether a layer is pooled here and can drop windows that are not positive."""
    return type(layer) is MaxPool2d and pooling.suits(layer)
