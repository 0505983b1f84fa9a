import naive
import numpy as np
import pytest
from op_testing import LAYOUTS, MEMORY, agree, is_channels_last, stored

from minicnn.errors import MinicnnError
from minicnn.ops import dropout


@pytest.mark.smoke
@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("p", [0, 0.3, 0.9])
def test_is_the_loop(rng, memory, p):
    x, dy = (stored(rng.standard_normal((2, 3, 4, 5)), memory) for _ in "xy")
    y, mask = dropout.forward(x, p, rng)
    agree(y, naive.dropout(x, mask), memory[0])
    agree(dropout.backward(dy, mask), naive.dropout(dy, mask), memory[0])


@pytest.mark.parametrize("p", [0, 0.25, 0.5, 0.9])
def test_entries_are_dropped_or_scaled_up(rng, p):
    _, mask = dropout.forward(np.ones((400, 500)), p, rng)
    kept = mask > 0
    assert kept.mean() == pytest.approx(1 - p, abs=0.005)
    np.testing.assert_allclose(mask[kept], 1 / (1 - p))
    assert mask.mean() == pytest.approx(1, abs=0.02)


def test_p_of_0_changes_nothing(rng):
    x = rng.standard_normal((3, 4))
    np.testing.assert_array_equal(dropout.forward(x, 0, rng)[0], x)


def test_dtype_and_layout_do_not_change_what_is_dropped(rng):
    x = rng.uniform(1, 2, (2, 3, 4, 5))
    dropped = [
        dropout.forward(stored(x, (dtype, layout)), 0.5, np.random.default_rng(7))[0] == 0
        for dtype in ("float32", "float64")
        for layout in LAYOUTS
    ]
    assert 0 < dropped[0].sum() < x.size
    for other in dropped[1:]:
        np.testing.assert_array_equal(other, dropped[0])


def test_the_generator_goes_on(rng):
    x = np.ones((10, 10))
    assert (dropout.forward(x, 0.5, rng)[1] != dropout.forward(x, 0.5, rng)[1]).any()


def test_channels_last_in_memory_stays(rng):
    x = stored(rng.standard_normal((2, 3, 4, 5)), ("float32", "channels-last"))
    y, mask = dropout.forward(x, 0.5, rng)
    assert is_channels_last(y)
    assert is_channels_last(mask)


@pytest.mark.parametrize("p", [-0.1, 1, 50, float("nan")])
def test_impossible_probability(rng, p):
    with pytest.raises(MinicnnError, match="0 or more and below 1"):
        dropout.forward(np.ones(3), p, rng)
