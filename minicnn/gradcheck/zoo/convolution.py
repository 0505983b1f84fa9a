"""Wrong gradients of convolutions: conv2d, conv_transpose2d, im2col."""

import numpy as np

from minicnn.gradcheck.exercise import Exercise, Mistake, Point
from minicnn.ops import conv2d, conv_transpose2d, im2col
from minicnn.ops.pad import crop, pad
from minicnn.ops.shapes import pair

WINDOWS = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
CONV = "ops/conv2d.py"


def _convolution_points(rng):
    for name, x_shape, w_shape, options in [
        ("3x2, no padding", (2, 3, 6, 4), (4, 3, 3, 2), {}),
        ("3x3, padding 1", (2, 3, 7, 6), (3, 3, 3, 3), {"padding": 1}),
        ("2x3, strides 2, 3, padding 1, 2", (2, 2, 7, 5), (3, 2, 2, 3),
         {"stride": (2, 3), "padding": (1, 2)}),
        ("stride 2", (2, 3, 7, 4), (4, 3, 3, 2), {"stride": 2}),
        ("dilation 2", (1, 2, 7, 8), (3, 2, 3, 2), {"dilation": 2}),
        ("2 groups", (2, 4, 5, 6), (6, 2, 3, 3), {"groups": 2}),
    ]:  # fmt: skip
        x, w, b = (rng.standard_normal(shape) for shape in (x_shape, w_shape, w_shape[0]))
        yield Point(name, {"x": x, "w": w, "b": b}, {**WINDOWS, **options})


def _convolution(x, w, b=None, **options):
    return conv2d.forward(x, w, b, **options)[0]


def _convolution_back(dy, point):
    x, w, options = point.inputs["x"], point.inputs["w"], point.options
    dw, db = conv2d.backward_params(dy, x, w.shape, **options)
    return {"x": conv2d.backward_data(dy, w, x.shape, **options), "w": dw, "b": db}


def _dx(change):
    """A wrong dx: by other weights; `change` gives None where they do not fit."""

    def wrong(dy, point):
        x, w = point.inputs["x"], change(point.inputs["w"])
        if w is None or w.shape != point.inputs["w"].shape:
            return None
        return conv2d.backward_data(dy, w, x.shape, **point.options)

    return wrong


def _columns(dy, point, first=0):
    """Return the derivative by the columns, (N, C, R, S, P, Q), of outputs from the first one on.

    None with groups.
    """
    if point.options["groups"] > 1:
        return None
    return np.einsum("kcrs,nkpq->ncrspq", point.inputs["w"][first:], dy[:, first:])


def _put_back(columns, point, **changed):
    """Return dx of columns that are put back by other options; None where they do not fit."""
    if columns is None:
        return None
    options = {**point.options, **changed}
    dx_pad = np.zeros(pad(point.inputs["x"], options["padding"]).shape)
    for i, (u, d) in enumerate(
        zip(pair(options["stride"]), pair(options["dilation"]), strict=True)
    ):
        window, windows = columns.shape[2 + i], columns.shape[4 + i]
        if u * (windows - 1) + d * (window - 1) >= dx_pad.shape[2 + i]:
            return None
    im2col.add_columns(dx_pad, columns, stride=options["stride"], dilation=options["dilation"])
    return crop(dx_pad, options["padding"])


def _one_stride(columns, point):
    """Return dx of columns that are put back by the stride of the rows along both axes."""
    return _put_back(columns, point, stride=pair(point.options["stride"])[0])


def _overwritten(columns, x_shape, *, stride, padding, dilation, by_window=False):
    """col2im that assigns where it should add; of a loop over elements or over windows."""
    dx = np.zeros(np.shape(pad(np.empty(x_shape), padding)))
    (u, v), (d, e) = pair(stride), pair(dilation)
    R, S, P, Q = columns.shape[2:]
    # the last window that holds a pixel holds it at its first element
    for r, s in sorted(np.ndindex(R, S), reverse=by_window):
        rows, cols = slice(r * d, r * d + u * P, u), slice(s * e, s * e + v * Q, v)
        dx[:, :, rows, cols] = columns[:, :, r, s]
    (top, left), (H, W) = pair(padding), x_shape[2:]
    return dx[:, :, top : top + H, left : left + W]


