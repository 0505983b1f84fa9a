"""A network's forward and backward pass on a CUDA device: `Network` itself, or compiled.

For what `compiled_objective` cannot do, since the objective is not of its kind: inversions, class
scores, guided styles, other priors. Terms are then CuPy arithmetic, with a wait of the host in
each; the layers, which take nearly all the time, are the same steps.
"""

from functools import partial

from minicnn.engine.gpu.buffers import Buffers
from minicnn.engine.gpu.cuda import count_bytes
from minicnn.engine.gpu.trunk import Trunk, fitted, form_of, misfit, run_of
from minicnn.kernels import launch, strips


class DeviceEvaluator:
    """Has `forward` and `backward` as `Network` has, which it is; machine() returns a `cuda.Cuda`.

    Where memory does not suffice, a forward pass is begun again with smaller strips. The arrays of
    `net`, CuPy's, must not change any more.
    """

    def __init__(self, net, machine):
        self._net, self._machine, self._strips = net, machine, strips.Strips()

    def forward(self, x, taps, **options):
        """Compute activations; see `Network.forward`."""
        attempt = partial(self._net.forward, x, taps, **options)
        return self._strips.fitted(attempt, launch.release)

    def backward(self, dys, relu_rule="gradient", **options):
        """Pass gradients down to the picture; see `Network.backward`."""
        with self._strips.in_use():
            return self._net.backward(dys, relu_rule, **options)

    def gradient_at(self, layer, dys):
        """Return the gradient at a layer; see `Network.gradient_at`."""
        with self._strips.in_use():
            return self._net.gradient_at(layer, dys)

    def __getattr__(self, name):
        """Return what the network has under this name."""
        return getattr(self._net, name)

    def replay(self):
        """Return what evaluates pictures of one size again and again."""
        return DeviceReplay(self._net, self._machine)


class DeviceReplay:
    """Forward and gradient again and again for pictures of one size, compiled where it can be.

    It has no rules but the gradient. The activations that it returns are its own, valid until its
    next forward pass; the gradient until its next backward pass.
    """

    def __init__(self, net, machine):
        self._net, self._make = net, machine
        self._key = self._compiled = None

    def forward(self, x, taps, keep=True):
        """Return {tap: activation (N, C, H, W)} for pictures x (N, C, H, W)."""
        key = (x.shape, tuple(taps))
        if key != self._key:
            self._key = self._compiled = None  # let go of the memory before more is taken
            self._compiled, self._key = self._compile(*key), key
        if self._compiled is None:
            return self._net.forward(x, taps, keep=keep)
        return self._compiled.forward(x)

    def backward(self, dys):
        """Return the gradient (N, C, H, W) of the picture, for gradients of the taps."""
        return (self._compiled or self._net).backward(dys)

    def _compile(self, shape, taps):
        if misfit(self._net, taps, shape):
            return None
        machine = self._make()
        build = partial(_Compiled, self._net, taps, shape, machine)
        return fitted(build, machine, partial(bytes_needed, self._net, taps, shape, machine))


def bytes_needed(net, taps, shape, machine):
    """Return what a compiled evaluator takes at least, without the network and cuBLAS's 32 MB."""
    form = form_of(machine, strips.SMALLEST)
    return count_bytes(lambda buffers: Trunk(buffers, net, list(taps), shape, form))


class _Compiled:
    def __init__(self, net, taps, shape, machine, strip_bytes):
        buffers = Buffers(machine.xp)
        self._trunk = Trunk(buffers, net, list(taps), shape, form_of(machine, strip_bytes))
        self._run = run_of(machine, buffers, self._trunk)
        self._places = {tap: self._trunk.places[tap] for tap in taps}

    def forward(self, x):
        self._trunk.x[...] = x
        self._trunk.forward(self._run)
        steps = self._trunk.steps
        # (P, Q, K) as (1, K, P, Q), views
        return {tap: steps[i].y.transpose(2, 0, 1)[None] for tap, i in self._places.items()}

    def backward(self, dys):
        def feed(i, dy, there):
            for tap, place in self._places.items():
                if place == i and tap in dys:
                    df = dys[tap][0].transpose(1, 2, 0)
                    dy[...] = dy + df if there else df
                    there = True
            if not there:
                dy.fill(0)  # no gradient has come in yet
            return True

        self._trunk.gradient.fill(0)
        self._trunk.backward(self._run, feed)
        return self._trunk.gradient
