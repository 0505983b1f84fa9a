import naive
import pytest
from op_testing import MEMORY, agree, by_torch, stored

from minicnn.gradcheck import checks
from minicnn.ops import conv2d, linear

SHAPES = {"3x7-to-5": (3, 7, 5), "one-row": (1, 4, 6), "one-unit": (4, 5, 1), "square": (3, 3, 3)}
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def draw(rng, shape, memory=("float64", "contiguous")):
    N, D, K = shape
    return [stored(rng.standard_normal(s), memory) for s in ((N, D), (K, D), (K,), (N, K))]


@shapes
@pytest.mark.parametrize("memory", MEMORY)
def test_is_the_loop(rng, shape, memory):
    if "flipped" in memory or "channels-last" in memory:
        memory = (memory[0], "every-second")  # the bias has one axis only
    x, w, b, dy = draw(rng, shape, memory)
    y, cache = linear.forward(x, w, b)
    agree(y, naive.linear(x, w, b), memory[0])
    assert cache is x
    dx, dw, db = naive.linear_backward(dy, x, w)
    agree(linear.backward_data(dy, w), dx, memory[0])
    agree(linear.backward_params(dy, cache)[0], dw, memory[0])
    agree(linear.backward_params(dy, cache)[1], db, memory[0])


@shapes
def test_torch(rng, shape):
    x, w, b, dy = draw(rng, shape)
    y, dx, dw, db = by_torch(lambda torch, *a: torch.nn.functional.linear(*a), dy, x, w, b)
    agree(linear.forward(x, w, b)[0], y)
    agree(linear.backward_data(dy, w), dx)
    agree(linear.backward_params(dy, x)[0], dw)
    agree(linear.backward_params(dy, x)[1], db)


@pytest.mark.smoke
@shapes
def test_adjoint(rng, shape):
    x, w, _, _ = draw(rng, shape)
    error = checks.check_adjoint(
        lambda x: linear.forward(x, w)[0], lambda y: linear.backward_data(y, w), x.shape, rng
    )
    assert error < 1e-12


def test_flattened_in_the_order_c_h_w_it_is_a_convolution_of_the_whole_map(rng):
    x, w, b = (rng.standard_normal(shape) for shape in ((2, 3, 4, 5), (6, 3, 4, 5), 6))
    y, _ = linear.forward(x.reshape(2, -1), w.reshape(6, -1), b)
    agree(y, conv2d.forward(x, w, b)[0][:, :, 0, 0])