def _dx_overwritten(by_window, first=0):
    def wrong(dy, point):
        columns = _columns(dy, point, first)
        if columns is None:
            return None
        windows = {key: point.options[key] for key in ("stride", "padding", "dilation")}
        return _overwritten(columns, point.inputs["x"].shape, by_window=by_window, **windows)

    return wrong


def _dx_padded(dy, point):
    """Return the dx of the padded picture; None where nothing is padded."""
    if not any(pair(point.options["padding"])):
        return None
    shape = pad(np.empty(point.inputs["x"].shape), point.options["padding"]).shape
    return conv2d.backward_data(dy, point.inputs["w"], shape, **{**point.options, "padding": 0})


def _cropped_behind(dy, point):
    (H, W), dx = point.inputs["x"].shape[2:], _dx_padded(dy, point)
    return None if dx is None else dx[:, :, :H, :W]


def _dw(dy, point, x=None, **changed):
    x = point.inputs["x"] if x is None else x
    return conv2d.backward_params(dy, x, point.inputs["w"].shape, **{**point.options, **changed})[0]


def _dw_of_the_last(pictures):
    """A wrong dw: of the last window of some pictures."""

    def wrong(dy, point):
        last = np.zeros_like(dy)
        last[pictures, :, -1, -1] = dy[pictures, :, -1, -1]
        return _dw(last, point)

    return wrong


def _dw_pad_forgotten(dy, point):
    """The windows start at the picture's corner, not at that of the padding."""
    x, (rows, cols) = point.inputs["x"], pair(point.options["padding"])
    behind = np.pad(x, ((0, 0), (0, 0), (0, 2 * rows), (0, 2 * cols)))
    return _dw(dy, point, behind, padding=0)


