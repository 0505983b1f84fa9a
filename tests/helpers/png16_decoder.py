"""A decoder of PNG of 16 bits a channel that knows the specification alone."""

import struct
import zlib

import numpy as np


def decode(data):
    """Decode a PNG, filter by filter and byte by byte; return (samples, text chunks)."""
    assert data[:8] == bytes([137, 80, 78, 71, 13, 10, 26, 10])
    at, kinds, packed, texts = 8, [], b"", {}
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (crc,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert crc == zlib.crc32(kind + body)
        kinds.append(kind)
        if kind == b"IHDR":
            width, height, *rest = struct.unpack(">IIBBBBB", body)
            assert rest == [16, 2, 0, 0, 0]
        elif kind == b"tEXt":
            keyword, _, text = body.partition(b"\0")
            texts[keyword.decode()] = text.decode("latin-1")
        elif kind == b"IDAT":
            packed += body
        at += 12 + length
    assert kinds[0] == b"IHDR"
    assert kinds[-1] == b"IEND"
    raw, stride = zlib.decompress(packed), 6 * width
    assert len(raw) == height * (1 + stride)
    rows = [bytes(stride)]
    for y in range(height):
        number, coded = raw[y * (1 + stride)], raw[y * (1 + stride) + 1 : (y + 1) * (1 + stride)]
        row = bytearray()
        for i, byte in enumerate(coded):
            left, above = row[i - 6] if i >= 6 else 0, rows[-1][i]
            corner = rows[-1][i - 6] if i >= 6 else 0
            near = min(
                (left, above, corner), key=lambda value: abs(left + above - corner - value)
            )  # Paeth; ties in this order
            row.append((byte + [0, left, above, (left + above) // 2, near][number]) % 256)
        rows.append(bytes(row))
    samples = np.frombuffer(b"".join(rows[1:]), ">u2").reshape(height, width, 3)
    return samples, texts
