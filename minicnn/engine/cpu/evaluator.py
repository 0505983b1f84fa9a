"""A network's forward and backward pass, fast, for weights that do not change any more."""

import numpy as np

from minicnn.engine import kept
from minicnn.engine.cpu import gram
from minicnn.engine.cpu.column_peaks import column_peaks
from minicnn.engine.cpu.frozen import FrozenNetwork
from minicnn.engine.cpu.plan import Plan
from minicnn.engine.cpu.threads import Crew


class FastEvaluator:
    """Has `forward` and `backward` as `Network` has, with the fast convolution on threads.

    The weights of `net` are transformed once, at the first use of each layer, and kept so. It is
    not changed; a caller that lets go of it gives up the memory of weights that are not needed any
    more. `threads` is as in `threads.thread_count`. With `low_memory` no large filters are kept
    twice.
    """

    def __init__(self, net, threads=None, low_memory=False):
        self._frozen, self._crew = FrozenNetwork(net, low_memory), Crew(threads)
        self._passed = None  # (taps, shape) of the last pass of the network itself

    @property
    def net(self):
        """The network of its own: filters that are transformed have a shape there, no values."""
        return self._frozen.net

    def transform(self, taps, shape):
        """Transform the filters up to `taps` now: processes that are forked later share them.

        `shape` is that of a picture, (C, H, W), whose gradients will be asked for.
        """
        with self._crew.at_work():
            self._frozen.transform(taps, shape, backward=True)

    def forward(self, x, taps, **options):
        """Compute activations; see `Network.forward`."""
        net, convolution = self._frozen.net, self._frozen.convolution
        with self._crew.at_work():
            self._frozen.transform(taps, x.shape[1:])
            if options == {"keep": False}:
                net.forget()
                plan = Plan(net, convolution, x.shape, taps, keep=False)
                acts = plan.forward(x)
                plan.dissolve()
                return acts
            self._passed = taps, x.shape[1:]
            return net.forward(x, taps, convolution=convolution, **options)

    def mean_grams(self, x, layers):
        """Return {layer: mean Gram matrix (N, C, C)} of pictures x, in little memory."""
        with self._crew.at_work():
            self._frozen.transform(layers, x.shape[1:])
            how = {"keep": False, "only_grams": layers}
            plan = Plan(self._frozen.net, self._frozen.convolution, x.shape, layers, **how)
            grams = {name: gram.mean_gram(f) for name, f in plan.forward(x).items()}
            plan.dissolve()
        return grams

    def backward(self, dys, relu_rule="gradient", **options):
        """Pass gradients down to the picture; see `Network.backward`."""
        with self._crew.at_work():
            return self._last_net().backward(dys, relu_rule, **options)

    def gradient_at(self, layer, dys):
        """Return the gradient at a layer; see `Network.gradient_at`."""
        with self._crew.at_work():
            return self._last_net().gradient_at(layer, dys)

    def _last_net(self):
        """Return the network with the filters as in its last pass: other sizes may have come."""
        if self._passed:
            self._frozen.transform(*self._passed, backward=True)
        return self._frozen.net

    def switches(self):
        """Return the switches of the last forward pass; see `Network.switches`."""
        return self._frozen.net.switches()

    def replay(self, only_grams=()):
        """Return a `Replay` that shares the transformed weights and the threads."""
        return Replay(self._frozen, self._crew, only_grams)


class Replay:
    """Forward and gradient again and again for pictures of one size: a compiled `plan`.

    It has no rules but the gradient. The activations that it returns are its own, valid until its
    next forward pass. Of the taps `only_grams` nothing is read but `mean_gram`: what such a tap
    returns may be a `recomputed.Recomputed`. The `column_peaks` of the taps `peaks` can be asked
    for.
    """

    def __init__(self, frozen, crew, only_grams=(), peaks=()):
        self.plan = self._key = self._ahead = None
        self._own = True  # else others may use the plan too
        self._frozen, self._crew = frozen, crew
        self._only_grams, self._peaks = frozenset(only_grams), tuple(peaks)

    def forward(self, x, taps, keep=True):
        """Return {tap: activation (N, C, H, W)} for pictures x (N, C, H, W)."""
        key, ahead = (x.shape, tuple(sorted(set(taps))), keep), self._ahead
        self._ahead = None
        if ahead and key == self._key and np.array_equal(x, ahead[0]):
            return ahead[1]
        if key != self._key or not self.plan.units:
            self.dissolve()
            self.plan, self._key = self._compiled(key), key
            self._own = not kept.is_kept(self.plan)
        with self._crew.at_work():
            return self.plan.forward(x)

    def ahead(self, x, taps):
        """Return forward(x, taps); if the next one asks for the same, it has been done by this."""
        acts = self.forward(x, taps)
        if self._own:  # else another pass of the plan may come before
            self._ahead = x.copy(), acts  # the caller may change x
        return acts

    def _compiled(self, key):
        """Return the `Plan` of (shape, taps, keep), maybe one that another `Replay` has used."""

        def make():
            with self._crew.at_work():
                self._frozen.transform(key[1], key[0][1:], backward=key[2])
            how = {"keep": key[2], "only_grams": self._only_grams, "peaks": self._peaks}
            return Plan(self._frozen.net, self._frozen.convolution, *key[:2], **how)

        whose = ("plan", self._frozen, self._crew, self._only_grams, self._peaks, *key)
        return kept.once(lambda: whose, make, lambda plan: plan.bytes, Plan.dissolve)

    def backward(self, dys):
        """Return the gradient (N, C, H, W) of the picture, for gradients of the taps."""
        with self._crew.at_work():
            return self.plan.backward(dys)

    def dissolve(self):
        """Let go of the plan: what it has returned stays, a next forward pass makes another."""
        if self.plan and self._own:
            self.plan.dissolve()
            self._frozen.let_go()
        self._key = self.plan = self._ahead = None

    def __del__(self):
        self.dissolve()

    def column_peaks(self, name, y):
        """Return the `column_peaks` of a tap y of the last forward pass."""
        found = self.plan.peaks[name].gathered()
        return column_peaks(y) if found is None else found

    def mean_gram(self, f):
        """Return the mean Gram matrices (N, C, C) of an activation f (N, C, H, W)."""
        with self._crew.at_work():
            return gram.mean_gram(f)
