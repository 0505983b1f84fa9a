"""Wrong gradients of poolings: maxpool2d, avgpool2d."""

import numpy as np

from minicnn.gradcheck.exercise import Exercise, Mistake, Point
from minicnn.gradcheck.ops import distinct
from minicnn.ops import avgpool2d, maxpool2d, unpool
from minicnn.ops.pad import crop_to, pad_for
from minicnn.ops.shapes import pair

MAX, AVERAGE = "ops/maxpool2d.py", "ops/avgpool2d.py"
WINDOWS = {"kernel": 2, "stride": None, "padding": 0}
SHAPES = [
    ("2x2", (2, 3, 4, 6), {}),
    ("3x3, stride 2", (2, 2, 7, 5), {"kernel": 3, "stride": 2}),
    ("3x3, stride 1, padding 1", (1, 3, 5, 4), {"kernel": 3, "stride": 1, "padding": 1}),
    ("3x2, strides 2, 1, padding 1, 0", (1, 2, 5, 6),
     {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 0)}),
]  # fmt: skip


def _max_points(rng):
    for name, shape, options in SHAPES:
        yield Point(name, {"x": distinct(rng, shape)}, {**WINDOWS, **options})
    ties = rng.integers(0, 2, (2, 3, 6, 4)).astype(float)
    yield Point("2x2, equals in a window", {"x": ties}, WINDOWS, smooth=False)


def _pooled(point):
    """Return y and the cache of max pooling."""
    return maxpool2d.forward(point.inputs["x"], **point.options)


def _scattered(dy, point, part):
    """Return a dx: element r S + s of every window gets dy times part(r S + s, switches)."""
    cache = _pooled(point)[1]
    dx = pad_for(np.zeros(cache.x_shape), dy.shape[2:], *cache[2:], 0)
    for index, seen in maxpool2d.elements(dy.shape[2:], cache.kernel, cache.stride):
        dx[seen] += dy * part(index, cache.switches)
    return crop_to(dx, cache.x_shape, cache.padding)


def _to_all(dy, point):
    return _scattered(dy, point, lambda index, switches: 1.0)


def _shared(dy, point):
    R, S = pair(point.options["kernel"])
    return _scattered(dy, point, lambda index, switches: 1 / (R * S))


def _corner(dy, point):
    return _scattered(dy, point, lambda index, switches: index == 0)


