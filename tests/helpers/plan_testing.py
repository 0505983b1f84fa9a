"""What the tests of compiled evaluations share: a network cut off, and its comparison."""

import numpy as np

from minicnn.engine.cpu.evaluator import FastEvaluator
from minicnn.network import build


def cut(name, taps, pool=None, dtype="float64"):
    """Return the network up to the last tap, with random weights: no fully connected ones."""
    whole = build.skeleton(name).layers
    net = build.skeleton(name, pool=pool, last=max(taps, key=whole.index))
    net.params = build.random_params(net.param_shapes(), 0, dtype)
    return net


def relative(ours, theirs):
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


def agree(net, taps, shape, rng, *, threads=2, rounds=2, tolerance=1e-10):
    """Compare a replay with the network, several times on the same buffers; return it."""
    replay = FastEvaluator(net, threads).replay()
    for _ in range(rounds):
        x = rng.standard_normal(shape).astype(net.dtype)
        acts = net.forward(x, taps)
        dys = {k: rng.standard_normal(v.shape).astype(net.dtype) for k, v in acts.items()}
        wanted = net.backward(dys)
        found = replay.forward(x, taps)
        assert list(found) == [name for name in net.layers if name in taps]
        for name in taps:
            assert relative(found[name], acts[name]) < tolerance, name
        assert relative(replay.backward(dys), wanted) < tolerance
    return replay
