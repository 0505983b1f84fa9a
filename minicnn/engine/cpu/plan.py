"""An evaluation of a network compiled for one size of picture and one set of taps.

The layers are fused into units: a convolution with the ReLU behind it, a pooling, any other layer
by itself. Activations that nobody asked for live in a few buffers that are taken in turn; of a ReLU
only its bits are kept (one for each number), or nothing where a max pooling behind it remembers
which windows were positive. On the way back the gradient of a tap is added, and the bits are
applied, while the part of the gradient that a unit has just made is still in the cache.
"""

import math
from functools import cache, partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from minicnn.engine.cpu import aligned, pooling, products, units
from minicnn.engine.cpu.arena import Arena
from minicnn.engine.cpu.column_peaks import ColumnPeaks
from minicnn.engine.cpu.columns import FEW_CHANNELS
from minicnn.engine.cpu.recomputed import Recomputed
from minicnn.engine.cpu.recorded_calls import PASS_WORK, beside, share
from minicnn.engine.cpu.threads import at_hand
from minicnn.errors import MinicnnError
from minicnn.network.layers import Concat, Dropout
from minicnn.network.network import INPUT
from minicnn.objectives.channel_product import ChannelProduct


class Gradient(NamedTuple):
    """The gradient of an activation, (N, H, W, C)."""

    array: object
    buffer: object = None  # the arena's, if the array is one and nobody else reads it
    settled: bool = False  # nothing is to be added, and the bits have been applied


