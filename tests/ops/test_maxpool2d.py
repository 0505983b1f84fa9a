import naive
import numpy as np
import pytest
from op_testing import MEMORY, agree, by_torch, is_channels_last, stored

from minicnn.errors import MinicnnError
from minicnn.gradcheck import checks
from minicnn.gradcheck.ops import distinct
from minicnn.ops import maxpool2d, unpool
from minicnn.ops.shapes import pair

# name: x (N, C, H, W), kernel, options
CASES = {
    "2x2": ((2, 3, 4, 6), 2, {}),
    "2x2-odd-size": ((2, 2, 5, 7), 2, {}),
    "2x3-kernel": ((1, 2, 6, 7), (2, 3), {}),
    "overlapping": ((2, 2, 7, 8), 3, {"stride": 2}),
    "overlapping-ceil": ((1, 3, 8, 6), 3, {"stride": 2, "ceil": True}),
    "padded": ((2, 2, 5, 6), 3, {"stride": 2, "padding": 1}),
    "padded-ceil": ((1, 2, 6, 5), 3, {"stride": 2, "padding": 1, "ceil": True}),
    "ceil-drops-a-window": ((1, 2, 5, 5), 2, {"stride": 2, "padding": 1, "ceil": True}),
    "smaller-than-the-window-ceil": ((1, 2, 2, 4), 3, {"stride": 2, "ceil": True}),
    "every-pixel": ((1, 2, 5, 4), (3, 2), {"stride": 1, "padding": 1}),
    "padded-beyond-half-ceil": ((1, 2, 4, 5), 3, {"stride": 2, "padding": 2, "ceil": True}),
    "stride-beyond-the-kernel": ((1, 2, 8, 9), 2, {"stride": (3, 4)}),
    "whole-picture": ((2, 3, 4, 5), (4, 5), {}),
    "one-pixel": ((1, 1, 1, 1), 1, {}),
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
memories = pytest.mark.parametrize("memory", MEMORY)
# the values: all different; many ties; nothing above 0; the zeros that a ReLU leaves
VALUES = {
    "distinct": distinct,
    "all-negative": lambda rng, shape: distinct(rng, shape) - 2,
    "ties": lambda rng, shape: rng.integers(-1, 2, shape).astype(float),
    "constant": lambda rng, shape: np.full(shape, -3.0),
    "rectified": lambda rng, shape: np.maximum(rng.standard_normal(shape) - 0.5, 0),
}
values = pytest.mark.parametrize("make", VALUES.values(), ids=VALUES)


@cases
@values
@memories
def test_forward_and_switches_are_the_loop(rng, case, make, memory):
    shape, kernel, options = case
    x = stored(make(rng, shape), memory)
    y, cache = maxpool2d.forward(x, kernel, **options)
    loop_y, switches = naive.maxpool2d(x, kernel, **options)
    agree(y, loop_y, memory[0])
    np.testing.assert_array_equal(cache.switches, switches)
    assert cache.switches.dtype == np.uint8


@cases
@values
@memories
@pytest.mark.parametrize("overlap", unpool.OVERLAPS)
def test_unpool_is_the_loop(rng, case, make, memory, overlap):
    shape, kernel, options = case
    x = stored(make(rng, shape), memory)
    y, cache = maxpool2d.forward(x, kernel, **options)
    new = rng.standard_normal(y.shape)
    new[rng.random(y.shape) < 0.3] = 0  # a rectified map: zeros overwrite too
    new = stored(new, memory)
    expected = naive.unpool(
        new, cache.switches, shape, kernel,
        stride=options.get("stride"), padding=options.get("padding", 0), overlap=overlap,
    )  # fmt: skip
    agree(unpool.unpool(new, cache, overlap=overlap), expected, memory[0])
    if overlap == "sum":
        agree(maxpool2d.backward(new, cache), expected, memory[0])


@pytest.mark.smoke
@cases
def test_gradient(rng, case):
    shape, kernel, options = case
    x = distinct(rng, shape)
    error = checks.check_vjp(
        lambda x: maxpool2d.forward(x, kernel, **options)[0],
        lambda dy, x: maxpool2d.backward(dy, maxpool2d.forward(x, kernel, **options)[1]),
        x,
        rng,
    )
    assert error < 1e-6


@pytest.mark.smoke
@cases
@values
def test_with_fixed_switches_unpooling_is_the_adjoint(rng, case, make):
    shape, kernel, options = case
    x = make(rng, shape)
    y, cache = maxpool2d.forward(x, kernel, **options)
    v = rng.standard_normal(y.shape)
    assert (y * v).sum() == pytest.approx((x * maxpool2d.backward(v, cache)).sum(), rel=1e-12)


@cases
@pytest.mark.parametrize("name", ["distinct", "all-negative"])
def test_torch(rng, case, name):
    shape, kernel, options = case
    if 2 * options.get("padding", 0) > pair(kernel)[0]:
        pytest.skip("torch pads by half of a window at most")
    x = VALUES[name](rng, shape)
    y, cache = maxpool2d.forward(x, kernel, **options)
    dy = rng.standard_normal(y.shape)
    renamed = {"ceil_mode" if key == "ceil" else key: value for key, value in options.items()}
    expected, dx = by_torch(
        lambda torch, x: torch.nn.functional.max_pool2d(x, kernel, **renamed), dy, x
    )
    agree(y, expected)
    agree(maxpool2d.backward(dy, cache), dx)


def test_the_first_of_equals_wins_in_row_major_order():
    x = np.array([[[[1.0, 5.0], [5.0, 5.0]]]])
    y, cache = maxpool2d.forward(x, 2)
    assert cache.switches.tolist() == [[[[1]]]]
    assert maxpool2d.backward(y, cache).tolist() == [[[[0, 5], [0, 0]]]]


def test_a_switch_never_points_at_the_padding():
    _, cache = maxpool2d.forward(np.full((1, 1, 4, 4), -1e30), 3, stride=2, padding=1, ceil=True)
    dx = maxpool2d.backward(np.ones(cache.switches.shape), cache)
    assert dx.sum() == cache.switches.size


def test_a_window_of_more_than_256_pixels_has_wide_switches(rng):
    x = np.zeros((1, 2, 17, 16))
    x[0, 0, 16, 15] = x[0, 1, 16, 3] = 1
    y, cache = maxpool2d.forward(x, (17, 16))
    assert cache.switches.dtype == np.uint16
    assert cache.switches.ravel().tolist() == [271, 259]
    np.testing.assert_array_equal(maxpool2d.backward(y, cache), x)


def test_channels_last_in_memory_stays(rng):
    x = stored(rng.standard_normal((2, 3, 4, 6)), ("float32", "channels-last"))
    y, cache = maxpool2d.forward(x, 2)
    assert is_channels_last(y)
    assert is_channels_last(cache.switches)
    assert is_channels_last(maxpool2d.backward(y, cache))


def test_zero_windows():
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 3, 3] = 1
    assert unpool.zero_windows(maxpool2d.forward(x, 2)[0]) == 3


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((1, 1, 4, 4), {"padding": 3}, "must be smaller than the window"),
        ((1, 1, 2, 4), {}, "does not fit into 2 px"),
    ],
    ids=["padding", "too-small"],
)
def test_impossible_windows(shape, options, words):
    with pytest.raises(MinicnnError, match=words):
        maxpool2d.forward(np.zeros(shape), 3, **options)


def test_unknown_overlap_rule():
    y, cache = maxpool2d.forward(np.zeros((1, 1, 4, 4)), 2)
    with pytest.raises(MinicnnError, match="'mean'; the rules are sum, max, overwrite"):
        unpool.unpool(y, cache, overlap="mean")
