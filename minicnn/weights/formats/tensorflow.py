"""TensorFlow's checkpoints, without TensorFlow: a table in blocks, sorted by name.

    footer   at the end, 48 bytes: handles of two blocks, padding, a magic number; the second block
             has a handle for each block of entries (handle: varint offset, varint size)
    block    entries, the places of some of them, their number (uint32); then one byte: compressed
    entry    varints: bytes that the key shares with the one before, own bytes, bytes of the value
    V2       PREFIX.index: under "" a BundleHeader (num_shards = 1, endianness = 2); then by name
             BundleEntry (dtype = 1, shape = 2, shard_id = 3, offset = 4, size = 5) of the values
             in PREFIX.data-00000-of-00001, ...
    V1       one file: under "" SavedTensorSlices (meta = 1: tensor = 1: name = 1, shape = 2); then
             (data = 2: name = 1, data = 3: content = 4, float = 5, double = 6)
    shape    dim = 2: size = 1

Arrays are called by their names, without "/.ATTRIBUTES/VARIABLE_VALUE". Only floating-point
numbers are read: the others count steps, or are text. Kernels (R, S, C, K) and matrices (in, out)
are turned.

Source: tensorflow/core/lib/io/table_format.txt; protobuf/tensor_bundle.proto; util/saved_tensor_
slice.proto; framework/tensor.proto.
"""

import re

from minicnn.errors import MinicnnError
from minicnn.storage.limits import Cursor, array_from, widen_bfloat16
from minicnn.weights.formats.axes import turned
from minicnn.weights.formats.protobuf import BYTES, VARINT, fields, varint
from minicnn.weights.formats.siblings import read_beside

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
FOOTER = 48  # bytes
OBJECT = "/.ATTRIBUTES/VARIABLE_VALUE"  # behind the names of variables of TensorFlow 2
BFLOAT16 = 14
TYPES = {1: "<f4", 2: "<f8", 19: "<f2", BFLOAT16: "<u2"}
CONTENTS = {4: None, 5: 1, 6: 2}  # fields with values, and their type; the first's is told beside


def read(data: bytes, path, budget) -> dict:
    """Return {name: array} of the table `data` in the file `path`.

    Raises
    ------
    MinicnnError
        If it is damaged, a variable is in parts, or a file with values is missing.
    """
    entries = dict(_entries(data, budget))
    head = list(fields(entries.pop(b"", b""), budget))
    arrays = _slices(entries, head, budget)
    if any((number, wire) == (1, VARINT) for number, wire, _ in head):
        arrays = _bundle(entries, dict((number, value) for number, _, value in head), path, budget)
    found = {}
    for name, kind, shape, values in arrays:
        array = array_from(values, TYPES[kind], shape, budget)
        array = turned(widen_bfloat16(array) if kind == BFLOAT16 else array)
        budget.put(found, name.removesuffix(OBJECT), array)
    return found


def _entries(data, budget):
    """Yield (key, value) of the table."""
    footer = Cursor(data[-FOOTER:])
    for _ in range(2):
        varint(footer)
    for _, handle in _block(data, footer, budget):
        yield from _block(data, Cursor(handle), budget)


def _block(data, handle, budget):
    offset, size = varint(handle), varint(handle)
    budget.take(size)
    if offset + size >= len(data):
        raise MinicnnError("truncated or damaged: a block beyond the end")
    if data[offset + size]:
        raise MinicnnError("a table that is compressed, which is not read")
    block = memoryview(data)[offset : offset + size]
    places = 4 * (1 + int.from_bytes(block[-4:], "little"))
    cursor, key = Cursor(block[: max(0, size - places)]), b""
    while cursor.rest:
        budget.step()
        shared, own, count = varint(cursor), varint(cursor), varint(cursor)
        key = key[:shared] + bytes(cursor.take(own))
        budget.take(len(key), "the names of its arrays")
        yield key, cursor.take(count)


def _bundle(entries, head, path, budget):
    """Yield (name, type, shape, bytes) of the variables of V2."""
    shards, prefix = head[1], re.sub(r"\.index$", "", path.name)
    if head.get(2):
        raise MinicnnError("written on a machine of the other byte order, which is not read")
    files = {}
    for key, value in entries.items():
        entry = {number: part for number, _, part in fields(value, budget)}
        kind, shard = entry.get(1), entry.get(3, 0)
        if kind not in TYPES:
            continue
        if 7 in entry:
            raise MinicnnError(f"{key[:60].decode()} is in parts, which are not read")
        if shard not in files:
            name = f"{prefix}.data-{shard:05d}-of-{shards:05d}"
            files[shard] = memoryview(read_beside(path, name, budget))
        start, size = entry.get(4, 0), entry.get(5, 0)
        yield key.decode(), kind, _shape(entry.get(2, b""), budget), files[shard][start:][:size]


def _slices(entries, head, budget):
    """Yield the same of V1."""
    shapes = {}
    for meta in (value for number, _, value in head if number == 1):
        for tensor in _all(meta, 1, budget):
            about = {number: part for number, _, part in fields(tensor, budget)}
            shapes[bytes(about[1])] = about.get(2, b"")
    for value in entries.values():
        for part in _all(value, 2, budget):
            saved = {number: part for number, _, part in fields(part, budget)}
            name, values = bytes(saved[1]), {n: v for n, _, v in fields(saved[3], budget)}
            for field, kind in CONTENTS.items():
                kind = values.get(1) if kind is None else kind
                if field in values and kind in TYPES:
                    yield name.decode(), kind, _shape(shapes[name], budget), values[field]


def _shape(message, budget):
    shape = tuple(
        next((size for number, _, size in fields(dim, budget) if number == 1), 0)
        for dim in _all(message, 2, budget)
    )
    if len(shape) > 8:
        raise MinicnnError(f"an array with {len(shape)} axes")
    return shape


def _all(message, wanted, budget):
    return (v for number, wire, v in fields(message, budget) if (number, wire) == (wanted, BYTES))
