"""PNG with 16 bits a channel, which Pillow cannot write: colours between the 256 levels are kept.

    file    = signature, IHDR, tEXt "minicnn", IDAT, IEND
    chunk   = length, type, data, CRC-32 of type and data
    IDAT    = zlib of the rows; each row a filter byte, then its bytes, big-endian, filtered
    Sub     byte - byte six to the left       Up    byte - byte above        (modulo 256)

Of the two filters each row gets the one with the smaller sum of |signed bytes|, the rule of thumb
of the PNG specification (W3C, section 12.8).
"""

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
DEPTH, RGB = 16, 2
SUB, UP = 1, 2
PIXEL = 6  # bytes


def encode(rgb, text=None):
    """Return the bytes of the PNG file.

    Parameters
    ----------
    rgb : uint16 (H, W, 3)
    text : str, optional
        ASCII, to be stored under the keyword "minicnn".
    """
    height, width = rgb.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, DEPTH, RGB, 0, 0, 0)
    chunks = [_chunk(b"IHDR", header)]
    if text is not None:
        chunks.append(_chunk(b"tEXt", b"minicnn\0" + text.encode("ascii")))
    rows = np.ascontiguousarray(rgb, ">u2").view(np.uint8).reshape(height, width * PIXEL)
    chunks.append(_chunk(b"IDAT", zlib.compress(_filtered(rows), 6)))
    return SIGNATURE + b"".join([*chunks, _chunk(b"IEND", b"")])


def _chunk(kind, data):
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def _filtered(rows):
    """Return the rows uint8 (H, bytes), each behind the number of its filter."""
    sub, up = rows.copy(), rows.copy()
    sub[:, PIXEL:] -= rows[:, :-PIXEL]
    up[1:] -= rows[:-1]
    cost_sub, cost_up = (
        np.abs(part.view(np.int8).astype(np.int16)).sum(axis=1, dtype=np.int64)
        for part in (sub, up)
    )
    use_up = (cost_up < cost_sub)[:, None]
    numbers = np.where(use_up, np.uint8(UP), np.uint8(SUB))
    return np.concatenate([numbers, np.where(use_up, up, sub)], axis=1).tobytes()
