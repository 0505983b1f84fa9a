"""The operators of ONNX with windows: convolution and pooling, and their paddings."""

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.network.layers import AvgPool2d, Conv2d

WIDEST = 31  # rows of a kernel with its zeros


def conv(b, node):
    """Convolve, with zeros written into the kernel where ours has no setting for them."""
    x, w, bias = b.map(node), b.constant(node, 1), b.constant(node, 2, None)
    if w.ndim != 4:
        raise MinicnnError(f"a kernel {w.shape}; only those of two dimensions are read")
    stride, dilation = _pair(node, "strides", 1), _pair(node, "dilations", 1)
    spans = [(size - 1) * step + 1 for size, step in zip(w.shape[2:], dilation, strict=True)]
    before, after = _pads(node, x.shape[1:], spans, stride)
    wide = [span + abs(p - q) for span, p, q in zip(spans, before, after, strict=True)]
    if max(wide) > WIDEST:
        raise MinicnnError(f"a kernel of {max(wide)} rows with its dilation; at most {WIDEST}")
    b.budget.array((*w.shape[:2], *wide), 4)
    kernel = np.zeros((*w.shape[:2], *wide), w.dtype)
    # y[p] = Σ w[r] x[p u + r - before]: more padding before is more rows of zeros before, too
    rows, columns = (
        slice(max(0, q - p), max(0, q - p) + span, step)
        for span, step, p, q in zip(spans, dilation, before, after, strict=True)
    )
    kernel[:, :, rows, columns] = w
    padding = tuple(map(max, before, after))
    groups = node.attributes.get("group", 1)
    if groups < 1 or len(w) % groups:
        raise MinicnnError(f"{len(w)} channels in {groups} groups")
    layer = Conv2d(len(w), *map(_one, (wide, stride, padding)), groups, bias is not None)
    return b.add(node, layer, x, weight=kernel, bias=bias)


def pool(kind, b, node):
    """Pool windows; padding at the end alone, up to a stride, is what `ceil` does."""
    x, stride = b.map(node), _pair(node, "strides", 1)
    kernel = _pair(node, "kernel_shape", None)
    before, after = _pads(node, x.shape[1:], kernel, stride)
    ceil, settings = bool(node.attributes.get("ceil_mode", 0)), {}
    if kind is AvgPool2d:
        settings["count_padding"] = bool(node.attributes.get("count_include_pad", 0))
    if set(_pair(node, "dilations", 1)) != {1}:
        raise MinicnnError("dilated windows are not read")
    if before != after:
        fits = all(
            q - p == step - 1 and size >= step
            for p, q, step, size in zip(before, after, stride, kernel, strict=True)
        )
        if ceil or settings.get("count_padding") or not fits:
            raise MinicnnError(f"a padding of {before} before and {after} behind is not read")
        ceil = True
    return b.add(node, kind(*map(_one, (kernel, stride, before)), ceil, **settings), x)


def _pads(node, sizes, kernel, stride):
    """Return the padding before and behind, each (rows, columns)."""
    auto = node.attributes.get("auto_pad") or "NOTSET"
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        both = [
            max(0, (-(-size // step) - 1) * step + k - size)
            for size, k, step in zip(sizes, kernel, stride, strict=True)
        ]
        less, more = tuple(p // 2 for p in both), tuple(p - p // 2 for p in both)
        return (less, more) if auto == "SAME_UPPER" else (more, less)
    pads = node.attributes.get("pads") if auto == "NOTSET" else None
    pads = pads or [0, 0, 0, 0]
    if auto not in ("NOTSET", "VALID") or len(pads) != 4 or min(pads) < 0 or max(pads) > WIDEST:
        raise MinicnnError(f"a padding {auto[:20]} {pads[:8]} is not read")
    return tuple(pads[:2]), tuple(pads[2:])


def _pair(node, name, default):
    found = node.attributes.get(name) or ([default] * 2 if default else [])
    if len(found) != 2 or not all(type(n) is int and 0 < n < 1 << 16 for n in found):
        raise MinicnnError(f"{name} = {str(found)[:60]}; two numbers are due")
    return tuple(found)


def _one(pair):
    """Write rows and columns as one number where they agree."""
    return pair[0] if pair[0] == pair[1] else tuple(pair)
