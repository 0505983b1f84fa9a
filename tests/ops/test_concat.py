import naive
import numpy as np
import pytest
from op_testing import MEMORY, agree, by_torch, is_channels_last, stored

from minicnn.errors import MinicnnError
from minicnn.ops import concat

CHANNELS = {"two": (3, 4), "three": (1, 5, 2), "one": (3,), "the-same-map-twice": (2, 2)}
channels = pytest.mark.parametrize("channels", CHANNELS.values(), ids=CHANNELS)


def draw(rng, channels, memory=("float64", "contiguous")):
    return [stored(rng.standard_normal((2, c, 3, 5)), memory) for c in channels]


@channels
@pytest.mark.parametrize("memory", MEMORY)
def test_is_the_loop(rng, channels, memory):
    xs = draw(rng, channels, memory)
    y, sizes = concat.forward(xs)
    agree(y, naive.concat(xs), memory[0])
    assert sizes == channels
    for dx, x in zip(concat.backward(y, sizes), xs, strict=True):
        np.testing.assert_array_equal(dx, x)


@pytest.mark.smoke
@channels
def test_adjoint(rng, channels):
    xs = draw(rng, channels)
    y, sizes = concat.forward(xs)
    dy = rng.standard_normal(y.shape)
    back = sum((x * dx).sum() for x, dx in zip(xs, concat.backward(dy, sizes), strict=True))
    assert (y * dy).sum() == pytest.approx(back, rel=1e-12)


@channels
def test_torch(rng, channels):
    xs = draw(rng, channels)
    dy = rng.standard_normal((2, sum(channels), 3, 5))
    y, *dxs = by_torch(lambda torch, *xs: torch.cat(xs, 1), dy, *xs)
    ours, sizes = concat.forward(xs)
    agree(ours, y)
    for dx, expected in zip(concat.backward(dy, sizes), dxs, strict=True):
        agree(dx, expected)


def test_channels_last_in_memory_stays(rng):
    xs = draw(rng, (2, 3), ("float32", "channels-last"))
    assert is_channels_last(concat.forward(xs)[0])


def test_maps_of_different_size(rng):
    with pytest.raises(MinicnnError, match="differ in more than their channels"):
        concat.forward([np.zeros((1, 2, 3, 4)), np.zeros((1, 2, 1, 4))])
