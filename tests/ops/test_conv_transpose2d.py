import naive
import numpy as np
import pytest
from op_testing import MEMORY, agree, by_torch, stored

from minicnn.errors import MinicnnError
from minicnn.gradcheck import checks
from minicnn.ops import conv2d, conv_transpose2d

# name: x (N, C, H, W), w (C, K/groups, R, S), (P, Q), options
CASES = {
    "1x1": ((2, 3, 4, 5), (3, 4, 1, 1), (4, 5), {}),
    "3x3": ((1, 2, 4, 3), (2, 3, 3, 3), (6, 5), {}),
    "3x3-padded": ((2, 3, 5, 4), (3, 2, 3, 3), (5, 4), {"padding": 1}),
    "2x5-kernel": ((1, 2, 3, 4), (2, 3, 2, 5), (4, 4), {"padding": (0, 2)}),
    "stride-2": ((2, 2, 3, 4), (2, 3, 3, 3), (5, 7), {"stride": 2, "padding": 1}),
    "stride-2-extra": ((2, 2, 3, 4), (2, 3, 3, 3), (6, 8), {"stride": 2, "padding": 1}),
    "strides-differ-extra": ((1, 2, 3, 2), (2, 2, 3, 2), (9, 4), {"stride": (3, 2)}),
    "stride-beyond-the-kernel": ((1, 2, 2, 3), (2, 2, 2, 1), (8, 9), {"stride": (4, 3)}),
    "dilated": ((1, 2, 4, 3), (2, 2, 3, 2), (8, 6), {"dilation": (2, 3)}),
    "2-groups": ((2, 4, 3, 4), (4, 3, 3, 2), (5, 5), {"groups": 2}),
    "depthwise": ((1, 4, 3, 3), (4, 1, 3, 3), (6, 5), {"groups": 4, "stride": 2, "padding": 1}),
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
memories = pytest.mark.parametrize("memory", MEMORY)


def draw(rng, case, memory=("float64", "contiguous")):
    x_shape, w_shape, size, options = case
    outputs = w_shape[1] * options.get("groups", 1)
    x, w, b = (rng.standard_normal(shape) for shape in (x_shape, w_shape, outputs))
    dy = rng.standard_normal((x_shape[0], outputs, *size))
    x, w, dy = (stored(a, memory) for a in (x, w, dy))
    return x, w, b.astype(x.dtype), dy, size, options


@cases
@memories
def test_forward_is_the_loop(rng, case, memory):
    x, w, b, dy, size, options = draw(rng, case, memory)
    y, cache = conv_transpose2d.forward(x, w, b, output_size=size, **options)
    agree(y, naive.conv_transpose2d(x, w, b, dy.shape, **options), memory[0])
    assert cache is x


@cases
@memories
def test_backward_is_the_loop_of_the_convolution(rng, case, memory):
    x, w, _, dy, _, options = draw(rng, case, memory)
    dx = conv_transpose2d.backward_data(dy, w, **options)
    agree(dx, naive.conv2d(dy, w, **options), memory[0])
    dw, db = conv_transpose2d.backward_params(dy, x, w.shape, **options)
    agree(dw, naive.conv2d_backward_params(x, dy, w.shape, **options)[0], memory[0])
    agree(db, dy.astype(float).sum((0, 2, 3)), memory[0])


@cases
def test_gradients(rng, case):
    x, w, b, _, size, options = draw(rng, case)
    errors = checks.check_params(
        lambda p: conv_transpose2d.forward(**p, output_size=size, **options)[0],
        lambda dy, p: {
            "x": conv_transpose2d.backward_data(dy, p["w"], **options),
            **dict(
                zip(
                    "wb",
                    conv_transpose2d.backward_params(dy, p["x"], w.shape, **options),
                    strict=True,
                )
            ),
        },
        {"x": x, "w": w, "b": b},
        rng,
    )
    assert max(errors.values()) < 1e-6, errors


@pytest.mark.smoke
@cases
def test_it_is_the_adjoint_of_the_convolution(rng, case):
    _, w, _, dy, size, options = draw(rng, case)
    error = checks.check_adjoint(
        lambda picture: conv2d.forward(picture, w, **options)[0],
        lambda x: conv_transpose2d.forward(x, w, output_size=size, **options)[0],
        dy.shape,
        rng,
    )
    assert error < 1e-12


@cases
def test_torch(rng, case):
    x, w, b, dy, size, options = draw(rng, case)
    smallest = conv_transpose2d.forward(x, w, **options)[0].shape[2:]
    extra = tuple(size[i] - smallest[i] for i in (0, 1))
    y, dx, dw, db = by_torch(
        lambda torch, x, w, b: torch.nn.functional.conv_transpose2d(
            x, w, b, output_padding=extra, **options
        ),
        dy, x, w, b,
    )  # fmt: skip
    agree(conv_transpose2d.forward(x, w, b, output_padding=extra, **options)[0], y)
    agree(conv_transpose2d.backward_data(dy, w, **options), dx)
    our_dw, our_db = conv_transpose2d.backward_params(dy, x, w.shape, **options)
    agree(our_dw, dw)
    agree(our_db, db)


def test_the_size_is_stored_because_it_cannot_be_guessed(rng):
    w = rng.standard_normal((2, 3, 3, 3))
    for size in (7, 8):  # both give 4 x 4 maps under a stride of 2
        x, _ = conv2d.forward(np.zeros((1, 3, size, size)), w, stride=2, padding=1)
        assert x.shape == (1, 2, 4, 4)
        y, _ = conv_transpose2d.forward(x, w, stride=2, padding=1, output_size=(size, size))
        assert y.shape == (1, 3, size, size)


@pytest.mark.parametrize(
    "wrong",
    [
        {"output_size": (9, 8)},
        {"output_size": (6, 7)},
        {"output_padding": 2},
        {"output_padding": (0, -1)},
        {"padding": 6},
    ],
    ids=["too-large", "too-small", "extra-beyond-the-stride", "negative-extra", "nothing-left"],
)
def test_impossible_sizes(wrong):
    options = {"stride": 2, "padding": 1, **wrong}
    with pytest.raises(MinicnnError, match="must lead back"):
        conv_transpose2d.forward(np.zeros((1, 2, 4, 4)), np.zeros((2, 3, 3, 3)), **options)


def test_wrong_channels():
    with pytest.raises(MinicnnError, match="check channels"):
        conv_transpose2d.forward(np.zeros((1, 3, 4, 4)), np.zeros((2, 3, 3, 3)))
