"""Large filters, kept twice for small pictures and once for others; and the same bits always."""

import gc
import weakref

import numpy as np
import pytest
from plan_testing import relative

from minicnn.engine.cpu import filters, products
from minicnn.engine.cpu.evaluator import FastEvaluator
from minicnn.network import build

SMALL, LARGE = (17, 20), (37, 30)
LAYER, TAP = "conv4_2.weight", "relu4_2"


@pytest.fixture(autouse=True)
def two_layouts(monkeypatch):
    """All filters count as large, and products are cut up: where they are not there is one."""
    monkeypatch.setattr(products, "in_pieces", lambda: True)
    for name, value in {"SMALL": 0, "SMALLER": 0, "FEW_PIXELS": 24 * 24}.items():
        monkeypatch.setattr(filters, name, value)


@pytest.fixture(scope="module")
def net():
    return build.build("minivgg")


def gradient(evaluator, x):
    acts = evaluator.forward(x, [TAP])
    return acts[TAP].copy(), evaluator.backward({TAP: np.ones_like(acts[TAP])})


def bank(evaluator):
    return evaluator.net.params[LAYER].bank


@pytest.mark.parametrize("replay", [False, True])
def test_the_sizes_before_do_not_change_a_bit(rng, net, replay):
    pictures = [rng.standard_normal((1, 3, *s)).astype("float32") for s in (SMALL, LARGE, SMALL)]

    def fresh():
        evaluator = FastEvaluator(net, 2)
        return evaluator.replay() if replay else evaluator

    used = fresh()
    for x in pictures:
        y, dx = gradient(used, x)
        expected = net.forward(x, [TAP])[TAP]
        assert relative(y, expected) < 1e-5
        assert relative(dx, net.backward({TAP: np.ones_like(expected)})) < 1e-4
        for got, alone in zip((y, dx), gradient(fresh(), x), strict=True):
            np.testing.assert_array_equal(got, alone)


def test_another_size_between_a_pass_and_its_gradient(rng, net):
    small, large = (rng.standard_normal((1, 3, *s)).astype("float32") for s in (SMALL, LARGE))
    evaluator = FastEvaluator(net, 2)
    _, expected = gradient(evaluator, small)
    y = evaluator.forward(small, [TAP])[TAP]
    evaluator.mean_grams(large, [TAP])
    np.testing.assert_array_equal(evaluator.backward({TAP: np.ones_like(y)}), expected)


def test_there_is_one_set_of_each_layout(rng, net):
    """Plans of two sizes that are kept share them; where no plan is, the last set stays alone."""
    small, large = (rng.standard_normal((1, 3, *s)).astype("float32") for s in (SMALL, LARGE))
    evaluator = FastEvaluator(net, 1)
    plans, banks = [evaluator.replay(), evaluator.replay()], []
    for plan, x in zip(plans, (small, large), strict=True):
        gradient(plan, x)
        banks.append(bank(evaluator))
    assert [b.twice for b in banks] == [True, False]
    for wanted, x in zip(banks, (small, large), strict=True):
        gradient(evaluator.replay(), x)
        assert bank(evaluator) is wanted
    gone, there = map(weakref.ref, banks)
    del plans, banks, plan, wanted
    gc.collect()
    assert gone() is None
    assert there() is bank(evaluator)


def test_the_way_back_has_a_copy_as_long_as_it_is_wanted(rng, net):
    x = rng.standard_normal((1, 3, *SMALL)).astype("float32")
    evaluator = FastEvaluator(net, 1)
    evaluator.replay().forward(x, [TAP], keep=False)
    assert "backward" not in vars(bank(evaluator))
    replay = evaluator.replay()
    replay.forward(x, [TAP])
    assert "backward" in vars(bank(evaluator))
    del replay  # the next size may want none
    assert "backward" not in vars(bank(evaluator))


def test_with_low_memory_they_are_kept_once(rng, net):
    evaluator = FastEvaluator(net, 1, low_memory=True)
    gradient(evaluator.replay(), rng.standard_normal((1, 3, *SMALL)).astype("float32"))
    back = bank(evaluator).backward
    assert np.shares_memory(back, bank(evaluator).forward)
