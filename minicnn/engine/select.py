"""How a function of the picture is evaluated: explicit or fast, whole or in tiles."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from threadpoolctl import ThreadpoolController

from minicnn.backend import array_module
from minicnn.engine import kept
from minicnn.engine.cpu.evaluator import FastEvaluator, Replay
from minicnn.engine.cpu.threads import one_blas_thread, thread_count
from minicnn.engine.gpu.compiled_objective import compile_objective, obstacle
from minicnn.engine.gpu.cuda import PRECISIONS, Cuda
from minicnn.engine.gpu.evaluator import DeviceEvaluator
from minicnn.engine.tiled import TiledEvaluator
from minicnn.engine.tiled_objective import TiledFunction
from minicnn.errors import MinicnnError
from minicnn.network.torus import on_torus
from minicnn.objectives.channel_product import DeferredSum, gram_layers
from minicnn.objectives.gram import style_targets
from minicnn.objectives.guidance import guided_gram
from minicnn.objectives.weighted_sum import ImageFunction


@dataclass(frozen=True)
class Evaluation:
    """How a function of the picture is evaluated, whatever it computes.

    Attributes
    ----------
    engine : {"auto", "explicit", "fast", "low-memory"}
        explicit is `Network` itself, fast is `cpu.evaluator` on the CPU, `gpu.evaluator` on the GPU
        (see `device_function` too); auto takes the fast one where it can. low-memory is the fast
        one that keeps no filters twice for small pictures, and does all tiles; on the GPU it is
        the fast one.
    threads : int, optional
        As `cpu.threads.thread_count` says by default.
    tile : int, optional
        Pixels a side of the tiles in which every picture is done, exactly and in less memory, see
        `tiled` and `tiled_objective`; all at once by default.
    precision : {"auto", "fp32", "tf32", "fp16"}
        Of the factors of matrix products on a GPU, see `gpu.cuda`; what `Network` itself
        computes is float32.
    evaluator : optional
        That of `evaluator_of` for this network and all this, where it is there already.
    """

    engine: str = "auto"
    threads: int | None = None
    tile: int | None = None
    precision: str = "auto"
    evaluator: object = None


BANKS = 9  # times the bytes of 3x3 filters: these, and about what an engine makes of them

# name -> (net, threads) -> what has forward(x, taps) and backward(dys), as `Network` has
ENGINES = {
    "explicit": lambda net, threads: net,
    "fast": FastEvaluator,
    "low-memory": partial(FastEvaluator, low_memory=True),
}


def evaluator_of(net, how=None, torus=False):
    """Return what has `forward(x, taps)` and `backward(dys)`, as the `Network` has.

    On a `torus` the picture goes on at its opposite edge, see `network.torus`.
    """
    how = how or Evaluation()
    if how.evaluator is not None:
        return how.evaluator

    def key():
        return "evaluator", kept.network_key(net), how, thread_count(how.threads), torus

    # with the network, whose arrays the key stands for
    return kept.once(key, lambda: (net, _evaluator_of(net, how, torus)), _network_bytes)[1]


def _network_bytes(made):
    """Return about how many bytes (network, evaluator) keep."""
    params = made[0].params
    filters = {name: w for name, w in params.items() if w.shape[2:] == (3, 3)}
    return 2 * kept.host_bytes(params) + (BANKS - 2) * kept.host_bytes(filters)


def _evaluator_of(net, how, torus):
    if how.tile is not None:
        # where tiles differ in size, the fast one might change the layout of its filters at each
        engine = "low-memory" if how.engine in ("auto", "fast") else how.engine
        inner = evaluator_of(net, replace(how, tile=None, engine=engine))
        return TiledEvaluator(net, inner, how.tile, torus=torus)
    net = on_torus(net) if torus else net
    on_cpu = all(array_module(array) is np for array in net.params.values())
    name = "fast" if how.engine == "auto" else how.engine
    if name not in ENGINES:
        raise MinicnnError(f"no engine {how.engine!r}; use auto, {', '.join(ENGINES)}")
    if name != "explicit" and not on_cpu:
        return DeviceEvaluator(net, partial(Cuda, how.precision))
    return ENGINES[name](net, how.threads)


def activations(evaluator, x, layers, make=None):
    """Return {layer: activation (1, C, H, W)} of a picture x, to be read alone.

    They are what make() returns, a forward pass by default.
    """
    return kept.once(
        lambda: ("activations", evaluator, kept.digest(x), tuple(layers)),
        make or (lambda: evaluator.forward(x, layers, keep=False)),
        kept.host_bytes,
    )


def activations_ahead(evaluator, x, layers, others):
    """Return `activations`, and the evaluator for a `WeightedSum` on `layers` and on `others`.

    `others` is what else the sum has, {name: (weight, objective)}. Where the first picture of the
    sum is x, as in a style transfer that starts from the content, its forward pass is this one.
    """
    if not isinstance(evaluator, FastEvaluator):
        return activations(evaluator, x, layers), evaluator
    read = [name for _, objective in others.values() for name in objective.layers]
    replay = evaluator.replay(gram_layers(others) - set(layers))

    def make():
        acts = replay.ahead(x, [*layers, *read])
        return {name: f.copy(order="K") for name, f in acts.items() if name in layers}

    return activations(evaluator, x, layers, make), replay


def device_function(objective, net, x, how):
    """Return a `WeightedSum` on the network, compiled for the device of x (1, 3, H, W), or None.

    With tiles, or explicit, nothing is compiled.

    Raises
    ------
    MinicnnError
        If a precision is asked for that only a compiled function has, and it cannot be compiled;
        or it does not fit into the memory of the device.
    """
    if how.tile is not None:
        return None
    if how.precision not in PRECISIONS:
        raise MinicnnError(f"no precision {how.precision!r}; use {', '.join(PRECISIONS)}")
    why = "it runs on the CPU" if array_module(x) is np else obstacle(net, objective, x.shape)
    if how.engine == "explicit":
        why = "the engine is explicit"
    if why is None:
        return compile_objective(net, objective, x.shape, Cuda(how.precision))
    if how.precision in ("tf32", "fp16"):
        raise MinicnnError(
            f"this cannot be computed in {how.precision}: {why}; leave out --precision"
        )
    return None


def image_function(objective, evaluator, threads=None):
    """Return a `WeightedSum` on an evaluator as a function of x, with BLAS on `threads` threads."""
    if isinstance(evaluator, TiledEvaluator):
        fun = TiledFunction(objective, evaluator)
    else:
        evaluator = replaying(evaluator, gram_layers(objective.objectives))
        if isinstance(evaluator, Replay):
            objective = DeferredSum(objective, evaluator.mean_gram)
        fun = ImageFunction(objective, evaluator.forward, evaluator.backward)
    # a crew's workers each have one BLAS thread; BLAS threads beside them would be in their way
    crew = isinstance(getattr(evaluator, "evaluator", evaluator), (FastEvaluator, Replay))
    return _OnThreads(fun, 1 if crew else thread_count(threads))


def replaying(evaluator, only_grams=()):
    """Return what evaluates pictures of one size again and again fastest, see `cpu.evaluator`.

    Of the layers `only_grams` nothing will be read but Gram matrices, by its `mean_gram`.
    """
    if isinstance(evaluator, FastEvaluator):
        return evaluator.replay(only_grams)
    return evaluator.replay() if isinstance(evaluator, DeviceEvaluator) else evaluator


@one_blas_thread()
def mean_grams(evaluator, x, layers, guides=None):
    """Return {layer: mean Gram matrix (N, C, C)} of a picture x (N, C, H, W), or of a region of it.

    `guides` is {layer: how much of each position lies in the region (P, Q)}, see `guidance`.
    """

    def key():
        guided = guides and tuple(map(kept.digest, guides.values()))
        return "grams", evaluator, kept.digest(x), tuple(layers), guided

    return kept.once(key, lambda: _mean_grams(evaluator, x, layers, guides), kept.host_bytes)


def _mean_grams(evaluator, x, layers, guides):
    if isinstance(evaluator, TiledEvaluator):
        return evaluator.mean_grams(x, layers, guides)
    if guides is None and isinstance(evaluator, FastEvaluator):
        return evaluator.mean_grams(x, layers)
    acts = evaluator.forward(x, layers, keep=False)
    if guides is None:
        return style_targets(acts)
    return {name: guided_gram(f, guides[name][None])[:, 0] for name, f in acts.items()}


def layer_weights(layers):
    """Return {name: weight} of a name, a list of names or a dict."""
    if isinstance(layers, str):
        layers = [layers]
    return dict(layers) if hasattr(layers, "keys") else dict.fromkeys(layers, 1.0)


class _OnThreads:
    """A function of the picture whose BLAS calls use a given number of threads."""

    def __init__(self, fun, threads):
        self.fun, self.threads, self.blas = fun, threads, ThreadpoolController()

    def __call__(self, x):
        with self.blas.limit(limits=self.threads, user_api="blas"):
            return self.fun(x)

    def __getattr__(self, name):
        """Return what the function has under this name: its `terms`, its `objective`."""
        return getattr(self.fun, name)
