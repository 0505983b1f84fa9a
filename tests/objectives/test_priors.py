"""Total variation and the alpha-norm: by loops, differences, torch, and what they must not see."""

from functools import partial

import numpy as np
import pytest
from op_testing import LAYOUTS, MEMORY, agree, is_channels_last, stored

from minicnn.errors import MinicnnError
from minicnn.objectives.priors import alpha_norm, tv, tv_absolute, tv_beta, tv_neural_style

PRIORS = {
    "tv": tv,
    "beta 1": partial(tv_beta, beta=1),
    "beta 1.5": partial(tv_beta, beta=1.5),
    "beta 2": partial(tv_beta, beta=2),
    "beta 3": partial(tv_beta, beta=3.0),
    "neural-style": tv_neural_style,
    "absolute": tv_absolute,
    "alpha 1": partial(alpha_norm, alpha=1),
    "alpha 2": partial(alpha_norm, alpha=2),
    "alpha 6": alpha_norm,
}
SHAPES = {
    "wide": (1, 3, 4, 7),
    "batch": (2, 1, 5, 3),
    "row": (1, 2, 1, 6),
    "column": (1, 2, 6, 1),
    "pixel": (1, 3, 1, 1),
}
every_prior = pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def tv_by_loops(x, beta):
    total = 0.0
    for n, c, i, j in np.ndindex(x.shape):
        down = x[n, c, i + 1, j] - x[n, c, i, j] if i + 1 < x.shape[2] else 0.0
        right = x[n, c, i, j + 1] - x[n, c, i, j] if j + 1 < x.shape[3] else 0.0
        total += (down**2 + right**2) ** (beta / 2)
    return total


@shapes
@every_prior
def test_gradient_by_central_differences_in_every_pixel(prior, shape, rng):
    x = rng.standard_normal(shape)
    _, gradient = prior(x)
    expected, h = np.empty(shape), 1e-6
    for index in np.ndindex(shape):
        step = np.zeros(shape)
        step[index] = h
        expected[index] = (prior(x + step)[0] - prior(x - step)[0]) / (2 * h)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.smoke
@shapes
@pytest.mark.parametrize("beta", [1, 1.5, 2, 3])
def test_tv_by_loops(beta, shape, rng):
    x = rng.standard_normal(shape)
    expected = tv_by_loops(x, beta)
    assert tv_beta(x, beta, "sum")[0] == pytest.approx(expected)
    assert tv_beta(x, beta)[0] == pytest.approx(expected / x[0].size)


@shapes
def test_tv_neural_style_by_loops(shape, rng):
    x = rng.standard_normal(shape)
    expected = 0.0
    for n, c, i, j in np.ndindex(shape[0], shape[1], shape[2] - 1, shape[3] - 1):
        down, right = x[n, c, i + 1, j] - x[n, c, i, j], x[n, c, i, j + 1] - x[n, c, i, j]
        expected += (down**2 + right**2) / 2
    assert tv_neural_style(x)[0] == pytest.approx(expected)


def test_tv_neural_style_gradient_is_that_of_the_program(rng):
    # its Lua code, in array form: the gradient that it adds
    x = rng.standard_normal((1, 3, 5, 6))
    down = x[:, :, 1:, :-1] - x[:, :, :-1, :-1]
    right = x[:, :, :-1, 1:] - x[:, :, :-1, :-1]
    expected = np.zeros_like(x)
    expected[:, :, :-1, :-1] -= down + right
    expected[:, :, 1:, :-1] += down
    expected[:, :, :-1, 1:] += right
    agree(tv_neural_style(x)[1], expected)


@shapes
def test_tv_absolute_is_that_of_the_program(shape, rng):
    torch = pytest.importorskip("torch")
    x = torch.tensor(rng.standard_normal(shape), requires_grad=True)
    value = (x[:, :, 1:] - x[:, :, :-1]).abs().sum() + (x[..., 1:] - x[..., :-1]).abs().sum()
    got, gradient = tv_absolute(x.detach().numpy())
    assert got == pytest.approx(float(value.detach()))
    agree(gradient, torch.autograd.grad(value, x)[0].numpy())


