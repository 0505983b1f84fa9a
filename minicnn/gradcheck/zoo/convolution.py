"""Wrong gradients of the convolution."""

import numpy as np

from minicnn.gradcheck.exercise import Exercise, Mistake, Point
from minicnn.gradcheck.zoo.windows import one_stride, overwritten, put_back
from minicnn.ops import conv2d
from minicnn.ops.pad import pad
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


def _dx_overwritten(by_window, first=0):
    def wrong(dy, point):
        columns = _columns(dy, point, first)
        if columns is None:
            return None
        windows = {key: point.options[key] for key in ("stride", "padding", "dilation")}
        return overwritten(columns, point.inputs["x"].shape, by_window=by_window, **windows)

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
            lambda dy, point: put_back(_columns(dy, point), point, stride=1),
            "Window p starts at pixel p u, you put it back at pixel p. Give the windows of dy the "
            f"stride that forward had. {CONV}, backward_data: p u + r d - pad."),
    Mistake("one stride for both axes", "x",
            lambda dy, point: one_stride(_columns(dy, point), point),
            "You put windows back by the stride of the rows along the columns too. Window (p, q) "
            f"starts at pixel (p u, q v). {CONV}, backward_data."),
    Mistake("dilation forgotten", "x",
            lambda dy, point: put_back(_columns(dy, point), point, dilation=1),
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


EXERCISES = {
    "conv2d": Exercise(
        _convolution, _convolution_back, _convolution_points, MISTAKES, CONV, ("x", "w"), WINDOWS
    ),
}
