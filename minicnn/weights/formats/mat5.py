"""MATLAB files of level 5 (`save -v6`, `-v7`, SciPy): every size is checked before it is believed.

    128 bytes     text, version 0x0100, "IM" (little endian) or "MI"
    elements      type (uint32), number of bytes (uint32), bytes up to a multiple of 8;
                  up to 4 bytes stand in the tag itself: number of bytes, type (uint16), bytes
    compressed    a zlib stream of one element
    matrix        flags with the class, sizes, name, then by class: numbers; text; matrices (cell);
                  length and text of field names, matrices (struct)

Values become numbers (arrays with MATLAB's axes), text, lists (cells), dictionaries (structs) and
lists of dictionaries (arrays of structs). SciPy reads these files too, but its reader (of 1.17)
allocates what they claim, and unknown types and deep cells crash it; the tests compare the two.

Source: MathWorks, MAT-File Format, chapter 1, Level 5.
"""

import zlib

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.storage.limits import MAX_DEPTH, Cursor, array_from

ORDERS = {b"\0\1IM": "little", b"\1\0MI": "big"}  # by the version and the mark, bytes 124 to 128
STORED = {  # by type
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
NUMBERS = dict(enumerate("f8 f4 i1 u1 i2 u2 i4 u4 i8 u8".split(), start=6))  # by class
TEXTS = {4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}  # by type; all others are latin-1
MATRIX, COMPRESSED = 14, 15  # types
CELL, STRUCT, TEXT = 1, 2, 4  # classes
MAX_TEXT = 1 << 20  # bytes of a text that is read, and of the field names of a struct


def is_mat5(data: bytes) -> bool:
    """Tell by the header."""
    return data[124:128] in ORDERS


def read_tree(data: bytes, budget) -> dict:
    """Return {name of a variable: value}; variables of other classes are left out."""
    found, elements = {}, _Elements(data[128:], ORDERS[data[124:128]], budget)
    while elements.rest:
        kind, body = elements.next()
        if kind == COMPRESSED:
            kind, body = elements.within(_inflate(body, budget)).next()
        if kind != MATRIX:
            raise MinicnnError(f"an element of the type {kind} where a variable is expected")
        name, value = _matrix(elements.within(body), MAX_DEPTH)
        if value is not None:
            found[name] = value
    return found


class _Elements(Cursor):
    """The elements in a stretch of bytes, one after the other."""

    def __init__(self, data, order, budget):
        super().__init__(data, order)
        self.budget = budget

    def within(self, data):
        return _Elements(data, self.order, self.budget)

    def next(self):
        """Return the type of the next element, and its bytes."""
        self.budget.step()
        kind = self.number(4)
        small = kind >> 16  # the number of bytes of a small element
        if small > 4:
            raise MinicnnError(f"a small element of {small} bytes")
        if small:
            return kind & 0xFFFF, self.take(4)[:small]
        body = self.take(self.number(4))
        if kind != COMPRESSED:
            self.rest = self.rest[-len(body) % 8 :]
        return kind, body

    def matrices(self, count, depth):
        """Return the values of the next `count` elements."""
        values = []
        for _ in range(count):
            kind, body = self.next()
            if kind != MATRIX:
                raise MinicnnError(f"an element of the type {kind} in a cell or struct")
            values.append(_matrix(self.within(body), depth - 1)[1])
        return values


def _inflate(body, budget):
    machine = zlib.decompressobj()
    data = machine.decompress(body, max(1, budget.bytes // 2))  # its arrays take as much again
    if machine.unconsumed_tail or not machine.eof:
        raise MinicnnError("a compressed variable that is damaged or too large")
    budget.take(len(data))
    return data


def _matrix(parts, depth):
    """Return (name, value); None for classes that are not read, and for very long text."""
    if depth < 0:
        raise MinicnnError("too deeply nested cells")
    if not parts.rest:
        return "", np.zeros((0, 0))
    (_, flags), (kind, sizes), (_, name) = parts.next(), parts.next(), parts.next()
    if len(flags) < 4 or kind not in (5, 6) or len(sizes) % 4 or len(sizes) > 32:
        raise MinicnnError("a variable without flags and sizes")
    flags = int.from_bytes(flags[:4], parts.order)
    shape = tuple(np.frombuffer(sizes, np.dtype("i4").newbyteorder(parts.order[0])).tolist())
    what, is_complex, value = flags & 0xFF, flags & 0x800, None
    if what in NUMBERS and not is_complex:
        value = _numbers(parts, np.dtype(NUMBERS[what]), shape)
    elif what == TEXT and len(parts.rest) <= MAX_TEXT:
        value = _text(*parts.next(), parts.order) if parts.rest else ""
    elif what == CELL:
        value = parts.matrices(parts.budget.array(shape, 8), depth)
    elif what == STRUCT:
        value = _struct(parts, parts.budget.array(shape, 8), depth)
    return bytes(name).decode("latin-1"), value


def _numbers(parts, wanted, shape):
    kind, body = parts.next()
    if kind not in STORED:
        raise MinicnnError(f"numbers of the unknown type {kind}")
    stored = np.dtype(STORED[kind]).newbyteorder(parts.order[0])
    array = array_from(body, stored, shape, parts.budget, order="F")
    if wanted.itemsize > stored.itemsize:  # MATLAB stores whole doubles as small integers
        parts.budget.array(shape, wanted.itemsize)
    return array.astype(wanted, copy=False)


def _text(kind, body, order):
    encoding = TEXTS.get(kind, "latin-1")
    if encoding in ("utf-16", "utf-32"):
        encoding += "-le" if order == "little" else "-be"
    return bytes(body).decode(encoding, "replace")


def _struct(parts, count, depth):
    (_, length), (_, text) = parts.next(), parts.next()
    length = int.from_bytes(length, parts.order)
    if not 0 < length <= 64 or len(text) % length or len(text) > MAX_TEXT:
        raise MinicnnError("a struct without field names, or with too many")
    names = np.frombuffer(text, f"S{length}").astype(str).tolist()
    records = []
    for _ in range(count):
        records.append(dict(zip(names, parts.matrices(len(names), depth), strict=True)))
    return records[0] if count == 1 else records
