"""MATLAB files of level 5 (`save -v6`, `-v7`, SciPy): every size is checked before it is believed.

    128 bytes     text, version 0x0100, "IM" (little endian) or "MI"
    elements      type (uint32), number of bytes (uint32), bytes up to a multiple of 8;
                  up to 4 bytes stand in the tag itself: number of bytes, type (uint16), bytes
    compressed    a zlib stream of one element
    matrix        flags with the class, sizes, name, then by class: numbers; text; matrices (cell);
                  length and text of field names, matrices (struct)

Values become numbers (arrays with MATLAB's axes), text, lists (cells), dictionaries (structs) and
lists of dictionaries (arrays of structs). SciPy reads these files too, but allocates what they
claim; the tests compare the two.

Source: MathWorks, MAT-File Format, chapter 1, Level 5.
"""

import struct
import zlib

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.storage.limits import MAX_DEPTH, array_from

TYPES = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
TEXTS = {1: "latin-1", 2: "latin-1", 16: "utf-8", 4: "utf-16", 17: "utf-16", 18: "utf-32"}
MATRIX, COMPRESSED = 14, 15
CELL, STRUCT, TEXT = 1, 2, 4
NUMBERS = {
    6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8",
}  # fmt: skip


def is_mat5(data: bytes) -> bool:
    """Tell by the header."""
    return data[126:128] in (b"IM", b"MI") and data[:4] != b"\0\0\0\0"


def read_tree(data: bytes, budget) -> dict:
    """Return {name of a variable: value}; variables of other classes are left out."""
    order = "<" if data[126:128] == b"IM" else ">"
    if len(data) < 128 or struct.unpack_from(f"{order}H", data, 124)[0] != 0x0100:
        raise MinicnnError("a MATLAB file of another version than 5 or 7.3; save it with -v7")
    reader, found, rest = _Reader(order, budget), {}, memoryview(data)[128:]
    while len(rest) >= 8:
        kind, body, rest = reader.element(rest)
        if kind == COMPRESSED:
            kind, body, _ = reader.element(reader.inflate(body))
        if kind != MATRIX:
            raise MinicnnError(f"an element of the type {kind} where a variable is expected")
        name, value = reader.matrix(body, MAX_DEPTH)
        if value is not None:
            found[name] = value
    if len(rest):
        raise MinicnnError("the file ends inside a variable")
    return found


class _Reader:
    def __init__(self, order, budget):
        self.order, self.budget = order, budget

    def inflate(self, body):
        machine, most = zlib.decompressobj(), self.budget.left
        data = machine.decompress(body, max(1, most))
        if machine.unconsumed_tail or not machine.eof:
            raise MinicnnError("a compressed variable that is damaged or too large")
        self.budget.take((len(data),))
        return memoryview(data)

    def element(self, data):
        """Return (type, its bytes, what follows)."""
        self.budget.count()
        if len(data) < 8:
            raise MinicnnError("the file ends inside an element")
        kind, size = struct.unpack_from(f"{self.order}2I", data)
        if kind >> 16:  # a small element
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise MinicnnError(f"a small element of {size} bytes")
            return kind, data[4 : 4 + size], data[8:]
        end = 8 + size
        if end > len(data):
            raise MinicnnError(f"an element of {size} bytes where {len(data) - 8} are left")
        behind = end if kind == COMPRESSED else min(len(data), end + -size % 8)
        return kind, data[8:end], data[behind:]

    def matrix(self, body, depth):
        """Return (name, value); None for classes that are not read."""
        if depth < 0:
            raise MinicnnError("too deeply nested cells")
        if not len(body):
            return "", np.zeros((0, 0))
        _, flags, rest = self.element(body)
        kind, sizes, rest = self.element(rest)
        _, name, rest = self.element(rest)
        if len(flags) < 4 or kind not in (5, 6) or len(sizes) % 4 or len(sizes) > 32:
            raise MinicnnError("a variable without flags and sizes")
        what = struct.unpack_from(f"{self.order}I", flags)[0]
        shape = struct.unpack(f"{self.order}{len(sizes) // 4}i", sizes)
        name = bytes(name).decode("latin-1")
        what, is_complex = what & 0xFF, what & 0x800
        if what in NUMBERS and not is_complex:
            return name, self.numbers(rest, what, shape)
        if what == TEXT:
            return name, self.text(rest)
        if what == CELL:
            return name, self.matrices(rest, self.budget.take(shape, 8), depth)[0]
        if what == STRUCT:
            return name, self.struct(rest, self.budget.take(shape, 8), depth)
        return name, None

    def numbers(self, rest, what, shape):
        kind, body, _ = self.element(rest)
        if kind not in TYPES:
            raise MinicnnError(f"numbers of the unknown type {kind}")
        stored = np.dtype(TYPES[kind]).newbyteorder(self.order)
        array = array_from(body, stored, shape, self.budget, order="F")
        wanted = np.dtype(NUMBERS[what])
        if wanted.itemsize > stored.itemsize:  # MATLAB stores whole doubles as small integers
            self.budget.take(shape, wanted.itemsize)
        return array.astype(wanted, copy=False)

    def text(self, rest):
        if not len(rest):
            return ""
        kind, body, _ = self.element(rest)
        encoding = TEXTS.get(kind, "latin-1")
        if encoding in ("utf-16", "utf-32"):
            encoding += "-le" if self.order == "<" else "-be"
        return bytes(body).decode(encoding, "replace")

    def matrices(self, rest, count, depth):
        """Return the values of `count` matrices, and what follows."""
        values = []
        for _ in range(count):
            kind, body, rest = self.element(rest)
            if kind != MATRIX:
                raise MinicnnError(f"an element of the type {kind} in a cell or struct")
            values.append(self.matrix(body, depth - 1)[1])
        return values, rest

    def struct(self, rest, count, depth):
        _, length, rest = self.element(rest)
        _, names, rest = self.element(rest)
        length = int.from_bytes(length, "little" if self.order == "<" else "big")
        if not 0 < length <= 64 or len(names) % length:
            raise MinicnnError("a struct without field names")
        names = [
            bytes(names[i : i + length]).split(b"\0")[0].decode("latin-1")
            for i in range(0, len(names), length)
        ]
        records = []
        for _ in range(count):
            self.budget.count()
            values, rest = self.matrices(rest, len(names), depth)
            records.append(dict(zip(names, values, strict=True)))
        return records[0] if count == 1 else records
