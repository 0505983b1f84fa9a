import naive
import numpy as np
import pytest
from op_testing import MEMORY, agree, by_torch, is_channels_last, stored

from minicnn.ops import clip, relu

SHAPE, BOUNDS = (2, 3, 5, 4), (-0.4, 0.7)


def with_bounds(rng):
    x = rng.standard_normal(SHAPE)
    x[0, 0, 0, :2] = BOUNDS
    return x


@pytest.mark.smoke
@pytest.mark.parametrize("memory", MEMORY)
def test_is_the_loop(rng, memory):
    x, dy = stored(with_bounds(rng), memory), stored(rng.standard_normal(SHAPE), memory)
    low, high = (float(x.dtype.type(bound)) for bound in BOUNDS)
    y, inside = clip.forward(x, low, high)
    agree(y, naive.clip(x, low, high), memory[0])
    assert y.dtype == x.dtype
    agree(clip.backward(dy, inside), naive.clip_backward(dy, x, low, high), memory[0])


def test_torch(rng):
    x, dy = with_bounds(rng), rng.standard_normal(SHAPE)
    y, dx = by_torch(lambda torch, x: torch.nn.functional.hardtanh(x, *BOUNDS), dy, x)
    ours, inside = clip.forward(x, *BOUNDS)
    agree(ours, y)
    agree(clip.backward(dy, inside), dx)


@pytest.mark.parametrize("rule", relu.RULES)
def test_below_its_upper_bound_it_is_a_relu(rng, rule):
    x, dy = rng.standard_normal(SHAPE), rng.standard_normal(SHAPE)
    (y, positive), (clipped, inside) = relu.forward(x), clip.forward(x, 0, 100)
    np.testing.assert_array_equal(clipped, y)
    np.testing.assert_array_equal(
        clip.backward(dy, inside, rule), relu.backward(dy, positive, rule)
    )


def test_channels_last_in_memory_stays(rng):
    x = stored(rng.standard_normal(SHAPE), ("float32", "channels-last"))
    assert is_channels_last(clip.forward(x)[0])
