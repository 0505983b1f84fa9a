import naive
import numpy as np
import pytest
from op_testing import MEMORY, agree, by_torch, stored

from minicnn.gradcheck import checks
from minicnn.ops import column_strips
from minicnn.ops.im2col import col2im, im2col
from minicnn.ops.pad import crop, pad

# name: x (N, C, H, W), kernel, options
CASES = {
    "2x2": ((2, 2, 4, 5), 2, {}),
    "2x3-padded": ((1, 3, 5, 4), (2, 3), {"padding": (1, 2)}),
    "strides-not-dividing": ((2, 2, 8, 6), (3, 2), {"stride": (2, 3)}),
    "stride-beyond-the-kernel": ((1, 2, 9, 7), (2, 1), {"stride": (4, 3)}),
    "dilated": ((1, 2, 7, 8), (3, 2), {"dilation": (2, 3), "padding": 1, "stride": 2}),
    "whole-picture": ((2, 1, 3, 4), (3, 4), {}),
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
memories = pytest.mark.parametrize("memory", MEMORY)


@cases
@memories
def test_im2col_is_the_loop(rng, case, memory):
    shape, kernel, options = case
    x = stored(rng.standard_normal(shape), memory)
    agree(im2col(x, kernel, **options), naive.im2col(x, kernel, **options), memory[0])


@pytest.mark.smoke
@cases
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_col2im_is_the_loop(rng, case, dtype):
    shape, kernel, options = case
    cols = rng.standard_normal(im2col(np.zeros(shape), kernel, **options).shape).astype(dtype)
    cols.flags.writeable = False
    agree(col2im(cols, shape, **options), naive.col2im(cols, shape, **options), dtype)


@pytest.mark.smoke
@cases
def test_adjoint(rng, case):
    shape, kernel, options = case
    error = checks.check_adjoint(
        lambda x: im2col(x, kernel, **options), lambda c: col2im(c, shape, **options), shape, rng
    )
    assert error < 1e-12


@cases
def test_torch(rng, case):
    shape, kernel, options = case
    x = rng.standard_normal(shape)
    cols = im2col(x, kernel, **options)
    dcols = rng.standard_normal(cols.shape)

    def unfold(torch, x):
        return torch.nn.functional.unfold(x, kernel, **options).reshape(cols.shape)

    expected, dx = by_torch(unfold, dcols, x)
    agree(cols, expected)
    agree(col2im(dcols, shape, **options), dx)


WINDOWS = {"stride": (2, 1), "dilation": (1, 2)}


def test_a_strip_of_rows_is_a_part_of_the_columns(rng):
    x = rng.standard_normal((2, 3, 9, 8))
    everything = im2col(x, (2, 3), **WINDOWS)
    strip = column_strips.read(x, (2, 3), slice(1, 3), everything.shape[5], **WINDOWS)
    np.testing.assert_array_equal(strip, everything[..., 1:3, :])


def test_strips_add_up(rng):
    shape = (2, 3, 9, 8)
    cols = rng.standard_normal(im2col(np.zeros(shape), (2, 3), **WINDOWS).shape)
    dx = np.zeros(shape)
    column_strips.add_back(dx, cols[..., :1, :], slice(0, 1), **WINDOWS)
    column_strips.add_back(dx, cols[..., 1:, :], slice(1, cols.shape[4]), **WINDOWS)
    agree(dx, col2im(cols, shape, **WINDOWS))


def test_crop_undoes_pad(rng):
    x = rng.standard_normal((1, 2, 3, 4))
    padded = pad(x, (2, 1), value=7)
    assert padded.shape == (1, 2, 7, 6)
    assert (padded[:, :, :2] == 7).all()
    np.testing.assert_array_equal(crop(padded, (2, 1)), x)
    assert pad(x, 0) is x
