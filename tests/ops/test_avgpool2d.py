import naive
import numpy as np
import pytest
from op_testing import MEMORY, agree, by_torch, is_channels_last, stored

from minicnn.errors import MinicnnError
from minicnn.gradcheck import checks
from minicnn.ops import avgpool2d, conv2d

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
    "stride-beyond-the-kernel": ((1, 2, 8, 9), 2, {"stride": (3, 4)}),
    "whole-picture": ((2, 3, 4, 5), (4, 5), {}),
    "one-pixel": ((1, 1, 1, 1), 1, {}),
}
# torch refuses a padding of more than half the window
WIDE_PADDING = {"wide-padding": ((1, 2, 3, 4), 4, {"stride": 3, "padding": (3, 2), "ceil": True})}
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
all_cases = pytest.mark.parametrize(
    "case", {**CASES, **WIDE_PADDING}.values(), ids={**CASES, **WIDE_PADDING}
)
counts = pytest.mark.parametrize("count", [True, False], ids=["counted", "not-counted"])
memories = pytest.mark.parametrize("memory", MEMORY)


@all_cases
@counts
@memories
def test_is_the_loop(rng, case, count, memory):
    shape, kernel, options = case
    x = stored(rng.standard_normal(shape), memory)
    y, cache = avgpool2d.forward(x, kernel, count_padding=count, **options)
    loop_y, weights = naive.avgpool2d(x, kernel, count_padding=count, **options)
    agree(y, loop_y, memory[0])
    dy = stored(rng.standard_normal(y.shape), memory)
    agree(avgpool2d.backward(dy, cache), naive.avgpool2d_backward(dy, weights), memory[0])


@pytest.mark.smoke
@all_cases
@counts
def test_gradient_and_adjoint(rng, case, count):
    shape, kernel, options = case
    options = {**options, "count_padding": count}

    def forward(x):
        return avgpool2d.forward(x, kernel, **options)[0]

    def backward(dy):
        return avgpool2d.backward(dy, avgpool2d.forward(np.zeros(shape), kernel, **options)[1])

    x = rng.standard_normal(shape)
    assert checks.check_vjp(forward, lambda dy, x: backward(dy), x, rng) < 1e-6
    assert checks.check_adjoint(forward, backward, shape, rng) < 1e-11


@cases
@counts
def test_torch(rng, case, count):
    shape, kernel, options = case
    x = rng.standard_normal(shape)
    y, cache = avgpool2d.forward(x, kernel, count_padding=count, **options)
    dy = rng.standard_normal(y.shape)
    renamed = {"ceil_mode" if key == "ceil" else key: value for key, value in options.items()}
    expected, dx = by_torch(
        lambda torch, x: torch.nn.functional.avg_pool2d(
            x, kernel, count_include_pad=count, **renamed
        ),
        dy,
        x,
    )
    agree(y, expected)
    agree(avgpool2d.backward(dy, cache), dx)


@memories
def test_without_a_kernel_it_is_the_mean_of_each_channel(rng, memory):
    x = stored(rng.standard_normal((2, 3, 5, 4)), memory)
    y, cache = avgpool2d.forward(x)
    agree(y, x.astype(float).mean((2, 3), keepdims=True), memory[0])
    dy = rng.standard_normal(y.shape).astype(memory[0])
    agree(avgpool2d.backward(dy, cache), np.broadcast_to(dy / 20, x.shape), memory[0])


def test_it_is_a_convolution_with_a_constant_filter(rng):
    x = rng.standard_normal((2, 3, 7, 6))
    w = np.full((3, 1, 2, 3), 1 / 6)
    y, _ = avgpool2d.forward(x, (2, 3), stride=(2, 1), padding=1)
    agree(y, conv2d.forward(x, w, stride=(2, 1), padding=1, groups=3)[0])


def test_a_constant_picture_stays_constant_where_padding_does_not_count():
    x = np.full((1, 1, 6, 5), 3.0)
    y, _ = avgpool2d.forward(x, 3, stride=2, padding=1, ceil=True, count_padding=False)
    np.testing.assert_allclose(y, 3)


def test_channels_last_in_memory_stays(rng):
    x = stored(rng.standard_normal((2, 3, 5, 6)), ("float32", "channels-last"))
    y, cache = avgpool2d.forward(x, 3, stride=2, padding=1, ceil=True)
    assert is_channels_last(y)
    assert is_channels_last(avgpool2d.backward(y, cache))


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((1, 1, 4, 4), {"padding": (0, 3)}, "must be smaller than the window"),
        ((1, 1, 2, 4), {}, "does not fit into 2 px"),
    ],
    ids=["padding", "too-small"],
)
def test_impossible_windows(shape, options, words):
    with pytest.raises(MinicnnError, match=words):
        avgpool2d.forward(np.zeros(shape), 3, **options)
