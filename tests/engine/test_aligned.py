"""The arrays that the fast path reads and writes again and again begin with a line of the cache."""

import numpy as np
import pytest

import minicnn
from minicnn.engine.cpu import aligned
from minicnn.engine.cpu.evaluator import FastEvaluator


def begins_with_a_line(array):
    return array.ctypes.data % aligned.LINE == 0


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (300, 1000)])
def test_an_array(shape, dtype):
    array = aligned.empty(shape, dtype)
    assert (array.shape, array.dtype) == (shape, dtype)
    assert array.flags.c_contiguous
    assert begins_with_a_line(array)
    assert not aligned.zeros(shape, dtype).any()


def test_a_copy_is_contiguous():
    x = np.arange(12.0).reshape(3, 4).T
    for dtype in (None, "float32"):
        made = aligned.copy(x, dtype)
        assert np.array_equal(made, x)
        assert made.flags.c_contiguous
        assert begins_with_a_line(made)
        assert made.dtype == (dtype or x.dtype)
    assert aligned.owner(x[1:]) is aligned.owner(x)
    assert aligned.owner(made) is not aligned.owner(x)


def test_what_an_evaluation_has(rng):
    net, taps = minicnn.build("minivgg"), ["relu1_1", "relu2_1", "relu3_2"]
    replay = FastEvaluator(net, 2).replay(["relu1_1"])
    acts = replay.forward(rng.standard_normal((1, 3, 40, 48)), taps)
    replay.backward({name: acts[name] for name in taps[1:]})
    plan = replay.plan
    arrays = [acts["relu2_1"], acts["relu3_2"], *plan.arena.buffers, *plan.copies.values()]
    banks = [made for _, made in plan.convolution.filters._kept.values()]
    arrays += [bank.forward for bank in banks if hasattr(bank, "forward")]
    assert len(arrays) > 8
    assert all(map(begins_with_a_line, arrays))
