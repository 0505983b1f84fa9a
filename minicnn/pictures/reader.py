"""Read any common picture file as RGB bytes.

Whatever a file holds (grey, palette, alpha, CMYK, 16 bits, a turned camera, several frames) is
brought to one form, uint8 (H, W, 3) RGB, and what was done on the way is said in notes. Colour
profiles are ignored, as the networks' training pipelines did.

Memory: what Pillow decodes, 4 bytes a pixel for most kinds, and the result, 3 bytes a pixel; all
steps between go strip by strip. Kinds that take more have a smaller limit of pixels.
"""

import contextlib
import ctypes
import io
import logging
import os
import re
import stat
import threading
import warnings
from functools import partial
from mmap import ACCESS_READ, mmap
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from minicnn.errors import MinicnnError
from minicnn.storage.atomic import quoted

MAX_PIXELS = 100_000_000
COSTLY = {"AVIF": 2, "WEBP": 2, "JPEG2000": 3, "QOI": 4}  # times the memory or time of others
CONTAINERS = ("ICNS", "ICO")  # a picture of another kind is inside
SCANS = 20  # of a progressive JPEG of MAX_PIXELS; usual are 10
STRIP = 1 << 18  # pixels
DRAWINGS = ("EPS", "WMF")  # Pillow would run another program

# EXIF and TIFF tags
_ORIENTATION, _BITS, _PHOTOMETRIC, _PACKED, _PLANES = 274, 258, 262, 259, 284
# EXIF orientation: whether rows become columns, then the steps along rows and columns
_TURNS = {
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd9-\xfe]")  # of a JPEG, but those inside of a scan
_START_OF_SCAN, _END = 0xDA, 0xD9
_one_at_a_time = threading.RLock()

# Pillow's logger and libtiff would write to stderr by themselves
logging.getLogger("PIL").addHandler(logging.NullHandler())
with contextlib.suppress(OSError, AttributeError):
    for _name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        getattr(ctypes.CDLL(Image.core.__file__), _name)(None)


class Picture(NamedTuple):
    """A picture as read: `pixels` uint8 (H, W, 3) RGB, and `notes`, what was done on the way."""

    pixels: np.ndarray
    notes: list

    def _repr_png_(self) -> bytes:  # what notebooks show
        return png_bytes(self.pixels)


