"""How a task's function of the picture walks the network: explicit or fast, on how many threads."""

from functools import partial

import numpy as np
from threadpoolctl import ThreadpoolController

from minicnn.backend import array_module
from minicnn.engine.walk import FastWalk
from minicnn.errors import MinicnnError
from minicnn.weighted_sum import ImageFunction

# name -> (net, threads) -> what has forward(x, taps) and backward(dys), as `Network` has
ENGINES = {"explicit": lambda net, threads: net, "fast": FastWalk}


def walk_of(net, engine="auto", threads=None):
    """Return what has `forward(x, taps)` and `backward(dys)`, as `Network` has.

    Parameters
    ----------
    net : Network
    engine : {"auto", "explicit", "fast"}
        explicit is `Network` itself, fast is `engine.walk` (on the CPU alone); auto takes the
        fast one where it can.
    threads : int, optional
    """
    on_cpu = all(array_module(array) is np for array in net.params.values())
    name = ("fast" if on_cpu else "explicit") if engine == "auto" else engine
    if name not in ENGINES:
        raise MinicnnError(f"no engine {engine!r}; use auto, {', '.join(ENGINES)}")
    return ENGINES[name](net, threads)


def image_function(objective, walk, threads=None):
    """Return the `ImageFunction` of a `WeightedSum` on a walk, with BLAS on `threads` threads."""
    kind = ImageFunction if threads is None else partial(_OnThreads, threads)
    return kind(objective, walk.forward, walk.backward)


def layer_weights(layers):
    """Return {name: weight} of a name, a list of names or a dict."""
    if isinstance(layers, str):
        layers = [layers]
    return dict(layers) if hasattr(layers, "keys") else dict.fromkeys(layers, 1.0)


class _OnThreads(ImageFunction):
    """An `ImageFunction` whose BLAS calls use a given number of threads."""

    def __init__(self, threads, *parts):
        super().__init__(*parts)
        self.threads, self.blas = threads, ThreadpoolController()

    def __call__(self, x):
        with self.blas.limit(limits=self.threads, user_api="blas"):
            return super().__call__(x)
