import naive
import numpy as np
import pytest
from op_testing import MEMORY, agree, by_torch, stored

from minicnn.errors import MinicnnError
from minicnn.gradcheck import checks
from minicnn.ops import column_strips, conv2d
from minicnn.ops.shapes import convolved

# name: x (N, C, H, W), w (K, C/groups, R, S), options
CASES = {
    "1x1": ((2, 3, 4, 5), (4, 3, 1, 1), {}),
    "3x3": ((1, 2, 6, 5), (3, 2, 3, 3), {}),
    "3x3-padded": ((2, 3, 5, 7), (2, 3, 3, 3), {"padding": 1}),
    "padding-beyond-the-kernel": ((1, 2, 3, 4), (2, 2, 2, 2), {"padding": (3, 2)}),
    "2x5-kernel": ((1, 2, 6, 9), (3, 2, 2, 5), {"padding": (0, 2)}),
    "stride-not-dividing": ((2, 2, 8, 9), (3, 2, 3, 3), {"stride": 2, "padding": 1}),
    "strides-differ": ((1, 2, 9, 8), (2, 2, 3, 2), {"stride": (3, 2), "padding": (1, 0)}),
    "stride-beyond-the-kernel": ((1, 2, 9, 7), (2, 2, 2, 1), {"stride": (4, 3)}),
    "dilated": ((1, 2, 9, 8), (2, 2, 3, 2), {"dilation": (2, 3), "padding": 1}),
    "dilated-and-strided": ((1, 2, 9, 9), (2, 2, 3, 3), {"dilation": 2, "stride": 2, "padding": 2}),
    "2-groups": ((2, 4, 5, 6), (6, 2, 3, 2), {"groups": 2}),
    "depthwise": ((1, 4, 6, 5), (4, 1, 3, 3), {"groups": 4, "padding": 1, "stride": 2}),
    "whole-picture": ((2, 2, 4, 3), (5, 2, 4, 3), {}),
    "one-pixel": ((1, 1, 1, 1), (1, 1, 1, 1), {}),
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
memories = pytest.mark.parametrize("memory", MEMORY)


def draw(rng, case, memory=("float64", "contiguous")):
    x_shape, w_shape, options = case
    x, w, b = (rng.standard_normal(shape) for shape in (x_shape, w_shape, w_shape[:1]))
    size = convolved(x_shape, w_shape, **options)
    dy = rng.standard_normal((x_shape[0], w_shape[0], *size))
    x, w, dy = (stored(a, memory) for a in (x, w, dy))
    return x, w, b.astype(x.dtype), dy, options


@cases
@memories
def test_forward_is_the_loop(rng, case, memory):
    x, w, b, _, options = draw(rng, case, memory)
    y, cache = conv2d.forward(x, w, b, **options)
    agree(y, naive.conv2d(x, w, b, **options), memory[0])
    assert cache is x


@cases
@memories
def test_backward_data_is_the_loop(rng, case, memory):
    x, w, _, dy, options = draw(rng, case, memory)
    dx = conv2d.backward_data(dy, w, x.shape, **options)
    agree(dx, naive.conv2d_backward_data(dy, w, x.shape, **options), memory[0])


@cases
@memories
def test_backward_params_is_the_loop(rng, case, memory):
    x, w, _, dy, options = draw(rng, case, memory)
    dw, db = conv2d.backward_params(dy, x, w.shape, **options)
    loop_dw, loop_db = naive.conv2d_backward_params(dy, x, w.shape, **options)
    agree(dw, loop_dw, memory[0])
    agree(db, loop_db, memory[0])


@pytest.mark.parametrize("budget", [1, 700, 2000])
@pytest.mark.parametrize("name", ["3x3-padded", "stride-not-dividing", "dilated", "2-groups"])
def test_strips_do_not_change_the_result(rng, monkeypatch, name, budget):
    x, w, b, dy, options = draw(rng, CASES[name])
    monkeypatch.setattr(column_strips, "STRIP_BYTES", budget)
    agree(conv2d.forward(x, w, b, **options)[0], naive.conv2d(x, w, b, **options))
    dx = conv2d.backward_data(dy, w, x.shape, **options)
    agree(dx, naive.conv2d_backward_data(dy, w, x.shape, **options))
    dw, db = conv2d.backward_params(dy, x, w.shape, **options)
    loop_dw, loop_db = naive.conv2d_backward_params(dy, x, w.shape, **options)
    agree(dw, loop_dw)
    agree(db, loop_db)


@pytest.mark.smoke
@cases
def test_gradients(rng, case):
    x, w, b, _, options = draw(rng, case)
    errors = checks.check_params(
        lambda p: conv2d.forward(p["x"], p["w"], p["b"], **options)[0],
        lambda dy, p: {
            "x": conv2d.backward_data(dy, p["w"], x.shape, **options),
            **dict(
                zip("wb", conv2d.backward_params(dy, p["x"], w.shape, **options), strict=True),
            ),
        },
        {"x": x, "w": w, "b": b},
        rng,
    )
    assert max(errors.values()) < 1e-6, errors


@pytest.mark.smoke
@cases
def test_backward_data_is_the_adjoint(rng, case):
    x, w, _, _, options = draw(rng, case)
    error = checks.check_adjoint(
        lambda x: conv2d.forward(x, w, **options)[0],
        lambda y: conv2d.backward_data(y, w, x.shape, **options),
        x.shape,
        rng,
    )
    assert error < 1e-12


@cases
def test_torch(rng, case):
    x, w, b, dy, options = draw(rng, case)
    y, dx, dw, db = by_torch(
        lambda torch, x, w, b: torch.nn.functional.conv2d(x, w, b, **options), dy, x, w, b
    )
    agree(conv2d.forward(x, w, b, **options)[0], y)
    agree(conv2d.backward_data(dy, w, x.shape, **options), dx)
    our_dw, our_db = conv2d.backward_params(dy, x, w.shape, **options)
    agree(our_dw, dw)
    agree(our_db, db)


def test_pixels_that_no_window_sees_have_no_gradient(rng):
    w = rng.standard_normal((1, 1, 2, 2))
    dx = conv2d.backward_data(np.ones((1, 1, 2, 2)), w, (1, 1, 6, 7), stride=3)
    assert not dx[:, :, 2].any()
    assert not dx[:, :, 5].any()
    assert not dx[..., 5:].any()


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "groups", "words"),
    [
        ((1, 4, 5, 5), (2, 3, 3, 3), 1, "takes 3 channels, the input has 4"),
        ((1, 4, 5, 5), (3, 2, 3, 3), 2, "2 group"),
        ((1, 3, 2, 5), (2, 3, 3, 3), 1, "does not fit into 2 px"),
    ],
    ids=["channels", "outputs-not-divisible", "too-small"],
)
def test_shapes_that_do_not_fit(x_shape, w_shape, groups, words):
    with pytest.raises(MinicnnError, match=words):
        conv2d.forward(np.zeros(x_shape), np.zeros(w_shape), groups=groups)