def png_bytes(pixels) -> bytes:
    """Return the bytes of a PNG file of a picture uint8 (H, W, 3)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def load_image(
    path: str | os.PathLike[str],
    *,
    encoded: bytes | None = None,
    mask: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Picture:
    """Read a picture file as RGB bytes.

    Parameters
    ----------
    path : path-like
        PNG, JPEG, TIFF, WebP, GIF, BMP, PNM or another kind that Pillow decodes.
    encoded : bytes, optional
        What the file holds, where it is no file of its own; `path` is then its name in messages.
    mask : bool
        An alpha channel that varies is the picture, as three equal channels.
    max_pixels : int
        A larger picture is refused from its header, before anything is decoded.

    Returns
    -------
    Picture
        `pixels` uint8 (H, W, 3) and `notes`, a list of lines: transparent parts are composited
        on white, 16 bits reduced to 8 (grey rounded, colour within one level), the EXIF
        orientation is applied, and of several frames the first is used.

    Raises
    ------
    MinicnnError
        If the file is missing, unreadable, damaged, no picture, or too large.
    """
    notes = []
    with open_picture(path, notes, encoded) as image:
        _check_size(path, image, max_pixels)
        inside = max(COSTLY.values()) if image.format in CONTAINERS else 1
        Image.MAX_IMAGE_PIXELS = max_pixels // inside
        if getattr(image, "is_animated", False):
            notes.append("the first of several frames or pages is used")
        # Pillow turns a TIFF while it loads it, and the others not
        turned = image.format == "TIFF" and _orientation(image) in _TURNS
        reduced = _reduction(path, image, notes)
        image.load()
        pixels = _rgb(image, reduced, mask, notes)
        turn = _TURNS.get(_orientation(image))
    if turn is not None:
        transposed, rows, columns = turn
        pixels = pixels.transpose(1, 0, 2) if transposed else pixels
        pixels = np.ascontiguousarray(pixels[::rows, ::columns])
    if turned or turn is not None:
        notes.append("turned upright by its EXIF orientation")
    return Picture(pixels, notes)


def _check_size(path, image, max_pixels):
    """Refuse what would take too much memory or time to decode."""
    width, height = image.size
    if min(image.size) < 1:
        raise MinicnnError(f"cannot use {quoted(path)}: it has no pixels ({width} x {height})")
    if width * height > (most := max_pixels // COSTLY.get(image.format, 1)):
        raise MinicnnError(
            f"{quoted(path)} has {width} x {height} = {width * height:,} pixels, more than the "
            f"limit of {most:,} for {image.format}; make it smaller first"
        )
    if image.format in ("JPEG", "MPO"):
        scans = _scans(image.fp)
        if scans * width * height > SCANS * MAX_PIXELS:
            raise MinicnnError(
                f"cannot use {quoted(path)}: a JPEG of {width} x {height} pixels in {scans:,} "
                "scans takes too long; save it again"
            )


def _scans(file):
    """Return how many scans the first picture of a JPEG file has."""
    in_memory, at, scans = isinstance(file, io.BytesIO), 2, 0
    data = file.getbuffer() if in_memory else mmap(file.fileno(), 0, access=ACCESS_READ)
    while (found := _MARKER.search(data, at)) and data[found.start() + 1] != _END:
        scans += data[found.start() + 1] == _START_OF_SCAN
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return scans


@contextlib.contextmanager
def open_picture(path, notes, encoded=None):
    """Open a picture; every way in which it can be bad ends in one line with its name.

    Pillow's warnings become notes, and its own size limit is lifted while the header is read.
    Both are settings of the process, hence the lock.
    """
    limit, size = Image.MAX_IMAGE_PIXELS, ""
    opened = _regular_file(path) if encoded is None else io.BytesIO(encoded)
    with _one_at_a_time, opened as file, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = None
        try:
            with Image.open(file) as image:
                if image.format in DRAWINGS:
                    raise MinicnnError(
                        f"cannot use {quoted(path)}: {image.format} is a drawing, not a picture; "
                        "convert it to PNG first"
                    )
                size = " of {} x {} pixels".format(*image.size)
                yield image
        except MinicnnError:
            raise
        except UnidentifiedImageError:
            raise MinicnnError(
                f"cannot read {quoted(path)}: not a picture, or a kind that Pillow does not know; "
                "use PNG, JPEG, TIFF or WebP"
            ) from None
        except MemoryError:
            raise MinicnnError(
                f"not enough memory to read {quoted(path)}{size}; make the picture smaller first"
            ) from None
        except Exception as error:  # decoders of damaged files raise almost anything
            reason = " ".join(str(error).split()) or type(error).__name__
            raise MinicnnError(
                f"cannot read {quoted(path)}: {reason}; the file is damaged or of an unusual kind"
            ) from error
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    lines = [str(w.message).split("\n")[0] for w in said if issubclass(w.category, UserWarning)]
    notes.extend(f"Pillow: {line.strip()}" for line in dict.fromkeys(lines))


def _regular_file(path):
    """Open `path` for reading if it is a file with something in it."""
    try:
        found = os.stat(path)
        if stat.S_ISREG(found.st_mode) and found.st_size > 0:
            return open(path, "rb")
    except FileNotFoundError:
        raise MinicnnError(f"there is no file {quoted(path)}; check its name") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or error
        raise MinicnnError(f"cannot read {quoted(path)}: {reason}") from None
    if stat.S_ISDIR(found.st_mode):
        raise MinicnnError(f"{quoted(path)} is a folder; give the name of a picture file")
    kind = "empty (0 bytes)" if stat.S_ISREG(found.st_mode) else "not a regular file"
    raise MinicnnError(f"cannot read {quoted(path)}: it is {kind}")


def _orientation(image):
    """Return the EXIF orientation, 1 to 8; a damaged EXIF block spoils no picture."""
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1


def _reduction(path, image, notes):
    """Return what brings strips to 8 bits, of an image not loaded yet; refuse what cannot be."""
    tags, mode = getattr(image, "tag_v2", {}), image.mode
    if tags.get(_BITS, (8,))[0] == 16 and tags.get(_PLANES) == 2 and tags.get(_PACKED, 1) == 1:
        raise MinicnnError(
            f"cannot use {quoted(path)}: Pillow misreads 16-bit channels stored one after "
            "another (planar); save it interleaved or compressed"
        )
    grey = mode.startswith("I;16") or (mode == "I" and image.format in ("PNG", "PPM"))
    if not grey and mode in ("I", "F"):
        raise MinicnnError(
            f"cannot use {quoted(path)}: 32-bit pixels have no agreed range; "
            "save it with 8 or 16 bits per channel"
        )
    deep = ";16" in str(image.tile)  # of colours, Pillow reads 8 of the 16 bits
    if grey or deep:
        notes.append("16 bits per channel reduced to 8")
    if grey:
        return partial(_grey_from_16, tags=tags)
    if deep and (key := image.info.get("transparency")):
        image.info["transparency"] = tuple(value >> 8 for value in key)
    return lambda strip: strip


def _grey_from_16(image, tags):
    """Return 16-bit grey rounded to mode L, or to LA where a grey is transparent."""
    value = np.asarray(image).astype(np.uint32)
    most = 2 ** tags.get(_BITS, (16,))[0] - 1  # a TIFF may have 12
    grey = ((value * 255 + most // 2) // most).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == 0:
        grey = 255 - grey
    result, key = Image.fromarray(grey), image.info.get("transparency")
    if key is not None:
        result.putalpha(Image.fromarray((value != key).astype(np.uint8) * 255))
    return result


def _rgb(image, reduced, mask, notes):
    """Return the pixels uint8 (H, W, 3), transparent parts on white, or the alpha of a mask."""
    width, height = image.size
    rows = max(1, STRIP // width)
    bands = [slice(top, min(height, top + rows)) for top in range(0, height, rows)]

    def strips(mode):
        for band in bands:
            strip = reduced(image.crop((0, band.start, width, band.stop)))
            yield band, strip if strip.mode == mode else strip.convert(mode)

    if image.mode == "CMYK":
        notes.append("CMYK converted to RGB without a colour profile")
    out, low, high = np.empty((height, width, 3), np.uint8), 255, 255
    if image.has_transparency_data or image.info.get("transparency") is not None:
        alphas = [strip.getchannel("A").getextrema() for _, strip in strips("RGBA")]
        low, high = min(a for a, _ in alphas), max(a for _, a in alphas)
    if low == 255:
        for band, strip in strips("RGB"):
            out[band] = np.asarray(strip)
        return out
    mask = mask and low < high
    notes.append(
        "its alpha channel is the mask" if mask else "transparent parts composited on white"
    )
    for band, strip in strips("RGBA"):
        alpha = strip.getchannel("A")
        if mask:
            out[band] = np.asarray(alpha)[..., None]
        else:
            white = Image.new("RGB", strip.size, "white")
            white.paste(strip.convert("RGB"), mask=alpha)
            out[band] = np.asarray(white)
    return out
