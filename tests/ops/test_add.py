import naive
import numpy as np
import pytest
from op_testing import MEMORY, agree, by_torch, is_channels_last, stored

from minicnn.errors import MinicnnError
from minicnn.ops import add

SHAPE = (2, 3, 4, 5)
counts = pytest.mark.parametrize("count", [1, 2, 3])


@counts
@pytest.mark.parametrize("memory", MEMORY)
def test_is_the_loop(rng, count, memory):
    xs = [stored(rng.standard_normal(SHAPE), memory) for _ in range(count)]
    y, cache = add.forward(xs)
    agree(y, naive.add(xs), memory[0])
    assert y.dtype == xs[0].dtype
    dxs = add.backward(y, cache)
    assert len(dxs) == count
    for dx in dxs:
        np.testing.assert_array_equal(dx, y)


def test_the_inputs_stay_as_they_are(rng):
    xs = [rng.standard_normal(SHAPE) for _ in "xy"]
    before = [x.copy() for x in xs]
    add.forward(xs)
    np.testing.assert_array_equal(xs, before)


@pytest.mark.smoke
@counts
def test_adjoint(rng, count):
    xs = [rng.standard_normal(SHAPE) for _ in range(count)]
    (y, cache), dy = add.forward(xs), rng.standard_normal(SHAPE)
    back = sum((x * dx).sum() for x, dx in zip(xs, add.backward(dy, cache), strict=True))
    assert (y * dy).sum() == pytest.approx(back, rel=1e-12)


def test_torch(rng):
    xs, dy = [rng.standard_normal(SHAPE) for _ in "xyz"], rng.standard_normal(SHAPE)
    y, *dxs = by_torch(lambda torch, *xs: sum(xs[1:], xs[0]), dy, *xs)
    ours, cache = add.forward(xs)
    agree(ours, y)
    for dx, expected in zip(add.backward(dy, cache), dxs, strict=True):
        agree(dx, expected)


def test_channels_last_in_memory_stays(rng):
    xs = [stored(rng.standard_normal(SHAPE), ("float32", "channels-last")) for _ in "xy"]
    assert is_channels_last(add.forward(xs)[0])


def test_maps_of_different_shapes():
    with pytest.raises(MinicnnError, match="maps to add differ in shape"):
        add.forward([np.zeros((1, 2, 3, 4)), np.zeros((1, 1, 3, 4))])