class Plan:
    """Forward and backward pass for pictures of one shape (N, C, H, W), and one tuple of taps.

    The parameters of `net` must not change any more; `convolution` is a frozen `FastConvolution`,
    which plans may share. `keep` says whether `backward` will be called. Of the taps `only_grams`
    nothing is read but their Gram matrices. The first convolution's activation is not kept where
    none but a 3x3 convolution reads it and it is none of the other taps: as a tap it comes as a
    `recomputed.Recomputed`. The `column_peaks` of the taps `peaks` are taken on the way where
    convolutions alone write them.
    """

    def __init__(self, net, convolution, shape, taps, *, keep=True, only_grams=(), peaks=()):
        nodes = _without_dropout(net.nodes_until(taps), taps)
        self.taps, self.keep, self.convolution = frozenset(taps), keep, convolution
        self.dtype = net.dtype
        self.only_grams = frozenset(only_grams)
        self.shapes = {INPUT: shape}
        for name, (C, H, W) in net.shapes(shape[1:], taps).items():
            self.shapes[name] = (shape[0], C, H, W)
        self.consumers = {}
        for node in nodes:
            for source in node.inputs:
                self.consumers.setdefault(source, []).append(node)
        self.units = units.fuse(self, nodes, net)
        self.by_name = {unit.name: unit for unit in self.units}
        self.arena = Arena(net.dtype, max(math.prod(shape) for shape in self.shapes.values()))
        self.held = {
            unit.name: unit.recomputed or self._empty(unit.name)
            for unit in self.units
            if unit.name in self.taps
        }
        self.peaks = {name: ColumnPeaks(self.shapes[name], self.dtype) for name in peaks}
        self.last_use = {s: i for i, unit in enumerate(self.units) for s in unit.inputs}
        # what a layer by itself has seen may be in its cache
        self.pinned = {s for u in self.units if isinstance(u, units.Plain) for s in u.inputs}
        self.dys, self.pending, self.passed, self.lent = {}, {}, set(), {}
        self.own_gradients = {}  # of the picture, from each unit that reads it
        self.programs, self.copies = {}, {}  # see `play`, `_copied`
        self.passes, self.played = {}, []  # see `_pass`
        self.last_alone = None  # see `_beside`
        # of a shape, not to be written to
        self.zeros = cache(partial(aligned.zeros, dtype=net.dtype))

    def forward(self, x):
        """Return {tap: activation (N, C, H, W)}, valid until the next call.

        The pictures x (N, C, H, W) are taken in the dtype of the network.
        """
        self.dys = {}
        self._copied(INPUT, x.transpose(0, 2, 3, 1))
        return dict(self._pass("forward", None, self._forward))

    def _forward(self):
        self.arena.reset()
        self.lent.clear()
        self.passes.clear()
        values, acts = {INPUT: self.copies[INPUT].transpose(0, 3, 1, 2)}, {}
        for i, unit in enumerate(self.units):
            xs = [values[source] for source in unit.inputs]
            values[unit.name] = self._beside(unit, unit.forward, xs)
            if unit.name in self.taps:
                acts[unit.name] = values[unit.name]
            for source in set(unit.inputs):
                if self.last_use[source] == i and source not in self.pinned:
                    del values[source]
                    self.arena.give(self.lent.pop(source, None))
        return acts

    def backward(self, dys):
        """Return the gradient of the picture, for {tap: array (N, C, H, W) or `ChannelProduct`}.

        The latter is multiplied part by part, never as a whole.
        """
        for name, dy in dys.items():
            if name not in self.held:
                raise MinicnnError(f"no tap {name!r}; the taps are {', '.join(sorted(self.held))}")
            if dy.shape != self.shapes[name]:
                raise MinicnnError(
                    f"layer {name}: the gradient is {dy.shape}, its activation {self.shapes[name]}"
                )
        self.dys = {name: self._tap(name, dy) for name, dy in dys.items()}
        parts = self._pass("backward", self._forms(), self._backward)
        return sum(parts[1:], parts[0].copy()).transpose(0, 3, 1, 2) if parts else None

    def _backward(self):
        self.pending, self.passed = {}, set()
        for unit in reversed(self.units):
            parts = self.pending.pop(unit.name, [])
            if unit.name in self.passed or not (parts or unit.name in self.dys):
                continue
            g = parts[0] if parts and parts[0].settled else self._settle(unit, parts)
            self._beside(unit, unit.backward, g.array.transpose(0, 3, 1, 2))
            if g.buffer is not None and not unit.hands_on:
                self.arena.give(g.buffer)
                self.last_alone = None  # the next one may write there
        return [part.array for part in self.pending.pop(INPUT, [])]

    def _pass(self, name, stamp, walk):
        """Return what walk() returns, in which the units play their programs one after the other.

        As long as stamp and crew are the same these are played again without the walk: what a
        processor has to fetch for it, after so many numbers, takes up to a tenth of an evaluation.
        """
        crew = at_hand()
        before = self.passes.get(name)
        if before and before[:2] == (crew, stamp):
            _, _, program, free, result = before
            crew.play(program)
            self.arena.free = free
            return result
        self.played, self.last_alone = [], None
        result = walk()
        self.passes[name] = crew, stamp, self.played, self.arena.free, result
        return result

    def _beside(self, unit, step, argument):
        """Return step(argument) of a unit; what it plays may be merged with what came before.

        Units that read the same do not depend on each other. Where each plays one stage, workers
        need not wait for each other between the two when they are played again.
        """
        first = len(self.played)
        result = step(argument)
        if len(self.played) != first + 1:
            return result
        if (first, unit.inputs) == self.last_alone:
            self.played[-2:] = [beside(*self.played[-2:])]
        self.last_alone = len(self.played), unit.inputs
        return result

    def _forms(self):
        """Return in which form the gradients of taps come."""
        return {name: (type(dy), _added(dy) is None) for name, dy in self.dys.items()}

    @property
    def bytes(self):
        """The bytes of all activations, more than is ever kept of them."""
        return sum(map(math.prod, self.shapes.values())) * self.dtype.itemsize

    def dissolve(self):
        """Let go of the units, which know the plan, so that its memory is free at once."""
        self.units, self.by_name = [], {}
        self.programs, self.passes, self.played = {}, {}, []

    def buffer(self, name):
        """Return where the activation `name` goes, (N, H, W, C).

        If only a concatenation reads it, that is a part of what the concatenation makes.
        """
        if name in self.held:
            return self.held[name]
        if name in self.lent:
            return self.lent[name]
        if node := self._joined_by(name):
            return self.buffer(node.name)[..., dict(self.places(node))[name]]
        N, C, H, W = self.shapes[name]
        self.lent[name] = self.arena.take((N, H, W, C))
        return self.lent[name]

    def peaks_of(self, name):
        """Return where parts of an activation are noted: (`ColumnPeaks` or None, channels)."""
        node = self._joined_by(name)
        if node is None or name in self.held:
            return self.peaks.get(name), slice(0, None)
        return self.peaks.get(node.name), dict(self.places(node))[name]

    def _joined_by(self, name):
        """Return the concatenation that alone reads an activation, or None."""
        behind = self.consumers.get(name, [])
        return behind[0] if len(behind) == 1 and type(behind[0].layer) is Concat else None

    def places(self, node):
        """Return [(input, its slice of the channels), ...] of a concatenation."""
        edges = np.cumsum([0, *(self.shapes[source][1] for source in node.inputs)])
        return [
            (name, slice(*ends)) for name, ends in zip(node.inputs, pairwise(edges), strict=True)
        ]

    def gradient_buffer(self, source, reader):
        """Return (buffer for the gradient of `source` that the unit `reader` makes, finish).

        The unit that fills it notes finish(calls, part, pictures, rows) for each part when it is
        done with it, or nothing where finish is None.
        """
        if source == INPUT:
            if reader not in self.own_gradients:
                self.own_gradients[reader] = self._empty(source)
            return self.own_gradients[reader], None
        N, C, H, W = self.shapes[source]
        out = self.arena.take((N, H, W, C))
        alone = len(self.consumers[source]) == 1
        return out, self.finisher(source) if alone else None

    def finisher(self, source):
        """Return finish(calls, part, pictures, rows), which settles a part of a gradient."""

        def finish(calls, part, pictures, rows):
            self._finish(calls, self.by_name[source], part, pictures, rows)

        return finish

    def finishing_work(self, source):
        """Return how many multiplications it takes to settle a gradient, for `share`."""
        N, C, H, W = self.shapes[source]
        product = C if isinstance(self.dys.get(source), ChannelProduct) else 0
        return N * C * H * W * (PASS_WORK + product)

    def play(self, key, arrays, make):
        """Run the program make(scratches) of these arrays; it is made anew only if need be.

        Everything that it reads and writes must lie where it lay before: the arrays, which may do
        so or not, and what the plan, its units and the workers own. The same gradients of taps must
        come, in the same form.
        """
        crew = at_hand()
        stamp = [_address(array) for array in arrays], id(crew), self._forms()
        before, program = self.programs.get(key, (None, None))
        if before != stamp:
            program = make(crew.scratches)
            self.programs[key] = (stamp, program)
        crew.play(program)
        self.played += program

    def steady(self, name, x):
        """Return x (N, C, H, W) where it will lie the next time too, in a copy if need be."""
        if isinstance(x, Recomputed):
            return x
        flat = x.transpose(0, 2, 3, 1)
        if flat.flags.c_contiguous and self._is_own(x):
            return x
        there = self._copy_of(name, flat)

        def band(calls, where):
            calls.add(np.copyto, there[where], flat[where])

        def make(scratches):
            return [share(scratches, pooling.row_bands(flat), band, PASS_WORK * flat.size)]

        self.play((name, "copy"), (flat, there), make)
        return there.transpose(0, 3, 1, 2)

    def contribute(self, source, array, *, owned=False, settled=False):
        """Note a gradient (N, H, W, C) of the activation `source`.

        `owned`: the array is a whole buffer of the arena.
        """
        part = Gradient(array, array if owned else None, settled)
        self.pending.setdefault(source, []).append(part)

    def _settle(self, unit, parts):
        """Return the sum of `parts` and of the tap's gradient, with the bits applied."""
        tap, arrays = self.dys.get(unit.name), [part.array for part in parts]
        if len(arrays) == 1 and tap is None and not unit.masks:
            return parts[0]
        N, C, H, W = self.shapes[unit.name]
        out = self.arena.take((N, H, W, C))
        arrays = [
            self.steady(f"{unit.name} part {i}", array.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
            for i, array in enumerate(arrays)
        ]

        def band(calls, where):
            mine = out[where]
            calls.add(np.copyto, mine, arrays[0][where] if arrays else mine.dtype.type(0))
            for other in arrays[1:]:
                calls.add(np.add, mine, other[where], out=mine)
            self._finish(calls, unit, mine, *where)

        def make(scratches):
            return [share(scratches, pooling.row_bands(out), band, self.finishing_work(unit.name))]

        self.play((unit.name, "settle"), (out, *arrays), make)
        for part in parts:
            self.arena.give(part.buffer)
        return Gradient(out, out)

    def _tap(self, name, dy):
        """Return the gradient of a tap in the form in which the parts take it."""
        if not isinstance(dy, ChannelProduct):
            return dy
        if _address(dy.f) != _address(self.held[name]) or dy.f.shape != self.shapes[name]:
            return dy.dense()  # of an activation that is not the last one
        matrix = dy.matrix.transpose(0, 2, 1)
        if products.wants_panels(matrix.shape):
            matrix = products.panels(matrix)
        self._copied(name + " matrix", matrix)
        return dy

    def _finish(self, calls, unit, part, pictures, rows):
        """Note that a part (n, rows, W, C) of a gradient gets that of the tap, then the bits."""
        f, tap = None, self.dys.get(unit.name)
        if isinstance(tap, ChannelProduct) or (unit.masks and unit.bits is None):
            f = unit.activation(calls, pictures, rows)
        if isinstance(tap, ChannelProduct):
            flat = f.reshape(len(f), -1, f.shape[-1])
            product = calls.buffer("product", flat.shape, part.dtype)
            products.by(calls, flat, self.copies[unit.name + " matrix"][pictures], product)
            calls.add(np.add, part, product.reshape(part.shape), out=part)
        if _added(tap) is not None:
            calls.add(self._add_array, unit.name, part, pictures, rows)
        unit.mask(calls, part, f, pictures, rows)

    def _add_array(self, name, part, pictures, rows):
        part += _added(self.dys[name])[pictures, :, rows].transpose(0, 2, 3, 1)

    def _copied(self, name, array):
        """Return a copy of an array, always in the same place."""
        there = self._copy_of(name, array)
        if array.shape[-1] > FEW_CHANNELS:
            np.copyto(there, array)
        else:  # a picture, of planes: NumPy takes three times as long for the whole
            for c in range(array.shape[-1]):
                there[..., c] = array[..., c]
        return there

    def _copy_of(self, name, array):
        """Return where a copy of an array goes."""
        if name not in self.copies:
            self.copies[name] = aligned.empty(array.shape, self.arena.dtype)
        return self.copies[name]

    def _is_own(self, array):
        held = (kept for kept in self.held.values() if not isinstance(kept, Recomputed))
        own = (*self.arena.buffers, *held, *self.copies.values())
        return any(aligned.owner(array) is aligned.owner(mine) for mine in own)

    def _empty(self, name):
        N, C, H, W = self.shapes[name]
        return aligned.empty((N, H, W, C), self.arena.dtype)


def _address(array):
    if isinstance(array, Recomputed):
        return id(array.correlation)
    return array.__array_interface__["data"][0]


def _without_dropout(nodes, taps):
    """Return the nodes without dropout, which does nothing here, where it is no tap."""
    kept, same = [], {}
    for node in nodes:
        inputs = tuple(same.get(source, source) for source in node.inputs)
        if type(node.layer) is Dropout and node.name not in taps:
            (same[node.name],) = inputs
        else:
            kept.append(node._replace(inputs=inputs))
    return kept


def _added(tap):
    """Return the array among what is added to the gradient of a tap, or None."""
    return tap.rest if isinstance(tap, ChannelProduct) else tap
