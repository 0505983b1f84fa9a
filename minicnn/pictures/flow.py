"""Optical flow: where each pixel of a frame was in the frame before, and how far to believe it.

    a pixel (x, y) was at (x + u, y + v)      x to the right, y down, in pixels

A `.flo` file (Baker et al., the Middlebury benchmark) has, little-endian, the number 202021.25 as
float32, width and height as int32, then u and v as float32 for each pixel, row by row. A vector
longer than 1e9 stands for "unknown".
"""

import os

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.pictures.arrays import resize
from minicnn.storage.atomic import quoted

MAGIC, UNKNOWN = 202021.25, 1e9
HEAD = np.dtype([("magic", "<f4"), ("width", "<i4"), ("height", "<i4")])
LARGEST = 10_000  # pixels a side


def read_flow(path):
    """Return the flow of a `.flo` file, float32 (H, W, 3): u, v, and 1 where it is known, else 0.

    Raises
    ------
    MinicnnError
        If it cannot be read, is no such file, is cut off, or has values that are not numbers.
    """
    try:
        with open(path, "rb") as file:
            head = np.frombuffer(file.read(HEAD.itemsize).ljust(HEAD.itemsize, b"\0"), HEAD)[0]
            width, height = int(head["width"]), int(head["height"])
            if head["magic"] != np.float32(MAGIC):
                raise MinicnnError(f"{quoted(path)} is no .flo file of optical flow")
            if not (0 < width <= LARGEST and 0 < height <= LARGEST):
                raise MinicnnError(
                    f"{quoted(path)} is said to have {width} x {height} vectors; a side is from 1 "
                    f"to {LARGEST}"
                )
            wanted, size = HEAD.itemsize + 8 * width * height, os.fstat(file.fileno()).st_size
            if size != wanted:
                raise MinicnnError(
                    f"{quoted(path)} has {size} bytes, {width} x {height} vectors have {wanted}: "
                    "it is cut off or damaged"
                )
            vectors = np.frombuffer(file.read(), "<f4").reshape(height, width, 2)
    except OSError as error:
        raise MinicnnError(f"cannot read {quoted(path)}: {error.strerror}") from None
    known = (np.abs(vectors) <= UNKNOWN).all(axis=2, keepdims=True)
    if not (known | (np.abs(vectors) > UNKNOWN).any(axis=2, keepdims=True)).all():
        raise MinicnnError(f"{quoted(path)} has vectors that are not numbers; compute it again")
    return np.concatenate([np.where(known, vectors, 0), known], axis=2).astype(np.float32)


def resized(flow, size):
    """Return flow (H, W, 3) for pictures of another size, (rows, columns)."""
    if flow.shape[:2] == tuple(size):
        return flow
    rows, cols = size
    factors = np.float32([cols / flow.shape[1], rows / flow.shape[0], 1])
    return resize(flow, size, bilinear=True) * factors


def warped(picture, flow):
    """Move a picture (H, W, C) along flow (H, W, 3), by bilinear interpolation.

    Returns
    -------
    moved : float32 (H, W, C)
        At each pixel the picture's value where it was; that of the edge where it was outside.
    inside : bool (H, W)
    """
    rows, cols = picture.shape[:2]
    y, x = np.mgrid[:rows, :cols].astype(np.float32)
    x, y = x + flow[..., 0], y + flow[..., 1]
    inside = (x >= 0) & (x <= cols - 1) & (y >= 0) & (y <= rows - 1)
    x, y = np.clip(x, 0, cols - 1), np.clip(y, 0, rows - 1)
    left, top = np.intp(x), np.intp(y)
    right, bottom = np.minimum(left + 1, cols - 1), np.minimum(top + 1, rows - 1)
    x, y = (x - left)[..., None], (y - top)[..., None]
    picture = picture.astype(np.float32)
    above = (1 - x) * picture[top, left] + x * picture[top, right]
    below = (1 - x) * picture[bottom, left] + x * picture[bottom, right]
    return (1 - y) * above + y * below, inside


def certain(flow, forward=None):
    """Return where flow is to be believed, float32 (H, W): 1, or 0.

    It is 0 where the flow

    - is unknown, or leads out of the frame before;
    - changes from pixel to pixel, the boundary of a motion:
      |∇u|² + |∇v|² > 0.01 |(u, v)|² + 0.002
    - is not undone by `forward`, the flow (H, W, 3) from the frame before to this one, as where
      something has come into sight: |f + b|² > 0.01 (|f|² + |b|²) + 0.5,
      b the vector of a pixel, f the forward one where that pixel was.

    Ruder et al. 2016, arXiv 1604.08610, section 4.
    """
    vectors = flow[..., :2]
    moved, inside = warped(flow if forward is None else forward, flow)
    found = inside & (flow[..., 2] == 1) & (moved[..., 2] == 1)
    length = _square(vectors)
    down = np.diff(vectors, axis=0, append=vectors[-1:])
    right = np.diff(vectors, axis=1, append=vectors[:, -1:])
    found &= _square(down) + _square(right) <= 0.01 * length + 0.002
    if forward is not None:
        back = moved[..., :2]
        found &= _square(back + vectors) <= 0.01 * (_square(back) + length) + 0.5
    return found.astype(np.float32)


def _square(vectors):
    """Return the square of the length of each vector, (H, W)."""
    return (vectors**2).sum(axis=2)
