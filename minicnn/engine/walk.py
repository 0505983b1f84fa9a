"""A network's forward and backward pass, fast, for weights that do not change any more."""

from minicnn.engine.conv2d import FastConvolution
from minicnn.engine.threads import Crew


class FastWalk:
    """Has `forward` and `backward` as `Network` has, with the fast convolution on threads.

    Parameters
    ----------
    net : Network
        Its weights are transformed once, at the first use of each layer, and kept.
    threads : int, optional
        See `engine.threads.thread_count`.
    """

    def __init__(self, net, threads=None):
        self._net = net.replica()
        self._net.convolution = FastConvolution(frozen=True)
        self._crew = Crew(threads)

    def forward(self, x, taps, **options):
        """Compute activations; see `Network.forward`."""
        with self._crew.at_work():
            return self._net.forward(x, taps, **options)

    def backward(self, dys, relu_rule="gradient", **options):
        """Pass gradients down to the picture; see `Network.backward`."""
        with self._crew.at_work():
            return self._net.backward(dys, relu_rule, **options)

    def switches(self):
        """Return the switches of the last forward pass; see `Network.switches`."""
        return self._net.switches()
