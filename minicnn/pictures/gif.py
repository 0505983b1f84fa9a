"""An animated GIF, written whole or not at all; each picture with 256 colours of its own."""

import io

import numpy as np
from PIL import Image

from minicnn.errors import MinicnnError
from minicnn.storage.atomic import check_output, write_whole

SUFFIXES = (".gif",)
FRAME, LAST = 0.1, 2.0  # seconds that a picture stands


def check_gif(path, force=False):
    """Check that `save_gif` can write to `path`; see `atomic.check_output`."""
    check_output(path, force, SUFFIXES)


def colours_of(rgb, size):
    """Return a picture uint8 (H, W, 3) brought to `size` = (rows, columns), in 256 colours.

    It needs a third of the memory, for it to wait until the others are there.
    """
    rows, columns = size
    image = Image.fromarray(np.ascontiguousarray(rgb))
    if image.size != (columns, rows):
        image = image.resize((columns, rows), Image.Resampling.BICUBIC)
    return image.quantize(256, dither=Image.Dither.FLOYDSTEINBERG)


def save_gif(path, frames, *, force=False):
    """Write pictures of one size as a GIF that repeats for ever; the last one stands longer.

    Parameters
    ----------
    path : path-like
        Ends in .gif.
    frames : list of pictures from `colours_of`
    force : bool
        Replace an existing file.

    Raises
    ------
    MinicnnError
        As `check_gif` does, or if there is no picture.
    """
    check_gif(path, force)
    if not frames:
        raise MinicnnError(f"cannot write {str(path)!r}: no picture to animate")
    memory = io.BytesIO()
    times = [round(1000 * FRAME)] * (len(frames) - 1) + [round(1000 * LAST)]
    frames[0].save(
        memory, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0, disposal=1
    )
    write_whole(path, memory.getvalue())
