"""Darknet's `.weights`, with the `.cfg` of the same name beside it that says what is in it.

    header        int32 major, minor, revision; pictures seen: int64 from version 0.2 on, else int32
    convolution   biases; with batch_normalize gamma, mean, var; kernels (K, C / groups, R, S)
    connected     biases; matrix (out, in), or (in, out) if major or minor is over 1000; then the
                  same of batch_normalize

All values are float32, little endian. Layers are called by their number in the `.cfg`: 0.weight,
0.bias; a normalisation, whose beta the biases are, 0.norm.gamma, 0.norm.beta, ...

Source: src/parser.c, maxpool_layer.c, convolutional_layer.c of pjreddie/darknet.
"""

import math
import re

from minicnn.errors import MinicnnError
from minicnn.storage.limits import Cursor, array_from
from minicnn.weights.formats import norms
from minicnn.weights.formats.siblings import read_beside

WITHOUT_WEIGHTS = ("dropout", "softmax", "cost", "yolo", "region", "detection", "shortcut")
OPTION = re.compile(r"\s*(\w+)\s*=\s*([^#;]*)")
TRANSPOSED = 1000


def read(data: bytes, path, budget) -> tuple:
    """Return ({name: array}, layers) of the weights `data` in the file `path`.

    Raises
    ------
    MinicnnError
        If there is no .cfg, it has a layer that is not read, or the sizes do not fit.
    """
    cursor = Cursor(data)
    major, minor, _ = (cursor.number(4) for _ in range(3))
    old = max(major, minor) > TRANSPOSED
    cursor.take(8 if 10 * major + minor >= 2 and not old else 4)
    cfg = read_beside(path, f"{path.stem}.cfg", budget).decode(errors="replace")
    (_, net), *sections = _sections(cfg, budget)
    shapes = [tuple(_number(net, key, None) for key in ("channels", "height", "width"))]
    found, chain = {}, []
    for i, (kind, options) in enumerate(sections):
        if kind in ("convolutional", "connected"):
            _layer(i, kind, options, shapes[-1], old, cursor, budget, found)
            if f"{i}.norm.gamma" in found:
                chain.append(norms.Layer(f"{i}.norm", kind, str(i)))
        shapes.append(_shape(kind, options, shapes))
    if cursor.rest:
        raise MinicnnError(f"{path.stem}.cfg does not fit: {len(cursor.rest)} bytes are left")
    return found, chain


def _sections(text, budget):
    """Return [(name, {option: text})]."""
    sections = []
    for line in text.splitlines():
        budget.step()
        option = OPTION.match(line)
        if line.strip().startswith("["):
            sections.append((line.strip()[1:].partition("]")[0], {}))
        elif option and sections:
            sections[-1][1][option[1]] = option[2].strip()
    if not sections:
        raise MinicnnError("a .cfg without a section")
    return sections


def _number(options, key, default):
    value = options.get(key, default)
    if not re.fullmatch(r"\d{1,9}", str(value)):
        raise MinicnnError(f"a .cfg with {key} = {str(value)[:20]}")
    return int(value)


def _layer(i, kind, options, source, old, cursor, budget, found):
    """Take what a layer has."""
    if kind == "connected":
        K, shape = _number(options, "output", 1), (math.prod(source),)
    else:
        K, size = _number(options, "filters", 1), _number(options, "size", 1)
        shape = (source[0] // max(1, _number(options, "groups", 1)), size, size)

    def put(name, *sizes):
        count = math.prod(sizes)
        budget.put(found, name, array_from(cursor.take(4 * count), "<f4", sizes, budget))

    normed = _number(options, "batch_normalize", 0)
    put(f"{i}.norm.beta" if normed else f"{i}.bias", K)
    parts = [f"{i}.norm.{part}" for part in ("gamma", "mean", "var") if normed]
    weight = f"{i}.weight"
    for name in [weight, *parts] if kind == "connected" else [*parts, weight]:
        transposed = name == weight and kind == "connected" and old
        sizes = (K, *shape) if name == weight else (K,)
        put(name, *(sizes[::-1] if transposed else sizes))
        found[name] = found[name].T if transposed else found[name]


def _shape(kind, options, shapes):
    """Return (C, H, W) of a layer's output; `shapes` are the input's and those of all before."""
    C, H, W = shapes[-1]
    stride = max(1, _number(options, "stride", 1))
    if kind == "convolutional":
        size = _number(options, "size", 1)
        pad = size // 2 if _number(options, "pad", 0) else _number(options, "padding", 0)
        sides = ((side + 2 * pad - size) // stride + 1 for side in (H, W))
        return _number(options, "filters", 1), *sides
    if kind == "maxpool":
        size = _number(options, "size", stride)
        pad = _number(options, "padding", size - 1)
        return C, *((side + pad - size) // stride + 1 for side in (H, W))
    if kind == "connected":
        return _number(options, "output", 1), 1, 1
    if kind == "avgpool":
        return C, 1, 1
    if kind == "crop":
        return C, _number(options, "crop_height", 1), _number(options, "crop_width", 1)
    if kind == "upsample":
        stride = _number(options, "stride", 2)
        return C, H * stride, W * stride
    if kind == "route":
        places = [int(place) for place in options["layers"].split(",")]
        sources = [shapes[len(shapes) + p if p < 0 else p + 1] for p in places]
        return sum(source[0] for source in sources), *sources[0][1:]
    if kind not in WITHOUT_WEIGHTS:
        raise MinicnnError(f"a .cfg with a layer [{kind[:20]}], which is not read")
    return C, H, W
