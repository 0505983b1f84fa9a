"""Read any common picture file as RGB bytes.

Whatever a file holds (grey, palette, alpha, CMYK, 16 bits, a turned camera, several frames) is
brought to one form, uint8 (H, W, 3) RGB, and what was done on the way is said in notes. Colour
profiles are ignored, as the networks' training pipelines did.
"""

import contextlib
import os
import stat
import threading
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from minicnn.errors import MinicnnError
from minicnn.storage.atomic import quoted

MAX_PIXELS = 100_000_000

# EXIF and TIFF tags
_ORIENTATION, _BITS, _PHOTOMETRIC, _PACKED, _PLANES = 274, 258, 262, 259, 284
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_one_at_a_time = threading.RLock()


class Picture(NamedTuple):
    """A picture as read: `pixels` uint8 (H, W, 3) RGB, and `notes`, what was done on the way."""

    pixels: np.ndarray
    notes: list


def load_image(path, *, max_pixels=MAX_PIXELS):
    """Read a picture file as RGB bytes.

    Parameters
    ----------
    path : path-like
        PNG, JPEG, TIFF, WebP, GIF, BMP, PNM or another kind that Pillow decodes.
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
    with open_picture(path, notes) as image:
        _check_size(path, image.size, max_pixels)
        # a picture inside the picture (ICO) is held to the same limit while it is decoded
        Image.MAX_IMAGE_PIXELS = max_pixels
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            notes.append(f"the first of {frames} frames or pages is used")
        # Pillow turns a TIFF while it loads it, and the others not
        turned = image.format == "TIFF" and _orientation(image) in _TURNS
        _refuse_planar(path, image)
        deep = ";16" in str(image.tile)
        image.load()
        rgb = _composited(_eight_bits(path, image, deep, notes), notes)
        turn = _TURNS.get(_orientation(image))
        if turn is not None:
            rgb = rgb.transpose(turn)
        if turned or turn is not None:
            notes.append("turned upright by its EXIF orientation")
        return Picture(np.array(rgb), notes)


def _check_size(path, size, max_pixels):
    width, height = size
    if min(size) < 1:
        raise MinicnnError(f"cannot use {quoted(path)}: it has no pixels ({width} x {height})")
    if width * height > max_pixels:
        raise MinicnnError(
            f"{quoted(path)} has {width} x {height} = {width * height:,} pixels, more than the "
            f"limit of {max_pixels:,}; make it smaller first, or raise max_pixels"
        )


@contextlib.contextmanager
def open_picture(path, notes):
    """Open a picture; every way in which it can be bad ends in one line with its name.

    Pillow's warnings become notes, and its own size limit is lifted while the header is read.
    Both are settings of the process, hence the lock.
    """
    limit = Image.MAX_IMAGE_PIXELS
    with _one_at_a_time, _regular_file(path) as file, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = None
        try:
            with Image.open(file) as image:
                if image.format in ("EPS", "WMF"):  # Pillow would run another program
                    raise MinicnnError(
                        f"cannot use {quoted(path)}: {image.format} is a drawing, not a picture; "
                        "convert it to PNG first"
                    )
                yield image
        except MinicnnError:
            raise
        except UnidentifiedImageError:
            raise MinicnnError(
                f"cannot read {quoted(path)}: not a picture, or a kind that Pillow does not know; "
                "use PNG, JPEG, TIFF or WebP"
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


def _refuse_planar(path, image):
    """Refuse a TIFF with a plane for each 16-bit channel, of which Pillow mixes up the bytes."""
    tags = getattr(image, "tag_v2", {})
    if tags.get(_BITS, (8,))[0] == 16 and tags.get(_PLANES) == 2 and tags.get(_PACKED, 1) == 1:
        raise MinicnnError(
            f"cannot use {quoted(path)}: Pillow misreads 16-bit channels stored one after "
            "another (planar); save it interleaved or compressed"
        )


def _eight_bits(path, image, deep, notes):
    """Return the image with 8 bits per channel; `deep`: Pillow has read 8 of 16 of colour."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        image = _grey_from_16(image)
    elif deep:
        if key := image.info.get("transparency"):
            image.info["transparency"] = tuple(value >> 8 for value in key)
    elif image.mode in ("I", "F"):
        raise MinicnnError(
            f"cannot use {quoted(path)}: 32-bit pixels have no agreed range; "
            "save it with 8 or 16 bits per channel"
        )
    else:
        return image
    notes.append("16 bits per channel reduced to 8")
    return image


def _grey_from_16(image):
    """Return the 16-bit grey image rounded to mode L, or to LA where a grey is transparent."""
    tags = getattr(image, "tag_v2", {})
    value = np.asarray(image).astype(np.uint32)
    most = 2 ** tags.get(_BITS, (16,))[0] - 1  # a TIFF may have 12
    grey = ((value * 255 + most // 2) // most).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == 0:
        grey = 255 - grey
    result, key = Image.fromarray(grey), image.info.get("transparency")
    if key is not None:
        result.putalpha(Image.fromarray((value != key).astype(np.uint8) * 255))
    return result


def _composited(image, notes):
    """Return the image as RGB, its transparent parts on white."""
    if image.mode == "CMYK":
        notes.append("CMYK converted to RGB without a colour profile")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        if alpha.getextrema()[0] < 255:
            notes.append("transparent parts composited on white")
            white = Image.new("RGB", image.size, "white")
            white.paste(image.convert("RGB"), mask=alpha)
            return white
    return image.convert("RGB")
