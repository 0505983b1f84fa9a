"""Wrong gradients of the transposed convolution."""

from minicnn.gradcheck.exercise import Exercise, Mistake, Point
from minicnn.gradcheck.zoo.convolution import BIAS, WINDOWS
from minicnn.ops import conv_transpose2d

TRANSPOSED = "ops/conv_transpose2d.py"


def _points(rng):
    for name, x_shape, w_shape, options in [
        ("3x2, no padding", (2, 3, 4, 6), (3, 4, 3, 2), {}),
        ("3x3, padding 1", (2, 3, 5, 6), (3, 3, 3, 3), {"padding": 1}),
        ("2x3, strides 2, 3", (2, 2, 3, 4), (2, 3, 2, 3), {"stride": (2, 3)}),
        ("3x3, stride 2, padding 1, 0", (1, 2, 3, 4), (2, 3, 3, 3),
         {"stride": 2, "padding": (1, 0)}),
        ("dilation 2", (1, 2, 3, 4), (2, 3, 3, 2), {"dilation": 2}),
        ("2 groups", (2, 4, 3, 4), (4, 3, 2, 3), {"groups": 2}),
    ]:  # fmt: skip
        options = {**WINDOWS, **options}
        K = w_shape[1] * options["groups"]
        x, w, b = (rng.standard_normal(shape) for shape in (x_shape, w_shape, K))
        yield Point(name, {"x": x, "w": w, "b": b}, options)


def _forward(x, w, b=None, **options):
    return conv_transpose2d.forward(x, w, b, **options)[0]


def _back(dy, point):
    x, w, options = point.inputs["x"], point.inputs["w"], point.options
    dw, db = conv_transpose2d.backward_params(dy, x, w.shape, **options)
    return {"x": conv_transpose2d.backward_data(dy, w, **options), "w": dw, "b": db}


def _again(dy, point):
    """The transposed convolution where the convolution belongs."""
    w = point.inputs["w"]
    if w.shape[0] != w.shape[1]:
        return None
    return conv_transpose2d.forward(dy, w, **point.options)[0]


def _first_windows(dy, point):
    H, W = point.inputs["x"].shape[2:]
    options = {**point.options, "stride": 1}
    return conv_transpose2d.backward_data(dy, point.inputs["w"], **options)[:, :, :H, :W]


MISTAKES = [
    Mistake("kernel flipped", "x", lambda dy, point: conv_transpose2d.backward_data(
                dy, point.inputs["w"][:, :, ::-1, ::-1], **point.options),
            "The way back of a transposed convolution is the plain convolution, with the kernel as "
            f"it stands; you turn it by 180 degrees. {TRANSPOSED}, backward_data."),
    Mistake("transposed a second time", "x", _again,
            "You apply the transposed convolution to dy. The transpose of a transpose is the map "
            f"itself: dx is the plain convolution of dy. {TRANSPOSED}: y = Aᵀ x, dx = A dy."),
    Mistake("stride forgotten", "x", _first_windows,
            "dx[p] reads the window of dy that starts at p u, you read the one at p. "
            f"{TRANSPOSED}, backward_data."),
    Mistake("weights in the order of conv2d", "w",
            lambda dy, point: _back(dy, point)["w"].swapaxes(0, 1),
            "Here the input channels come first, w is (C, K, R, S): your dw is (K, C, R, S). "
            f"{TRANSPOSED}, its last paragraph."),
    *BIAS,
]  # fmt: skip


EXERCISES = {
    "conv_transpose2d": Exercise(
        _forward, _back, _points, MISTAKES, TRANSPOSED, ("x", "w"), WINDOWS
    ),
}