AXES = "db[k] is a sum over all pictures and positions of map k: sum dy over the axes (0, 2, 3)."
WRONG_AXES = [(0,), (0, 1), (2, 3), (1, 2, 3), (0, 2), (0, 3), (0, 1, 2), (0, 1, 3)]
BIAS = [
    *(
        Mistake("bias summed over the wrong axes", "b", lambda dy, _, axes=axes: dy.sum(axes),
                f"{AXES} You sum over {axes}. {CONV}, the line of db.")
        for axes in WRONG_AXES
    ),
    Mistake("bias averaged", "b", lambda dy, _: dy.mean((0, 2, 3)),
            f"You take a mean. {AXES} If a loss is a mean, dy has its 1/N already. {CONV}."),
]  # fmt: skip
MISTAKES = [
    Mistake("kernel not flipped", "x", _dx(lambda w: w[:, :, ::-1, ::-1]),
            "Each entry of dy came from pixel p u + r by the weight w[r], and must go back to that "
            "pixel by that weight. Written as a convolution of dy, this takes the kernel turned by "
            f"180 degrees; yours is not (or is turned once too often). {CONV}, backward_data."),
    Mistake("rows and columns of the kernel exchanged", "x", _dx(lambda w: w.swapaxes(2, 3)),
            "You read w[k,c,s,r] for w[k,c,r,s]: the transpose of a convolution exchanges input "
            f"and output, not the kernel's rows and columns. {CONV}, backward_data."),
    Mistake("input and output channels exchanged", "x",
            _dx(lambda w: w.swapaxes(0, 1) if w.shape[0] == w.shape[1] else None),
            "dx[c] sums over the outputs k with w[k,c]; you sum with w[c,k]. Write the sum with "
            f"its letters: dx[n,c] = Σ_k w[k,c] dy[n,k]. {CONV}, backward_data."),
    *(
        Mistake("overwritten where windows overlap", "x", _dx_overwritten(by_window, first),
                "A pixel lies in several windows and each hands back a part: the parts are added. "
                "You assign (=), so the last window wins; write +=. ops/im2col.py, add_columns.")
        for by_window, first in ((False, 0), (True, 0), (True, -1))
    ),
    Mistake("padding's gradient kept", "x", _dx_padded,
            "Your dx is that of the padded picture. The padding is no input: cut its rows and "
            f"columns off at all four sides. ops/pad.py, crop; {CONV}, the last line."),
    Mistake("padding cut off at the wrong sides", "x", _cropped_behind,
            "You take the first H rows and W columns of the padded dx. The picture begins behind "
            "the padding: take rows pad to pad + H. ops/pad.py, crop."),
    Mistake("stride forgotten", "x",
            lambda dy, point: _put_back(_columns(dy, point), point, stride=1),
            "Window p starts at pixel p u, you put it back at pixel p. Give the windows of dy the "
            f"stride that forward had. {CONV}, backward_data: p u + r d - pad."),
    Mistake("one stride for both axes", "x",
            lambda dy, point: _one_stride(_columns(dy, point), point),
            "You put windows back by the stride of the rows along the columns too. Window (p, q) "
            f"starts at pixel (p u, q v). {CONV}, backward_data."),
    Mistake("dilation forgotten", "x",
            lambda dy, point: _put_back(_columns(dy, point), point, dilation=1),
            "Element r of a window sits r d pixels into it, you put it back at r. "
            f"{CONV}, backward_data: p u + r d - pad."),
    Mistake("mean over the pictures", "x",
            lambda dy, point: _convolution_back(dy, point)["x"] / len(dy),
            "dx has a row for each picture, so nothing is averaged over the pictures here: leave "
            f"out the division by N. {CONV}, backward_data."),
    Mistake("gradient of the flipped kernel", "w",
            lambda dy, point: _dw(dy, point)[:, :, ::-1, ::-1],
            "Your dw is turned by 180 degrees. dw[r,s] pairs dy[p,q] with the pixel that w[r,s] "
            f"has met, p u + r: a correlation, without a flip. {CONV}, backward_params."),
    Mistake("mean over the pictures", "w", lambda dy, point: _dw(dy, point) / len(dy),
            "The weights serve all pictures, so their parts are added. If a loss is a mean over "
            f"the pictures, dy has its 1/N already. {CONV}, backward_params: Σ_npq."),
    Mistake("the last picture alone", "w",
            lambda dy, point: _dw(dy[-1:], point, point.inputs["x"][-1:]),
            "Only the last picture's part is left: inside the loop over the pictures you assign "
            f"(=) where you must add (+=). {CONV}, backward_params: dw +=."),
    *(
        Mistake("the last window alone", "w", _dw_of_the_last(pictures),
                "Only the last window's part is left: inside the loop over the windows you assign "
                f"(=) where you must add (+=). {CONV}, backward_params: Σ_npq.")
        for pictures in (slice(None), slice(-1, None))
    ),
    Mistake("padding forgotten", "w", _dw_pad_forgotten,
            "Forward read the padded picture, and dw reads the picture as it came: all windows "
            f"are off by pad pixels. Pad x first. {CONV}, backward_params: p u + r d - pad."),
    Mistake("stride forgotten", "w", lambda dy, point: _dw(
                dy, point, _near(dy, point), stride=1, padding=0),
            "Window p starts at pixel p u, you read it at p. Use the windows that forward had. "
            f"{CONV}, backward_params: p u + r d - pad."),
    *BIAS,
]  # fmt: skip


def _near(dy, point):
    """Return as much of the padded picture as windows of stride 1 read."""
    R, S = point.inputs["w"].shape[2:]
    d, e = pair(point.options["dilation"])
    x = pad(point.inputs["x"], point.options["padding"])
    return x[:, :, : dy.shape[2] + d * (R - 1), : dy.shape[3] + e * (S - 1)]


# transposed convolution

TRANSPOSED = "ops/conv_transpose2d.py"


def _transposed_points(rng):
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


def _transposed(x, w, b=None, **options):
    return conv_transpose2d.forward(x, w, b, **options)[0]


def _transposed_back(dy, point):
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


