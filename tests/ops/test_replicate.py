import naive
import numpy as np
import pytest
from op_testing import LAYOUTS, MEMORY, agree, by_torch, is_channels_last, stored

from minicnn.errors import MinicnnError
from minicnn.ops import replicate

CASES = {
    "one": ((2, 3, 4, 5), 1),
    "uneven": ((1, 2, 3, 6), (2, 1)),
    "wider-than-the-map": ((1, 1, 2, 3), (4, 5)),
    "rows-alone": ((1, 2, 4, 3), (2, 0)),
    "a-pixel": ((2, 1, 1, 1), (1, 2)),
    "none": ((1, 2, 3, 4), 0),
}
cases = pytest.mark.parametrize(("shape", "padding"), CASES.values(), ids=CASES)


@cases
@pytest.mark.parametrize("memory", MEMORY)
def test_is_the_loop(rng, shape, padding, memory):
    x = stored(rng.standard_normal(shape), memory)
    y, cache = replicate.forward(x, padding)
    agree(y, naive.replicate(x, padding), memory[0])
    dy = stored(rng.standard_normal(y.shape), memory)
    dx = replicate.backward(dy, cache)
    agree(dx, naive.replicate_backward(dy, shape, padding), memory[0])


@pytest.mark.smoke
@cases
def test_adjoint(rng, shape, padding):
    x = rng.standard_normal(shape)
    y, cache = replicate.forward(x, padding)
    dy = rng.standard_normal(y.shape)
    assert (y * dy).sum() == pytest.approx((x * replicate.backward(dy, cache)).sum(), rel=1e-12)


@cases
def test_torch(rng, shape, padding):
    x = rng.standard_normal(shape)
    pad, pad2 = naive.pair(padding)
    ours, cache = replicate.forward(x, padding)
    dy = rng.standard_normal(ours.shape)
    sides = (pad2, pad2, pad, pad)
    y, dx = by_torch(lambda torch, x: torch.nn.functional.pad(x, sides, mode="replicate"), dy, x)
    agree(ours, y)
    agree(replicate.backward(dy, cache), dx)


def test_channels_last_in_memory_stays(rng):
    x = LAYOUTS["channels-last"](rng.standard_normal((2, 3, 4, 5)).astype("float32"))
    y, cache = replicate.forward(x, 1)
    assert is_channels_last(y)
    dx = replicate.backward(y, cache)
    assert dx.strides[1] == dx.itemsize  # the channels lie together


def test_bad_input():
    with pytest.raises(MinicnnError, match="must not be negative"):
        replicate.forward(np.zeros((1, 1, 2, 2)), -1)
    with pytest.raises(MinicnnError, match="map of 0 x 2"):
        replicate.forward(np.zeros((1, 1, 0, 2)), 1)
