"""Wrong gradients of im2col, and ways to put windows back that are wrong for conv2d too."""

import numpy as np

from minicnn.gradcheck.exercise import Exercise, Mistake, Point
from minicnn.ops import im2col
from minicnn.ops.pad import crop, pad
from minicnn.ops.shapes import pair


def put_back(columns, point, **changed):
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


def one_stride(columns, point):
    """Return dx of columns that are put back by the stride of the rows along both axes."""
    return put_back(columns, point, stride=pair(point.options["stride"])[0])


def overwritten(columns, x_shape, *, stride, padding, dilation, by_window=False):
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


def _points(rng):
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
        return overwritten(dy, point.inputs["x"].shape, by_window=by_window, **options)

    return wrong


MISTAKES = [
    *(
        Mistake("overwritten where windows overlap", "x", _columns_overwritten(by_window),
                "A pixel was copied into several columns, and the copies' derivatives are added. "
                "You assign (=), so the last copy wins; write +=. ops/im2col.py, add_columns.")
        for by_window in (False, True)
    ),
    Mistake("stride forgotten", "x", lambda dy, point: put_back(dy, point, stride=1),
            "Window p starts at pixel p u, you put its column back at pixel p. "
            "ops/im2col.py: p u + r d = i."),
    Mistake("one stride for both axes", "x", one_stride,
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
    "im2col": Exercise(
        _to_columns, lambda dy, point: {"x": _from_columns(dy, point)}, _points, MISTAKES,
        "ops/im2col.py", ("x",), {"stride": 1, "padding": 0, "dilation": 1},
    ),
}  # fmt: skip