TRANSPOSED_MISTAKES = [
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
            lambda dy, point: _transposed_back(dy, point)["w"].swapaxes(0, 1),
            "Here the input channels come first, w is (C, K, R, S): your dw is (K, C, R, S). "
            f"{TRANSPOSED}, its last paragraph."),
    *BIAS,
]  # fmt: skip


# windows as columns


def _columns_points(rng):
    for name, shape, options in [
        ("2x3", (2, 3, 5, 7), {}),
        ("2x3, strides 2, 3", (2, 3, 7, 12), {"stride": (2, 3)}),
        ("2x3, padding 1, 2", (2, 1, 4, 5), {"padding": (1, 2)}),
        ("2x3, strides 2, 1, padding 1", (2, 2, 7, 6), {"stride": (2, 1), "padding": 1}),
        ("2x3, dilation 2", (1, 3, 6, 7), {"dilation": 2}),
    ]:
        windows = {"kernel": (2, 3), "stride": 1, "padding": 0, "dilation": 1, **options}
        yield Point(name, {"x": rng.standard_normal(shape)}, windows)


def _to_columns(x, kernel, **options):
    return im2col.im2col(x, kernel, **options)


def _from_columns(dy, point, **changed):
    options = {key: value for key, value in point.options.items() if key != "kernel"}
    return im2col.col2im(dy, point.inputs["x"].shape, **{**options, **changed})


def _per_window(dy, point):
    counts = _from_columns(np.ones_like(dy), point)
    return _from_columns(dy, point) / np.maximum(counts, 1)


def _columns_overwritten(by_window):
    def wrong(dy, point):
        options = {key: value for key, value in point.options.items() if key != "kernel"}
        return _overwritten(dy, point.inputs["x"].shape, by_window=by_window, **options)

    return wrong


COLUMNS_MISTAKES = [
    *(
        Mistake("overwritten where windows overlap", "x", _columns_overwritten(by_window),
                "A pixel was copied into several columns, and the copies' derivatives are added. "
                "You assign (=), so the last copy wins; write +=. ops/im2col.py, add_columns.")
        for by_window in (False, True)
    ),
    Mistake("stride forgotten", "x", lambda dy, point: _put_back(dy, point, stride=1),
            "Window p starts at pixel p u, you put its column back at pixel p. "
            "ops/im2col.py: p u + r d = i."),
    Mistake("one stride for both axes", "x", _one_stride,
            "You put columns back by the stride of the rows along both axes. Window (p, q) starts "
            "at pixel (p u, q v). ops/im2col.py."),
    Mistake("averaged over the windows", "x", _per_window,
            "You divide by the number of windows that hold a pixel. That makes an inverse, not a "
            "transpose: the derivatives of the copies are added. ops/im2col.py, its last lines."),
    Mistake("padding cut off at the wrong sides", "x",
            lambda dy, point: _padded_columns(dy, point)[
                :, :, : point.inputs["x"].shape[2], : point.inputs["x"].shape[3]],
            "The picture begins behind the padding: take rows pad to pad + H. ops/pad.py, crop."),
    Mistake("padding's gradient kept", "x",
            lambda dy, point: _padded_columns(dy, point) if any(pair(point.options["padding"]))
            else None,
            "Your dx is that of the padded picture; cut the padding off. ops/pad.py, crop."),
]  # fmt: skip


def _padded_columns(dy, point):
    options = {**point.options, "padding": 0}
    padded = pad(point.inputs["x"], point.options["padding"])
    return _from_columns(dy, Point("", {"x": padded}, options))


EXERCISES = {
    "conv2d": Exercise(
        _convolution, _convolution_back, _convolution_points, MISTAKES, CONV, ("x", "w"), WINDOWS
    ),
    "conv_transpose2d": Exercise(
        _transposed, _transposed_back, _transposed_points, TRANSPOSED_MISTAKES, TRANSPOSED,
        ("x", "w"), WINDOWS,
    ),
    "im2col": Exercise(
        _to_columns, lambda dy, point: {"x": _from_columns(dy, point)}, _columns_points,
        COLUMNS_MISTAKES, "ops/im2col.py", ("x",), {"stride": 1, "padding": 0, "dilation": 1},
    ),
}  # fmt: skip