@pytest.mark.parametrize("beta", [1, 1.5])
def test_tv_by_torch(beta, rng):
    torch = pytest.importorskip("torch")
    x = torch.tensor(rng.standard_normal((2, 3, 5, 6)), requires_grad=True)
    pad = torch.nn.functional.pad
    down = pad(x[:, :, 1:] - x[:, :, :-1], (0, 0, 0, 1))
    right = pad(x[..., 1:] - x[..., :-1], (0, 1))
    # the last pixel has no neighbour: torch would divide by 0 there
    v = down**2 + right**2
    flat = torch.zeros_like(v, dtype=torch.bool)
    flat[:, :, -1, -1] = True
    value = torch.where(flat, 0, torch.where(flat, 1, v) ** (beta / 2)).sum()
    (slope,) = torch.autograd.grad(value, x)
    got, gradient = tv_beta(x.detach().numpy(), beta, "sum")
    assert got == pytest.approx(float(value.detach()))
    agree(gradient, slope.numpy())


@pytest.mark.parametrize("name", ["tv", "beta 1", "beta 1.5", "beta 3", "neural-style", "absolute"])
def test_tv_does_not_see_a_constant_and_is_the_same_for_rows_and_columns(name, rng):
    prior = PRIORS[name]
    flat = np.full((1, 3, 4, 5), 7.0) + np.arange(3).reshape(1, 3, 1, 1)  # a colour
    value, gradient = prior(flat)
    assert value == 0
    assert not gradient.any()
    x = rng.standard_normal((1, 3, 4, 5))
    assert prior(x + flat)[0] == pytest.approx(prior(x)[0])
    assert prior(x.transpose(0, 1, 3, 2))[0] == pytest.approx(prior(x)[0])
    parts = [prior(x[:, c : c + 1])[0] for c in range(3)]
    total = sum(parts) / (1 if prior in (tv_neural_style, tv_absolute) else 3)
    assert prior(x)[0] == pytest.approx(total)  # per channel


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("beta", [1, 1.5])
def test_flat_and_almost_flat_pixels_have_a_finite_gradient(beta, dtype):
    x = np.zeros((1, 1, 3, 6), dtype)
    x[0, 0, :, 3:] = 1
    x[0, 0, 1, 1] = 1e-18
    x[0, 0, 1, 5] += 1e-30
    value, gradient = tv_beta(x, beta, "sum")
    assert value == pytest.approx(3)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() <= 4 * beta


@every_prior
@pytest.mark.parametrize("memory", MEMORY)
def test_layouts_and_dtypes(prior, memory, rng):
    x = rng.standard_normal((2, 3, 4, 6))
    value, gradient = prior(x)
    got, slope = prior(stored(x, memory))
    assert isinstance(got, float)
    assert got == pytest.approx(value, rel=1e-13 if memory[0] == "float64" else 1e-5)
    agree(slope, gradient, memory[0])


@every_prior
def test_gradient_keeps_channels_last_memory(prior, rng):
    assert is_channels_last(prior(LAYOUTS["channels-last"](rng.standard_normal((1, 3, 4, 6))))[1])


@every_prior
def test_the_mean_keeps_its_meaning_and_batches_add_up(prior, rng):
    x = rng.standard_normal((2, 3, 4, 6))
    total, gradient = prior(x, normalisation="sum")
    mean, small = prior(x, normalisation="mean")
    assert mean == pytest.approx(total / 72)
    agree(small, gradient / 72)
    assert total == pytest.approx(sum(prior(one[None], normalisation="sum")[0] for one in x))


def test_alpha_norm_at_zero(rng):
    x = np.zeros((1, 1, 2, 2))
    for alpha in (1, 1.5, 2, 6):
        value, gradient = alpha_norm(x, alpha)
        assert value == 0
        assert not gradient.any()


def test_tv_against_the_recorded_gradient_of_a_real_picture(shared_data):
    h5py = pytest.importorskip("h5py")
    folder = shared_data / "squeezenet"
    with h5py.File(folder / "squeezenet_v1.0_oracle.h5") as file:
        rgb = file["input_rgb_uint8"][1]
    with h5py.File(folder / "squeezenet_v1.0_oracle_grads.h5") as file:
        setup = file["style_transfer"]
        expected, value = setup["grad_tv"][:], setup.attrs["loss_tv"]
    bgr = rgb[66:162, 66:162, ::-1].astype(np.float32) - np.float32([104, 117, 123])
    got, gradient = tv(bgr.transpose(2, 0, 1)[None], "sum")
    assert got == value
    np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: tv(x, "max"), "no normalisation 'max' of an image prior; use mean or sum"),
        (lambda x: tv_beta(x, 0.5), "TV exponent beta = 0.5"),
        (lambda x: tv_beta(x, float("nan")), "TV exponent beta = nan"),
        (lambda x: alpha_norm(x, 0), "alpha-norm with alpha = 0"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(MinicnnError, match=message):
        call(np.ones((1, 1, 2, 2)))
