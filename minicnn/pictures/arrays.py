"""Pictures as arrays: read, resize, preprocess for a network and back, write.

    preprocess:   x = (scale p[order] - mean) / std          p (H, W, 3) RGB in 0..255
    deprocess:    p[order] = (std x + mean) / scale          x (1, 3, H, W)

`order` (RGB or BGR), `scale`, `mean` and `std` travel with the weights of a network. Caffe's
nets have BGR, scale 1, std 1; torchvision's have RGB, scale 1/255. What reads and writes files is
in `reader` and `writer`; their public names are offered here.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from minicnn.backend import array_module, to_host
from minicnn.errors import MinicnnError

LONGEST = 8  # times the shorter side, of what `centre` scales


def resize(rgb: Any, size: Sequence[int], bilinear: bool = False) -> Any:
    """Resize a picture to `size` = (rows, columns), antialiased.

    Pillow's BICUBIC (Keys 1981, a = -0.5), which it widens to the source's pixels when shrinking.
    LANCZOS is a little sharper but rings more at edges, and what works on the result (style
    transfer, inversion) takes such halos for structure.

    Parameters
    ----------
    rgb : uint8 or floating point (H, W, 3)
    size : pair of int
        At least 1 each.
    bilinear : bool
        By Pillow's BILINEAR instead, widened likewise.

    Returns
    -------
    array (rows, columns, 3)
        uint8 for uint8, otherwise float32, which may overshoot the range of `rgb` a little.
    """
    _check_picture(rgb)
    rows, cols = (int(side) for side in size)
    if rows < 1 or cols < 1:
        raise MinicnnError(f"cannot resize to {rows} x {cols} pixels; each side must be at least 1")

    how = Image.Resampling.BILINEAR if bilinear else Image.Resampling.BICUBIC

    def resized(image):
        return np.array(image.resize((cols, rows), how))

    if rgb.dtype == np.uint8:
        return resized(Image.fromarray(np.ascontiguousarray(rgb)))
    bands = np.moveaxis(rgb, -1, 0).astype(np.float32, order="C")
    return np.stack([resized(Image.fromarray(band)) for band in bands], axis=-1)


def fit(rgb: Any, size: int) -> Any:
    """Resize a picture so that its long side is `size` pixels, larger or smaller, aspect kept.

    >>> fit(np.zeros((30, 40, 3), np.uint8), 100).shape
    (75, 100, 3)
    """
    _check_picture(rgb)
    if size < 1:
        raise MinicnnError(f"cannot fit a picture to {size} pixels; the size must be at least 1")
    return resize(rgb, fitted_sides(rgb.shape, size))


def fitted_sides(shape, size):
    """Return the rows and columns to which `fit` resizes a picture of a shape (H, W, 3)."""
    long = max(shape[:2])
    # round half up, in integers; a thin strip keeps a pixel
    return [max(1, (2 * side * int(size) + long) // (2 * long)) for side in shape[:2]]


def centre(rgb: Any, size: int) -> Any:
    """Return the centre, uint8 (size, size, 3), of a picture scaled to that shorter side.

    Of a strip only the middle is scaled: whole it could take any amount of memory.
    """
    longest = LONGEST * min(rgb.shape[:2])
    top, left = (max(0, length - longest) // 2 for length in rgb.shape[:2])
    rgb = rgb[top : top + longest, left : left + longest]
    H, W = rgb.shape[:2]
    if min(H, W) != size:
        scale = size / min(H, W)
        rgb = resize(rgb, (max(size, round(H * scale)), max(size, round(W * scale))))
        H, W = rgb.shape[:2]
    top, left = (H - size) // 2, (W - size) // 2
    return rgb[top : top + size, left : left + size]


def preprocess(rgb: Any, attrs: Mapping[str, Any]) -> Any:
    """Turn a picture into the input of a network.

    Parameters
    ----------
    rgb : uint8 or floating point (H, W, 3)
        RGB in 0..255.
    attrs : mapping
        `channel_order` "RGB" or "BGR"; `mean` (3,) and, optionally, `std` (3,) in that order;
        `scale`, optional.

    Returns
    -------
    x : float32 (1, 3, H, W)
    """
    _check_picture(rgb)
    step, mean, std, scale = _preprocessing(attrs)
    if rgb.dtype == np.uint8:  # 256 values a channel, each computed once
        values = (np.arange(256.0) * scale - mean[:, np.newaxis]) / std[:, np.newaxis]
        x = np.empty((1, 3, *rgb.shape[:2]), np.float32)
        for channel, table, out in zip(
            np.moveaxis(rgb[..., ::step], -1, 0), values.astype(np.float32), x[0], strict=True
        ):
            np.take(table, channel, out=out, mode="clip")
        return x
    x = (rgb[..., ::step].astype(np.float64) * scale - mean) / std
    return np.ascontiguousarray(x.transpose(2, 0, 1)[np.newaxis], dtype=np.float32)


def deprocess(x: Any, attrs: Mapping[str, Any]) -> Any:
    """Turn a network's input back into a picture: the inverse of `preprocess`.

    Parameters
    ----------
    x : array (1, 3, H, W), on any device
    attrs : mapping, as for `preprocess`

    Returns
    -------
    rgb : float64 (H, W, 3)
        RGB, not rounded and not clipped; `to_uint8` does both.

    >>> attrs = {"channel_order": "BGR", "mean": [100.0] * 3, "std": [2.0] * 3, "scale": 1.0}
    >>> x = preprocess(np.array([[[110, 100, 90]]], np.uint8), attrs)
    >>> x.ravel().tolist(), deprocess(x, attrs).tolist()
    ([-5.0, 0.0, 5.0], [[[110.0, 100.0, 90.0]]])
    """
    step, mean, std, scale = _preprocessing(attrs)
    x = to_host(x)
    if x.ndim != 4 or x.shape[:2] != (1, 3):
        raise MinicnnError(f"deprocess wants an array (1, 3, H, W), got {x.shape}")
    return ((x[0].transpose(1, 2, 0).astype(np.float64) * std + mean) / scale)[..., ::step]


def to_uint8(x: Any) -> Any:
    """Round half up and clip to 0..255; uint8 is returned as it is.

    Raises
    ------
    MinicnnError
        If a value is NaN or infinite: there is no picture to be made of it.

    >>> to_uint8(np.array([-3.0, 0.5, 1.49, 254.5, 300.0]))
    array([  0,   1,   1, 255, 255], dtype=uint8)
    """
    x = np.asarray(x)
    return x if x.dtype == np.uint8 else _rounded(x, 255).astype(np.uint8)


def to_uint16(x):
    """Turn 0..255 into 0..65535, 257 steps to a grey level, as `to_uint8` does.

    >>> to_uint16(np.array([-3.0, 1.0, 1.5, 255.0, 300.0]))
    array([    0,   257,   386, 65535, 65535], dtype=uint16)
    """
    return _rounded(np.asarray(x, np.float64) * 257, 65535).astype(np.uint16)


def _rounded(x, most):
    bad = x.size - np.count_nonzero(np.isfinite(x))
    if bad:
        raise MinicnnError(
            f"{bad} of {x.size} values are NaN or infinite, so they make no picture; "
            "the computation before has diverged"
        )
    return np.clip(np.floor(x.astype(np.float64) + 0.5), 0, most)


def _check_picture(rgb):
    shape = getattr(rgb, "shape", None)
    if shape is None or len(shape) != 3 or shape[2] != 3 or 0 in shape:
        raise MinicnnError(f"a picture is an array (H, W, 3), got {shape or type(rgb).__name__}")


def _preprocessing(attrs):
    """Return (channel step, mean, std, scale), checked; HDF5 gives text as bytes at times."""
    order = attrs.get("channel_order")
    order = order.decode() if isinstance(order, bytes) else order
    if order not in ("RGB", "BGR"):
        raise MinicnnError(f"channel_order is {order!r}; it must be RGB or BGR")
    mean, std = (
        np.asarray(attrs.get(name, default), np.float64)
        for name, default in (("mean", ()), ("std", (1.0, 1.0, 1.0)))
    )
    scale = float(attrs.get("scale", 1.0))
    for name, value in (("mean", mean), ("std", std)):
        if value.shape != (3,) or not np.isfinite(value).all():
            raise MinicnnError(f"{name} is {value.tolist()}; it must be three finite numbers")
    if not (std.all() and scale and math.isfinite(scale)):
        raise MinicnnError(f"std {std.tolist()} and scale {scale} must be finite and not zero")
    return 1 if order == "RGB" else -1, mean, std, scale


def resampled(x, size, net):
    """Return x (1, 3, H, W) as a picture of `size` = (rows, columns), clipped to 0..255."""
    if x.shape[2:] == tuple(size):
        return x
    larger = preprocess(resize(picture(x, net), size), net.attrs["preprocess"])
    return array_module(x).asarray(larger)


def detail(x, size, net):
    """Return what x (1, 3, H, W) loses when it is brought to a smaller `size` and back."""
    return x - resampled(resampled(x, size, net), x.shape[2:], net)


def picture(x, net):
    """Return the picture uint8 (H, W, 3) that x (1, 3, H, W) stands for."""
    return to_uint8(deprocess(x, net.attrs["preprocess"]))


def grey_level(net, like):
    """Return a grey level of 0..255 in the network's units, (1, 3, 1, 1), an array as `like`."""
    attrs = net.attrs["preprocess"]
    std = np.asarray(attrs.get("std", (1.0, 1.0, 1.0)), np.float64)
    unit = (float(attrs.get("scale", 1.0)) / std).astype(like.dtype)
    return array_module(like).asarray(unit).reshape(1, 3, 1, 1)


def as_pixels(dx, net):
    """Return a change of the input (1, 3, H, W) as one of the picture, float64 (H, W, 3), RGB.

    dp = dx std / scale          in grey levels; zero stays exactly zero
    """
    return deprocess(to_host(dx), {**net.attrs["preprocess"], "mean": (0.0, 0.0, 0.0)})


def per_pixel(dx, net, power=1):
    """Return a derivative by the input (1, 3, H, W) as one by grey levels, float64 (H, W, 3), RGB.

    dS/dp = dS/dx (scale / std)^power          zero stays exactly zero

    The `power` is 2 for the square of a derivative, 0 for what has the unit of S.
    """
    attrs = net.attrs["preprocess"]
    _, mean, std, scale = _preprocessing(attrs)
    inverse = {"mean": 0 * mean, "std": std**-power, "scale": scale**-power}
    return deprocess(to_host(dx), {**attrs, **inverse})
