"""Picture files that Pillow cannot write, and data sets of small pictures."""

import io
import struct
import zlib

import h5py
import numpy as np
from PIL import Image


def png(path, samples, colour_type, extra=b"", size=None):
    """Write a 16-bit PNG by hand: Pillow cannot write 16-bit colour."""

    def chunk(kind, data):
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    rows, cols = size or samples.shape[:2]
    header = struct.pack(">IIBBBBB", cols, rows, 16, colour_type, 0, 0, 0)
    # alternating filters (none, sub, up) so that the decoder has to undo them
    lines, before = [], None
    step = samples[0, 0].size * 2
    for number, row in enumerate(samples):
        now = np.frombuffer(row.astype(">u2").tobytes(), np.uint8)
        kind = number % 3 if number else 0
        left = np.concatenate([np.zeros(step, np.uint8), now[:-step]])
        lines.append(
            bytes([kind]) + (now - [0 * now, left, before][kind]).astype(np.uint8).tobytes()
        )
        before = now
    data = chunk(b"IDAT", zlib.compress(b"".join(lines)))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + data + chunk(b"IEND", b"")
    )
    return path


def tiff(path, samples, order="<", deflate=False, photometric=None):
    """Write a 16-bit TIFF of one strip by hand."""
    rows, cols = samples.shape[:2]
    planes = samples[0, 0].size
    data = samples.astype(f"{order}u2").tobytes()
    data = zlib.compress(data) if deflate else data
    bits = struct.pack(f"{order}{planes}H", *[16] * planes)
    if photometric is None:
        photometric = 2 if planes >= 3 else 1
    entries = [
        (256, 4, 1, cols),
        (257, 4, 1, rows),
        (258, 3, planes, 8 + len(data) if planes > 2 else 16),
        (259, 3, 1, 8 if deflate else 1),
        (262, 3, 1, photometric),
        (273, 4, 1, 8),
        (277, 3, 1, planes),
        (278, 4, 1, rows),
        (279, 4, 1, len(data)),
        *([(338, 3, 1, 2)] if planes == 4 else []),
    ]
    directory = struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value in entries:
        directory += struct.pack(f"{order}HHI", tag, kind, count)
        short = kind == 3 and count == 1
        directory += (
            struct.pack(f"{order}HH", value, 0) if short else struct.pack(f"{order}I", value)
        )
    at = 8 + len(data) + len(bits)
    at += at % 2
    body = (data + bits).ljust(at - 8, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, at)
    path.write_bytes(head + body + directory + b"\0\0\0\0")
    return path


def planar_tiff(path, samples, deflate=False):
    """Write a 16-bit TIFF with a strip for each channel by hand."""
    rows, cols, planes = samples.shape
    strips = [samples[..., i].astype("<u2").tobytes() for i in range(planes)]
    strips = [zlib.compress(strip) if deflate else strip for strip in strips]
    sizes = [len(strip) for strip in strips]
    starts = [8 + sum(sizes[:i]) for i in range(planes)]
    body = b"".join(strips)
    at = 8 + len(body)
    body += struct.pack(f"<{planes}H{2 * planes}I", *[16] * planes, *starts, *sizes)
    body += b"\0" * (len(body) % 2)
    entries = [
        (256, 4, 1, cols),
        (257, 4, 1, rows),
        (258, 3, planes, at),
        (259, 3, 1, 8 if deflate else 1),
        (262, 3, 1, 2),
        (273, 4, planes, at + 2 * planes),
        (277, 3, 1, planes),
        (278, 4, 1, rows),
        (279, 4, planes, at + 6 * planes),
        (284, 3, 1, 2),
    ]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = b"II" + struct.pack("<HI", 42, 8 + len(body))
    path.write_bytes(head + body + struct.pack("<H", len(entries)) + directory + b"\0" * 4)
    return path


def encoded(rng, size=(8, 10)):
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def write_folder(root, rng, counts):
    for split, classes in counts.items():
        for name, count in classes.items():
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                (root / split / name / f"{i}.png").write_bytes(encoded(rng))
    return root


def write_hdf5(path, rng, counts):
    with h5py.File(path, "w") as file:
        for split, count in counts.items():
            pictures = [encoded(rng) for _ in range(count)]
            file[f"{split}/bytes"] = np.frombuffer(b"".join(pictures), np.uint8)
            file[f"{split}/offset"] = np.cumsum([0, *map(len, pictures)])
            file[f"{split}/label"] = np.arange(count) % 2
        file.attrs["class_names"] = ["cat", "dog"]
    return path
