"""The units of a plan: a convolution with its ReLU, a pooling, any other layer by itself."""
# ruff: noqa: D102 - `Unit` says what forward and backward do

import numpy as np

from minicnn.engine.cpu import pooling, winograd
from minicnn.engine.cpu.convolution_units import (
    Convolution,
    PooledConvolution,
    RecomputedConvolution,
    Unit,
)
from minicnn.engine.cpu.recorded_calls import PASS_WORK, alone, share
from minicnn.errors import MinicnnError
from minicnn.network.layers import AvgPool2d, Concat, Conv2d, MaxPool2d, Mode, ReLU, Rule
from minicnn.network.network import INPUT
from minicnn.ops.shapes import pair


def fuse(plan, nodes, net):
    """Return the units that compute `nodes`."""
    found, done = [], set()
    for node in nodes:
        if node.name in done:
            continue
        behind = plan.consumers.get(node.name, [])
        private = len(behind) == 1 and node.name not in plan.taps
        if type(node.layer) is Conv2d:
            relu = behind[0] if private and type(behind[0].layer) is ReLU else None
            pool = _halving(plan, relu) if relu and fits_winograd(node, net) else None
            done |= {other.name for other in (relu, pool) if other}
            again = _can_be_recomputed(plan, node, relu or node, net)
            kind = PooledConvolution if pool else RecomputedConvolution if again else Convolution
            found.append(kind(plan, node, relu, pool, net.own_params(node)))
        elif type(node.layer) in (MaxPool2d, AvgPool2d) and pooling.suits(node.layer):
            before = next((unit for unit in found if unit.name in node.inputs), None)
            found.append(Pooling(plan, node, before))
        elif type(node.layer) is Concat:
            found.append(Concatenation(plan, node.name, node.inputs))
        else:
            found.append(Plain(plan, node, net.own_params(node)))
    return found


class Plain(Unit):
    """Any layer, as `Network` has it computed; what it makes is copied to where it lay before."""

    def __init__(self, plan, node, params):
        super().__init__(plan, node.name, node.inputs)
        self.layer, self.params, self.cache = node.layer, params, None

    def forward(self, xs):
        out = self.plan.buffer(self.name)

        def compute():
            x = xs if self.layer.many else xs[0]
            try:
                y, self.cache = self.layer.forward(
                    x, self.params, Mode(convolution=self.plan.convolution)
                )
            except MinicnnError as error:
                raise MinicnnError(f"layer {self.name}: {error}") from None
            np.copyto(out, y.transpose(0, 2, 3, 1))

        self.plan.play((self.name, "forward"), (out, *xs), lambda _: [alone(compute)])
        return out.transpose(0, 3, 1, 2)

    def backward(self, g):
        g = self.plan.steady(self.name + " gradient", g)
        # one that reads the picture twice has two gradients of it
        outs = [
            self.plan.gradient_buffer(source, (self.name, i))[0]
            for i, source in enumerate(self.inputs)
        ]

        def compute():
            dx = self.layer.backward(g, self.cache, self.params, Rule())
            for out, part in zip(outs, dx if self.layer.many else [dx], strict=True):
                np.copyto(out, part.transpose(0, 2, 3, 1))

        self.plan.play((self.name, "backward"), (g, *outs), lambda _: [alone(compute)])
        for source, out in zip(self.inputs, outs, strict=True):
            self.plan.contribute(source, out, owned=source != INPUT)


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
        x, out = self.plan.steady(self.inputs[0], xs[0]), self.plan.buffer(self.name)
        x = x.transpose(0, 2, 3, 1)

        def make(scratches):
            def band(calls, where):
                self.windows.forward(calls, x, out, where)

            return [share(scratches, pooling.row_bands(out), band, PASS_WORK * x.size)]

        self.plan.play((self.name, "forward"), (x, out), make)
        return out.transpose(0, 3, 1, 2)

    def backward(self, g):
        source = self.inputs[0]
        g = self.plan.steady(self.name + " gradient", g).transpose(0, 2, 3, 1)
        out, finish = self.plan.gradient_buffer(source, self.name)

        def make(scratches):
            def band(calls, where):
                self.windows.backward(calls, g, out, where)
                if finish:
                    finish(calls, out[where], *where)

            work = self.plan.finishing_work(source) if finish else 0
            return [share(scratches, pooling.row_bands(out), band, PASS_WORK * out.size + work)]

        self.plan.play((self.name, "backward"), (g, out), make)
        settled = finish is not None
        self.plan.contribute(source, out, owned=source != INPUT, settled=settled)


class Concatenation(Unit):
    """Activations side by side along their channels; most are in their place already."""

    hands_on = True

    def forward(self, xs):
        out = self.plan.buffer(self.name)
        parts = [
            (x.transpose(0, 2, 3, 1), out[..., place])
            for x, (_, place) in zip(xs, self.plan.places(self), strict=True)
            if not np.shares_memory(x, out)
        ]

        def band(calls, where):
            for x, there in parts:
                calls.add(np.copyto, there[where], x[where])

        def make(scratches):
            return [share(scratches, pooling.row_bands(out), band, PASS_WORK * out.size)]

        if parts:
            self.plan.play((self.name, "forward"), (out, *(x for x, _ in parts)), make)
        return out.transpose(0, 3, 1, 2)

    def backward(self, g):
        for source, place in self.plan.places(self):
            self.plan.contribute(source, g.transpose(0, 2, 3, 1)[..., place])


def _can_be_recomputed(plan, node, last, net):
    """Return whether a convolution, up to `last`, need not be kept: all read it row by row."""
    if last.name in plan.taps - plan.only_grams:
        return False
    behind = plan.consumers.get(last.name, [])
    if node.inputs != (INPUT,) or fits_winograd(node, net) or len(behind) != 1:
        return False
    reader = behind[0]
    by_rows = type(reader.layer) is Conv2d and fits_winograd(reader, net)
    return by_rows and max(pair(reader.layer.padding)) <= 2  # on the way back too


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
