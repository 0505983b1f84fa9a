import naive
import numpy as np
import pytest
from op_testing import MEMORY, agree, by_torch, stored

from minicnn.errors import MinicnnError
from minicnn.gradcheck import checks
from minicnn.ops import softmax

shapes = pytest.mark.parametrize("shape", [(4, 6), (1, 3), (5, 2), (3, 1)], ids=str)
smoothings = pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
# the last two axes are flipped or spread in memory; there are but two
memories = pytest.mark.parametrize("memory", MEMORY)


@shapes
@memories
def test_is_the_loop(rng, shape, memory):
    x, dy = (stored(3 * rng.standard_normal(shape), memory) for _ in "xy")
    p, cache = softmax.forward(x)
    agree(p, naive.softmax(x), memory[0])
    assert cache is p
    expected = naive.softmax_backward(dy, naive.softmax(x))
    agree(softmax.backward(dy, p), expected if shape[1] > 1 else 0 * expected, memory[0])


@shapes
@memories
@smoothings
def test_cross_entropy_is_the_loop(rng, shape, memory, smoothing):
    x = stored(3 * rng.standard_normal(shape), memory)
    labels = rng.integers(shape[1], size=shape[0])
    loss, cache = softmax.cross_entropy(x, labels, smoothing=smoothing)
    assert isinstance(loss, float)
    expected = naive.cross_entropy(x, labels, smoothing=smoothing)
    assert loss == pytest.approx(expected, rel=1e-6, abs=1e-7)
    assert softmax.cross_entropy_backward(cache).dtype == memory[0]


@shapes
def test_gradient(rng, shape):
    error = checks.check_vjp(
        lambda x: softmax.forward(x)[0],
        lambda dy, x: softmax.backward(dy, softmax.forward(x)[1]),
        rng.standard_normal(shape),
        rng,
    )
    assert error < 1e-6


@pytest.mark.smoke
@pytest.mark.parametrize("shape", [(4, 6), (1, 3), (5, 2)], ids=str)
@smoothings
def test_gradient_of_the_cross_entropy(rng, shape, smoothing):
    labels = rng.integers(shape[1], size=shape[0])

    def forward(x):
        return softmax.cross_entropy(x, labels, smoothing=smoothing)

    error = checks.check_vjp(
        lambda x: forward(x)[0],
        lambda dy, x: dy * softmax.cross_entropy_backward(forward(x)[1]),
        rng.standard_normal(shape),
        rng,
    )
    assert error < 1e-6


@shapes
def test_torch(rng, shape):
    x, dy = rng.standard_normal(shape), rng.standard_normal(shape)
    p, dx = by_torch(lambda torch, x: torch.softmax(x, 1), dy, x)
    agree(softmax.forward(x)[0], p)
    np.testing.assert_allclose(softmax.backward(dy, softmax.forward(x)[1]), dx, atol=1e-15)


@shapes
@smoothings
def test_torch_cross_entropy(rng, shape, smoothing):
    x, labels = rng.standard_normal(shape), rng.integers(shape[1], size=shape[0])
    expected, dx = by_torch(
        lambda torch, x: torch.nn.functional.cross_entropy(
            x, torch.tensor(labels), label_smoothing=smoothing
        ),
        np.ones(()),
        x,
    )
    loss, cache = softmax.cross_entropy(x, labels, smoothing=smoothing)
    assert loss == pytest.approx(float(expected), rel=1e-13, abs=1e-15)
    np.testing.assert_allclose(softmax.cross_entropy_backward(cache), dx, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scores_of_any_size_neither_overflow_nor_give_nan(dtype):
    x = np.array([[1e4, 0, -1e4], [1e38, 1e38, -1e38], [-1e30, -1e30, -1e30]], dtype)
    p, _ = softmax.forward(x)
    np.testing.assert_allclose(p, [[1, 0, 0], [0.5, 0.5, 0], [1 / 3] * 3], rtol=1e-6)
    loss, cache = softmax.cross_entropy(x[:1], np.array([1]))
    assert loss == 1e4
    np.testing.assert_allclose(softmax.cross_entropy_backward(cache), [[1, -1, 0]])


def test_a_constant_added_to_a_row_cancels(rng):
    x = rng.standard_normal((3, 5))
    np.testing.assert_allclose(softmax.forward(x + 100)[0], softmax.forward(x)[0], rtol=1e-12)


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0]])
def test_a_label_that_is_no_class(labels):
    with pytest.raises(MinicnnError, match="for 3 classes; use 0 to 2"):
        softmax.cross_entropy(np.zeros((2, 3)), np.array(labels))
