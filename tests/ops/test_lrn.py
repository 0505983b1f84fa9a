import naive
import numpy as np
import pytest
from op_testing import MEMORY, agree, by_torch, is_channels_last, stored

from minicnn.gradcheck import checks
from minicnn.ops import lrn

# name: x (N, C, H, W), options; alpha large enough for the second term of the gradient to matter
CASES = {
    "alexnet": ((2, 8, 3, 4), {"alpha": 1.0, "k": 2.0}),
    "caffe-defaults": ((1, 7, 4, 3), {}),
    "three-wide": ((2, 5, 2, 3), {"size": 3, "alpha": 3.0, "beta": 0.5}),
    "even-window": ((1, 6, 3, 2), {"size": 4, "alpha": 2.0, "beta": 1.5}),
    "one-wide": ((1, 3, 2, 2), {"size": 1, "alpha": 1.0}),
    "wider-than-the-channels": ((2, 3, 2, 3), {"size": 9, "alpha": 4.0}),
    "one-channel": ((2, 1, 3, 2), {"alpha": 2.0}),
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@cases
@pytest.mark.parametrize("memory", MEMORY)
def test_is_the_loop(rng, case, memory):
    shape, options = case
    x, dy = (stored(rng.standard_normal(shape), memory) for _ in "xy")
    y, cache = lrn.forward(x, **options)
    agree(y, naive.lrn(x, **options)[0], memory[0])
    agree(lrn.backward(dy, cache), naive.lrn_backward(dy, x, **options), memory[0])


@pytest.mark.smoke
@cases
def test_gradient(rng, case):
    shape, options = case
    error = checks.check_vjp(
        lambda x: lrn.forward(x, **options)[0],
        lambda dy, x: lrn.backward(dy, lrn.forward(x, **options)[1]),
        rng.standard_normal(shape),
        rng,
    )
    assert error < 1e-6


@cases
def test_torch(rng, case):
    shape, options = case
    options = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 1.0, **options}
    x, dy = rng.standard_normal(shape), rng.standard_normal(shape)
    y, dx = by_torch(lambda torch, x: torch.nn.functional.local_response_norm(x, **options), dy, x)
    agree(lrn.forward(x, **options)[0], y)
    agree(lrn.backward(dy, lrn.forward(x, **options)[1]), dx)


def test_the_paper_s_constants_are_alpha_5e_4_here(rng):
    x = 20 * rng.standard_normal((1, 9, 1, 1))
    windows = [(x[0, max(0, c - 2) : c + 3] ** 2).sum() for c in range(9)]
    expected = x.ravel() / (2 + 1e-4 * np.array(windows)) ** 0.75
    agree(lrn.forward(x, size=5, alpha=5e-4, k=2)[0].ravel(), expected)


def test_channels_last_in_memory_stays(rng):
    x = stored(rng.standard_normal((2, 6, 4, 3)), ("float32", "channels-last"))
    y, cache = lrn.forward(x)
    assert is_channels_last(y)
    assert is_channels_last(lrn.backward(x, cache))
