"""Wrong gradients of what only copies and adds: add, concat, replicate."""

import numpy as np

from minicnn.gradcheck.exercise import Exercise, Mistake, Point
from minicnn.ops import add, concat, replicate
from minicnn.ops.shapes import pair


def _maps(rng):
    shape = (2, 3, 4, 5)
    yield Point("2 maps", {"a": rng.standard_normal(shape), "b": rng.standard_normal(shape)}, {})


ADD_MISTAKES = [
    Mistake("shared out", name, lambda dy, _: dy / 2,
            "You give each branch a half. Each moves the sum by as much as it moves itself, so "
            "each gets dy whole. ops/add.py: dxi = dy.")
    for name in "ab"
]  # fmt: skip
CONCAT_MISTAKES = [
    Mistake("parts exchanged", name, lambda dy, _, part=part: dy[:, part],
            "The channels came in the order a, b, and go back in that order; yours are exchanged. "
            "ops/concat.py, backward.")
    for name, part in (("a", slice(3, None)), ("b", slice(3)))
]  # fmt: skip


def _edges(rng):
    for padding in ((1, 2), (2, 0)):
        options = {"padding": padding}
        yield Point(f"padding {padding}", {"x": rng.standard_normal((2, 3, 4, 5))}, options)


def _cropped(dy, point):
    (rows, cols), (H, W) = pair(point.options["padding"]), point.inputs["x"].shape[2:]
    return dy[:, :, rows : rows + H, cols : cols + W]


def _no_corners(dy, point):
    """The copies beyond the four edges, without the blocks beyond the corners."""
    (rows, cols), (H, W) = pair(point.options["padding"]), point.inputs["x"].shape[2:]
    dx = _cropped(dy, point).copy()
    middle, centre = slice(cols, cols + W), slice(rows, rows + H)
    dx[:, :, 0] += dy[:, :, :rows, middle].sum(2)
    dx[:, :, -1] += dy[:, :, rows + H :, middle].sum(2)
    dx[:, :, :, 0] += dy[:, :, centre, :cols].sum(3)
    dx[:, :, :, -1] += dy[:, :, centre, cols + W :].sum(3)
    return dx


REPLICATE_MISTAKES = [
    Mistake("copies thrown away", "x", _cropped,
            "You cut the frame off, as for zeros. Here it holds copies of the edge, whose "
            "derivatives belong to the edge: add them. ops/replicate.py, backward."),
    Mistake("corners forgotten", "x", _no_corners,
            "A corner was copied into a whole block: fold the rows first, and then the columns of "
            "the result. ops/replicate.py, backward."),
]  # fmt: skip


def _edge_back(dy, point):
    return {"x": replicate.backward(np.array(dy), pair(point.options["padding"]))}


EXERCISES = {
    "add": Exercise(
        lambda a, b: add.forward([a, b])[0], lambda dy, _: {"a": dy, "b": dy}, _maps,
        ADD_MISTAKES, "ops/add.py", ("a", "b"),
    ),
    "concat": Exercise(
        lambda a, b: concat.forward([a, b])[0],
        lambda dy, _: dict(zip("ab", concat.backward(dy, (3, 3)), strict=True)), _maps,
        CONCAT_MISTAKES, "ops/concat.py", ("a", "b"),
    ),
    "replicate": Exercise(
        lambda x, padding: replicate.forward(x, padding)[0], _edge_back, _edges,
        REPLICATE_MISTAKES, "ops/replicate.py", ("x",),
    ),
}  # fmt: skip
