"""Reduce what a command has made to the numbers that should not change.

A file becomes a dictionary of arrays: the pixels of a picture (decoded; every frame of an
animation), the arrays of an .npz or HDF5 file, the columns of a CSV file, the numbers of JSON and
HTML. Left out are times, memory, versions and all text: paths and wording.
"""

import csv
import hashlib
import io
import json
import re
import zlib

import h5py
import numpy as np
from PIL import Image, ImageSequence

UNSTABLE = re.compile(r"second|time|memory|bytes|version|speed|per_s", re.I)
NUMBER = re.compile(
    r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.]*\w)"
    r"(\s*(?:ms|s|min|h|seconds?|minutes?|hours?|[KMGT]i?B|bytes)\b)?"
)
DATA = re.compile(r'<script type="application/json"[^>]*>(.*?)</script>', re.S)
HIDDEN = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.S)
NUMERIC = "biufc"  # kinds of NumPy's types
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".tif", ".tiff", ".webp", ".bmp")


def reduced(path) -> dict:
    """Return {name: array} of a file, as its suffix says; of any other file its bytes."""
    kind = path.suffix.lower()
    if kind in PICTURES:
        return picture(path)
    if kind in (".h5", ".hdf5"):
        return hdf5(path)
    if kind in (".npz", ".npy"):
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files if file[name].dtype.kind in NUMERIC}
    if kind == ".csv":
        return columns(path.read_text())
    if kind in (".json", ".jsonl"):
        return json_numbers(path.read_text())
    if kind in (".html", ".svg"):
        return html_numbers(path.read_text())
    return {"bytes": np.frombuffer(path.read_bytes(), np.uint8)}


def picture(path) -> dict:
    """Return {"pixels": array}, of all 16 bits, or {"frame 0": array, ...}."""
    data = path.read_bytes()
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[24] == 16:
        return {"pixels": png_samples(data)}
    with Image.open(io.BytesIO(data)) as image:
        frames = [
            np.array(frame.convert("RGB" if frame.mode == "P" else frame.mode))
            for frame in ImageSequence.Iterator(image)
        ]
    if len(frames) == 1:
        return {"pixels": frames[0]}
    return {f"frame {i}": frame for i, frame in enumerate(frames)}


def png_samples(data) -> np.ndarray:
    """Return the samples (H, W, C) of a PNG file of 8 or 16 bits, for Pillow drops 8 of 16.

    Without palette and interlace. The filters are those of the PNG specification, section 9.
    """
    width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
    bits, channels = data[24], {0: 1, 2: 3, 4: 2, 6: 4}[data[25]]
    body, at = b"", 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IDAT":
            body += data[at + 8 : at + 8 + size]
        at += size + 12
    step = channels * bits // 8
    lines = np.frombuffer(zlib.decompress(body), np.uint8).reshape(height, 1 + width * step)
    above, rows = [0] * (width * step), []
    for kind, *line in lines.tolist():
        for i in range(len(line)):
            left, up = (line[i - step] if i >= step else 0), above[i]
            corner = above[i - step] if i >= step else 0
            line[i] = (line[i] + _predicted(kind, left, up, corner)) & 255
        rows.append(line)
        above = line
    raw = np.array(rows, np.uint8).tobytes()
    return np.frombuffer(raw, f">u{bits // 8}").reshape(height, width, channels).astype(np.uint16)


def _predicted(kind, left, up, corner):
    if kind == 4:
        guess = left + up - corner
        return min((left, up, corner), key=lambda value: abs(guess - value))
    return (0, left, up, (left + up) // 2)[kind]


def hdf5(path) -> dict:
    """Return the datasets and attributes of a file that are numbers."""
    found = {}

    def take(name, item):
        if isinstance(item, h5py.Dataset):
            if item.dtype.kind in NUMERIC:
                found[name] = np.asarray(item[()])
        for key, value in item.attrs.items():
            if np.asarray(value).dtype.kind in NUMERIC and not UNSTABLE.search(key):
                found[f"{name}@{key}"] = np.asarray(value)

    with h5py.File(path) as file:
        take("", file)
        file.visititems(take)
    return found


def columns(text) -> dict:
    """Return {header: numbers} of a CSV table, without columns of times and of text."""
    header, *rows = csv.reader(io.StringIO(text))
    found = {}
    for name, *cells in zip(header, *rows, strict=True):
        try:
            values = [float(cell or "nan") for cell in cells]
        except ValueError:
            continue
        if not UNSTABLE.search(name):
            found[name] = np.array(values)
    return found


def json_numbers(text) -> dict:
    """Return {keys joined by dots: all numbers there, in order} of JSON or lines of JSON."""
    try:
        values = [json.loads(text)]
    except ValueError:
        values = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    found = {}

    def take(value, name):
        if isinstance(value, dict):
            for key, inner in value.items():
                if not UNSTABLE.search(key):
                    take(inner, f"{name}.{key}" if name else key)
        elif isinstance(value, list):
            for inner in value:
                take(inner, name)
        elif isinstance(value, (bool, int, float)):
            found.setdefault(name, []).append(float(value))

    for value in values:
        take(value, "")
    return {name: np.array(numbers) for name, numbers in found.items()}


def printed(text) -> dict:
    """Return the numbers of JSON lines but those of progress, which come as time goes by."""
    lines = [line for line in text.splitlines() if line.startswith("{")]
    lines = [line for line in lines if json.loads(line).get("event") != "progress"]
    return json_numbers("\n".join(lines))


def html_numbers(text) -> dict:
    """Return the numbers of the JSON in a page, and those that a reader sees, without units."""
    found = {}
    for data in DATA.findall(text):
        found |= json_numbers(data)
    seen = NUMBER.finditer(HIDDEN.sub(" ", text))
    numbers = [m[0].replace(",", "") for m in seen if not m[1]]
    return found | {"text": np.array([float(number) for number in numbers])}


def digest(arrays) -> str:
    """Return a hash of names, types, shapes and values."""
    made = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        made.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        made.update(np.ascontiguousarray(array).tobytes())
    return made.hexdigest()[:32]


def difference(expected, found) -> float:
    """Return the largest difference over the largest magnitude expected; inf if not comparable."""
    if expected.shape != found.shape or expected.dtype.kind != found.dtype.kind:
        return np.inf
    one, two = (np.asarray(array, np.float64) for array in (expected, found))
    finite = np.isfinite(one)
    if not np.array_equal(one[~finite], two[~finite], equal_nan=True):
        return np.inf
    if not np.isfinite(two[finite]).all():
        return np.inf
    apart = np.abs(one[finite] - two[finite]).max(initial=0)
    most = np.abs(one[finite]).max(initial=0)
    return float(apart / most) if most else (np.inf if apart else 0.0)
