"""Write a picture file whole or not at all, with the settings that made it inside.

The bytes are made in memory, written to a temporary file in the same folder and renamed. The
settings travel as JSON, so that a picture can be made again from the file alone.
"""

import io
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from minicnn.errors import MinicnnError
from minicnn.pictures import png16
from minicnn.pictures.reader import open_picture
from minicnn.storage import atomic
from minicnn.storage.atomic import quoted, write_whole

_WRITERS = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".tif": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ".tiff": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ".webp": ("WEBP", {"lossless": True}),
}
SUFFIXES = tuple(_WRITERS)
STDOUT = "-"  # in the place of a file: a PNG
_DESCRIPTION = 0x010E  # the EXIF tag ImageDescription


def check_output(path, force=False):
    """Check that `save_image` can write to `path`, see `atomic.check_output`."""
    if path != STDOUT:
        atomic.check_output(path, force, SUFFIXES)
    elif os.isatty(1):
        raise MinicnnError(
            "stdout is a terminal, no place for a picture; pipe it on, or name a file"
        )


def check_bits(path, bits):
    """Check that the format of `path` holds so many bits a channel, 8 or 16.

    Raises
    ------
    MinicnnError
        If it does not.
    """
    if bits not in (8, 16):
        raise MinicnnError(f"no pictures of {bits} bits a channel; use 8 or 16")
    if bits == 16 and _suffix(path) != ".png":
        raise MinicnnError(
            f"cannot write {quoted(path)} with 16 bits a channel: only .png holds them here"
        )


def save_image(
    path: str | os.PathLike[str],
    rgb: Any,
    *,
    metadata: Mapping[str, Any] | None = None,
    force: bool = False,
) -> None:
    """Write a picture; the suffix chooses PNG, TIFF or WebP (all lossless) or JPEG (quality 95).

    The same picture and metadata give the same bytes. Metadata is written as JSON with sorted
    keys: in a PNG as the text chunk "minicnn", elsewhere after the word "minicnn" in the EXIF
    image description, of which a JPEG holds about 65,000 bytes.

    Parameters
    ----------
    path : path-like
        Ends in .png, .jpg, .jpeg, .tif, .tiff or .webp; or is "-": a PNG on stdout.
    rgb : uint8 (H, W, 3), or uint16 for a PNG of 16 bits a channel
        `images.to_uint8` and `images.to_uint16` make it from floating point.
    metadata : dict, optional
        What JSON holds, NumPy values and paths; NaN and infinity become words.
    force : bool
        Replace an existing file.

    Raises
    ------
    MinicnnError
        As `check_output` does, or if the disk is full or the format cannot hold the picture.
    """
    check_output(path, force)
    rgb = np.asarray(rgb)
    known = rgb.dtype in (np.uint8, np.uint16)
    if not known or rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
        raise MinicnnError(
            f"cannot write {quoted(path)}: pixels must be uint8 (H, W, 3), not {rgb.dtype} "
            f"{rgb.shape}; images.to_uint8 rounds floating point"
        )
    check_bits(path, 8 * rgb.itemsize)
    data = _encoded(path, rgb, metadata)
    if path != STDOUT:
        write_whole(path, data)
        return
    with open(1, "wb", closefd=False) as file:
        file.write(data)


def read_metadata(path):
    """Return the metadata dict that `save_image` wrote into the picture file `path`.

    Raises
    ------
    MinicnnError
        If the file cannot be read or carries no metadata of minicnn.
    """
    with open_picture(path, []) as image:
        if image.format == "PNG":
            text = image.info.get("minicnn")
        else:
            word, _, text = str(image.getexif().get(_DESCRIPTION, "")).partition(" ")
            text = text if word == "minicnn" else None
    try:
        values = json.loads(text or "null")
    except json.JSONDecodeError:
        values = None
    if not isinstance(values, dict):
        raise MinicnnError(
            f"{quoted(path)} carries no minicnn metadata; it was not written by minicnn, "
            "or another program has saved it since"
        )
    return values


def _suffix(path):
    return ".png" if path == STDOUT else Path(path).suffix.lower()


def _encoded(path, rgb, metadata):
    """Return the bytes of the picture file."""
    kind, options = _WRITERS[_suffix(path)]
    text = None
    if metadata is not None:
        text = json.dumps(_plain(metadata), sort_keys=True, allow_nan=False)
    if rgb.dtype == np.uint16:
        return png16.encode(rgb, text)
    if text is not None:
        if kind == "PNG":
            options = {**options, "pnginfo": PngInfo()}
            options["pnginfo"].add_text("minicnn", text)
        else:
            options = {**options, "exif": Image.Exif()}
            options["exif"][_DESCRIPTION] = f"minicnn {text}"
    memory = io.BytesIO()
    try:
        Image.fromarray(np.ascontiguousarray(rgb)).save(memory, kind, **options)
    except (OSError, ValueError) as error:
        raise MinicnnError(f"cannot write {quoted(path)}: {error}; use .png instead") from error
    return memory.getvalue()


def _plain(value):
    """Return `value` in types that JSON knows."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise MinicnnError(f"metadata cannot hold {value!r} of type {type(value).__name__}")
