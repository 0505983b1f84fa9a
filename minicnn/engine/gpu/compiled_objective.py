"""A style objective compiled for one size of picture: every buffer made once, nothing waits.

    fun = compile_objective(net, objective, shape, machine)
    value, gradient = fun(x)

It computes what `objectives.ImageFunction` does on `network.Network`, for the networks and terms
that `obstacle` lets pass: convolutions of stride 1 with a ReLU behind each, poolings; content, Gram
and plain total-variation terms. Between the picture's copy and the read of the terms, a few float64
numbers, the host waits for nothing, so that the whole can be one CUDA graph.
"""

from functools import partial

import numpy as np

from minicnn.backend import to_host
from minicnn.engine.gpu.buffers import Buffers
from minicnn.engine.gpu.cuda import count_bytes
from minicnn.engine.gpu.terms import ContentTerm, StyleTerm, VariationTerm
from minicnn.engine.gpu.trunk import Trunk, fitted, form_of, misfit, run_of
from minicnn.kernels import strips
from minicnn.kernels.loader import SUM_BLOCKS
from minicnn.objectives.content import ContentLoss
from minicnn.objectives.gram import GramStyleLoss
from minicnn.objectives.priors import PixelPrior, tv

KINDS = {ContentLoss: ContentTerm, GramStyleLoss: StyleTerm}


def obstacle(net, objective, shape):
    """Return why a `WeightedSum` cannot be compiled for pictures of `shape`, or None."""
    for _, term in objective.objectives.values():
        if type(term) not in KINDS:
            return f"it has the term {type(term).__name__}"
    for _, prior in objective.priors.values():
        if type(prior) is not PixelPrior or prior.prior is not tv:
            return "its prior is not the plain total variation"
    return misfit(net, objective.layers, shape)


def compile_objective(net, objective, shape, machine):
    """Return a `CompiledObjective`, with strips as `trunk.fitted` finds them."""
    return fitted(
        lambda strip_bytes: CompiledObjective(net, objective, shape, machine, strip_bytes),
        machine,
        lambda: bytes_needed(net, objective, shape, form_of(machine, strips.SMALLEST)),
    )


def bytes_needed(net, objective, shape, form):
    """Return what it takes on the device, without the network and cuBLAS's 32 MB."""
    return count_bytes(partial(_Arrays, net, objective, shape, form))


class CompiledObjective:
    """A function of the picture, fun(x) -> (value, gradient), see `cuda.Cuda` for the machine.

    The weights of `net` must not change any more; `objective` has no `obstacle`; `shape` is (1, 3,
    H, W). The columns of a convolution take about `strip_bytes`. `terms` has the weighted value of
    every term at the last picture, as `ImageFunction` has. `refusal` says why there is no graph
    from the second call on, "" if there is.
    """

    def __init__(self, net, objective, shape, machine, strip_bytes=strips.LARGEST):
        buffers = Buffers(machine.xp)
        form = form_of(machine, strip_bytes)
        self._arrays = _Arrays(net, objective, shape, form, buffers)
        self._run = run_of(machine, buffers, self._arrays.trunk)
        self._machine, self._parts = machine, _part_names(objective)
        self._graph, self._calls = None, 0
        self.bytes, self.terms, self.refusal = buffers.bytes, {}, ""

    def __call__(self, x):
        """Return the value at x (1, 3, H, W), and the gradient, which the next call overwrites."""
        arrays = self._arrays
        arrays.trunk.x[...] = x
        if self._calls == 1:  # the first call has compiled everything
            self._graph, self.refusal = self._machine.captured(self._step_by_step)
        self._calls += 1
        (self._graph or self._step_by_step)()
        totals = to_host(arrays.totals).tolist()  # this waits for the device
        values = dict(zip(arrays.names, totals, strict=True))
        self.terms = {
            name: values[name] if name in values else sum(values[part] for part in parts)
            for name, parts in self._parts.items()
        }
        return sum(values.values()), arrays.trunk.gradient

    def _step_by_step(self):
        a, run = self._arrays, self._run
        trunk = a.trunk
        if a.variation is None:
            trunk.gradient.fill(0)
        else:
            a.variation.run(run, trunk.x, trunk.gradient, a.partials[-1])
        trunk.forward(run)

        def feed(i, dy, there):
            for row, term in a.terms.get(i, ()):
                term.run(run, trunk.steps[i].y, dy, a.partials[row], there)
                there = True
            return there

        trunk.backward(run, feed)
        count = len(a.names)
        run.kernels.blocks("total", count, a.partials, a.factors, a.totals, SUM_BLOCKS)


class _Arrays:
    """The trunk, the terms at its steps, and everything else that is allocated.

    `terms` is step -> [(row of `partials`, term)]; the total variation has the last row.
    """

    def __init__(self, net, objective, shape, form, buffers=None):
        buffers = buffers or Buffers()
        self.trunk = Trunk(buffers, net, objective.layers, shape, form)
        found = self._terms(buffers, objective)
        self.names, count = [term.name for term in found], len(found)
        self.partials = buffers.new((count, SUM_BLOCKS), np.float64)
        self.totals = buffers.new(count, np.float64)
        self.factors = buffers.filled([term.factor for term in found], np.float64)

    def _terms(self, buffers, objective):
        """Make all terms, in the order of their rows."""
        found, self.terms, self.variation = [], {}, None
        for name, (weight, loss) in objective.objectives.items():
            for layer, own in loss.weights.items():
                place, factor = self.trunk.places[layer], weight * own * loss.factors[layer]
                shape, target = self.trunk.steps[place].out_shape, loss.targets[layer]
                term = KINDS[type(loss)](buffers, f"{name}.{layer}", shape, target, factor)
                self.terms.setdefault(place, []).append((len(found), term))
                found.append(term)
        size = self.trunk.shape[2:]
        for name, (weight, prior) in objective.priors.items():
            unit, factor = to_host(prior.unit).ravel(), weight / (3 * size[0] * size[1])
            self.variation = VariationTerm(buffers, name, size, unit, factor)
            found.append(self.variation)
        return found


def _part_names(objective):
    """Return {name of a term: names of its parts}, in the order and with the names of a report."""
    found = {}
    for name, (_, loss) in objective.objectives.items():
        parts = [f"{name}.{layer}" for layer in loss.weights]
        found[name] = parts
        if len(parts) > 1:
            found |= {part: [part] for part in parts}
    return found | {name: [name] for name in objective.priors}