def _turned(dy, point):
    R, S = pair(point.options["kernel"])
    return _scattered(dy, point, lambda index, switches: switches == index % S * R + index // S)


def _all_equals(dy, point):
    y, cache = _pooled(point)
    x = pad_for(point.inputs["x"], dy.shape[2:], *cache[2:], -np.inf)
    dx = np.zeros(x.shape)
    for _, seen in maxpool2d.elements(dy.shape[2:], cache.kernel, cache.stride):
        dx[seen] += dy * (x[seen] == y)
    return crop_to(dx, cache.x_shape, cache.padding)


def _last_of_equals(dy, point):
    """The largest of the turned picture, turned back."""
    turned = Point("", {"x": point.inputs["x"][:, :, ::-1, ::-1]}, point.options)
    back = maxpool2d.backward(dy[:, :, ::-1, ::-1], _pooled(turned)[1])[:, :, ::-1, ::-1]
    tiled = pair(point.options["kernel"]) == (2, 2)
    return back if tiled else None


def _overwritten(dy, point):
    return unpool.unpool(dy, _pooled(point)[1], overlap="overwrite")


MAX_MISTAKES = [
    Mistake("sent to all of the window", "x", _to_all,
            "A maximum depends on its winner alone: dy goes to the pixel that the switch names, 0 "
            f"to the others. You send dy to every pixel of the window. {MAX}, backward."),
    Mistake("shared out as by an average", "x", _shared,
            "You share dy out among all pixels of the window, which is the gradient of average "
            f"pooling. A maximum hands all of it to its winner. {MAX}, backward."),
    Mistake("switches ignored", "x", _corner,
            "dy always lands at the first pixel of its window. Keep in forward where the winner "
            f"sat (the switch) and place dy there. {MAX}: switch = r S + s; notes, figure 3."),
    Mistake("switch read as column, row", "x", _turned,
            "You take the switch r S + s apart into (s, r): the row is switch // S, the column "
            f"switch % S. {MAX}, elements."),
    Mistake("ties sent twice", "x", _all_equals,
            "Where two pixels of a window are equal, both get dy: x == y is true twice. A window "
            f"hands its dy on once, to the first in row-major order. {MAX}: among equals."),
    Mistake("the last of equals", "x", _last_of_equals,
            "Among equals you take the last, ours is the first in row-major order. Both are "
            f"subgradients, but >= should be >, so that all agree. {MAX}, forward."),
    Mistake("overwritten unpooling", "x", _overwritten,
            "Windows overlap here, and one pixel can win several. You assign (=), so the last "
            f"window wins; write +=. {MAX}, backward; ops/unpool.py has both."),
]  # fmt: skip


# average pooling


def _average_points(rng):
    for name, shape, options in SHAPES:
        yield Point(name, {"x": rng.standard_normal(shape)}, {**AVERAGED, **options})
    options = {**AVERAGED, "kernel": (3, 2), "stride": 2, "padding": 1, "count_padding": False}
    yield Point("3x2, padding not counted", {"x": rng.standard_normal((1, 2, 6, 7))}, options)


AVERAGED = {**WINDOWS, "count_padding": True}


def _average(dy, point):
    cache = avgpool2d.forward(point.inputs["x"], **point.options)[1]
    return avgpool2d.backward(dy, cache)


def _by_window(dy, point):
    """Divide by R S where fewer pixels were counted."""
    R, S = pair(point.options["kernel"])
    return _undivided(dy, point) / (R * S)


def _undivided(dy, point):
    cache = avgpool2d.forward(point.inputs["x"], **point.options)[1]
    return avgpool2d.backward(dy * cache.count, cache)


def _winner(dy, point):
    options = {key: point.options[key] for key in WINDOWS}
    return maxpool2d.backward(dy, _pooled(Point("", point.inputs, options))[1])


def _average_overwritten(dy, point):
    cache = avgpool2d.forward(point.inputs["x"], **point.options)[1]
    dx = pad_for(np.zeros(cache.x_shape), dy.shape[2:], *cache[2:5], 0)
    for p, q in np.ndindex(*dy.shape[2:]):
        top, left = p * cache.stride[0], q * cache.stride[1]
        window = dx[:, :, top : top + cache.kernel[0], left : left + cache.kernel[1]]
        window[...] = (dy[:, :, p, q] / cache.count[p, q])[:, :, None, None]
    return crop_to(dx, cache.x_shape, cache.padding)


AVERAGE_MISTAKES = [
    Mistake("not divided by the window", "x", _undivided,
            "Forward divides by the number of pixels, so each pixel gets dy / count; yours gets "
            f"dy. {AVERAGE}, backward."),
    Mistake("divided by the window at the edge too", "x", _by_window,
            "Where the padding is not counted, a window at the edge has fewer pixels than R S, and "
            f"both passes divide by that number. {AVERAGE}: count[p,q]."),
    Mistake("sent to the largest", "x", _winner,
            "You send dy to the largest pixel of the window, as max pooling does. All pixels of a "
            f"mean have the same derivative, 1 / count. {AVERAGE}, backward."),
    Mistake("overwritten where windows overlap", "x", _average_overwritten,
            "A pixel lies in several windows and gets a part from each: the parts are added. You "
            f"assign (=); write +=. {AVERAGE}, backward: Σ over the windows."),
]  # fmt: skip


EXERCISES = {
    "maxpool2d": Exercise(
        lambda x, **options: maxpool2d.forward(x, **options)[0],
        lambda dy, point: {"x": maxpool2d.backward(dy, _pooled(point)[1])},
        _max_points, MAX_MISTAKES, MAX, (), WINDOWS,
    ),
    "avgpool2d": Exercise(
        lambda x, **options: avgpool2d.forward(x, **options)[0],
        lambda dy, point: {"x": _average(dy, point)},
        _average_points, AVERAGE_MISTAKES, AVERAGE, ("x",), AVERAGED,
    ),
}  # fmt: skip
