"""Torch7's `.t7`, binary and ascii, without Torch: numbers, texts, tables, tensors and modules.

    value      int type: 0 nil, 1 double, 2 text, 3 table, 4 object, 5 boolean, 6 to 8 functions
    text       int length, bytes
    table      int index; where that is new, int number of pairs, and pairs of values
    object     int index; where that is new, text "V 1", text class, and the object itself
    tensor     int number of axes, long sizes, long strides, long offset from 1, value: its storage
    storage    long number of values; values
    others     a value: the table of their fields
    functions  int index (not of type 6), int length, bytes, which are left alone, a value

In ascii, numbers stand between white space, and a line ends behind each text. Arrays are called by
their place in tables, such as modules.1.weight, modules by their name where they have one. Of a
module there are only the arrays that it has learned.

Source: File.lua, Tensor.c and Storage.c of torch/torch7; modules of torch/nn.
"""

import re
import warnings

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.storage.limits import MAX_DEPTH, Cursor
from minicnn.weights.formats import norms
from minicnn.weights.formats.storages import KINDS, Storage, Tensor

STARTS = (b"\4\0\0\0\1\0\0\0", b"\3\0\0\0\1\0\0\0")  # an object or a table, of index 1
ASCII_START = re.compile(rb"[34]\r?\n1\r?\n")
NIL, NUMBER, TEXT, TABLE, OBJECT, BOOLEAN, FUNCTION = range(7)
FUNCTIONS = (FUNCTION, 7, 8)
ARRAY = re.compile(r"torch\.(Cuda)?(\w*)(Tensor|Storage)")
SPACE, LINE = re.compile(rb"\s"), re.compile(rb"\n")
LEARNED = ("weight", "bias", "running_mean", "running_var")
NESTING = 4 * MAX_DEPTH  # a module in a module is four values deep
STEPS = 4  # that a value costs


def is_torch7(data: bytes) -> bool:
    """Tell by the first value."""
    return data.startswith(STARTS) or ASCII_START.match(data[:8]) is not None


def read(data: bytes, budget) -> tuple:
    """Return ({name: array}, layers); layers of a container stand behind the one before.

    Raises
    ------
    MinicnnError
        If it is damaged, nested too deeply or holds a type that is not read.
    """
    cursor = _Binary(data) if data.startswith(STARTS) else _Ascii(data)
    reader = _Reader(cursor, budget)
    tree = reader.value(NESTING)
    for tensor in reader.tensors:
        tensor.cut(budget)
    found, layers = {}, []
    _collect(tree, "", NESTING, budget, found, layers)
    return found, layers


class _Binary(Cursor):
    def whole(self):
        return int.from_bytes(self.take(4), "little", signed=True)

    def long(self):
        return int.from_bytes(self.take(8), "little", signed=True)

    def double(self):
        return float(np.frombuffer(self.take(8), "<f8")[0])

    def text(self, count):
        return bytes(self.take(count)).decode("latin-1")

    def values(self, count, dtype):
        return self.take(count * dtype.itemsize)


class _Ascii:
    """The same, from text; `at` is where it goes on."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def until(self, end):
        match = end.search(self.data, self.at)
        if match is None:
            raise MinicnnError("truncated or damaged: text without an end")
        part, self.at = self.data[self.at : match.start()], match.end()
        return part

    def double(self):
        return float(self.until(SPACE))

    def whole(self):
        return int(self.until(SPACE)[:20])

    long = whole

    def text(self, count):
        if count >= len(self.data) - self.at:
            raise MinicnnError(f"truncated or damaged: a text of {count} bytes")
        part = self.data[self.at : self.at + count].decode("latin-1")
        self.at += count + 1
        return part

    def values(self, count, dtype):
        if not count:
            return b""
        if dtype.itemsize == 1:
            raise MinicnnError("single bytes in ascii, which are not read")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # older NumPy warns where newer ones raise
            found = np.fromstring(self.until(LINE), dtype, sep=" ")
        return found.astype(dtype.newbyteorder("<")).tobytes()


class _Object:
    """A module or the like: its class, and the table of its fields."""

    def __init__(self, name):
        self.name, self.fields = name, {}


class _Reader:
    def __init__(self, cursor, budget):
        self.cursor, self.budget = cursor, budget
        self.known, self.tensors = {}, []  # known: {index: table, object, tensor or storage}

    def value(self, depth):
        """Return a value: None, a number, text, dict, `_Object`, `Storage` or `Tensor`."""
        self.budget.step(STEPS)
        if depth < 0:
            raise MinicnnError("too deeply nested")
        kind = self.cursor.whole()
        if kind == NIL:
            return None
        if kind == NUMBER:
            return self.cursor.double()
        if kind == BOOLEAN:
            return bool(self.cursor.whole())
        if kind == TEXT:
            return self.text()
        if kind not in (TABLE, OBJECT, *FUNCTIONS):
            raise MinicnnError(f"a value of the type {kind}, which Torch7 has not")
        index = object() if kind == FUNCTION else self.cursor.whole()
        if index in self.known:
            return self.known[index]
        self.known[index] = found = {} if kind == TABLE else None
        if kind == OBJECT:
            return self.object(index, depth)
        if kind == TABLE:
            self.pairs(found, depth)
        else:
            self.text()
            self.value(depth - 1)  # what the function refers to
        return found

    def text(self):
        count = self.cursor.whole()
        if count < 0:
            raise MinicnnError(f"a text of {count} bytes")
        return self.cursor.text(count)

    def pairs(self, table, depth):
        for _ in range(self.cursor.whole()):
            key, value = self.value(depth - 1), self.value(depth - 1)
            if isinstance(key, float) and key.is_integer():
                key = int(key)
            if isinstance(key, (int, str)):
                table[key] = value

    def object(self, index, depth):
        name = self.text()
        if name.startswith("V "):
            name = self.text()
        array = ARRAY.fullmatch(name)
        if array is None:
            found = self.known[index] = _Object(name[:60])
            fields = self.value(depth - 1)
            found.fields = fields if isinstance(fields, dict) else {}
            return found
        kind = array[2] or "Float"
        if kind not in KINDS:
            raise MinicnnError(f"a {name[:60]}, which is not read")
        if array[3] == "Storage":
            found = self.known[index] = Storage(KINDS[kind], self.cursor.long())
            found.fill(self.cursor.values(found.count, found.stored), "little")
            return found
        return self.tensor(index, depth)

    def tensor(self, index, depth):
        axes = self.cursor.whole()
        if not 0 <= axes <= 8:
            raise MinicnnError(f"a tensor with {axes} axes")
        shape = tuple(self.cursor.long() for _ in range(axes))
        strides = tuple(self.cursor.long() for _ in range(axes))
        offset, storage = self.cursor.long() - 1, self.value(depth - 1)
        if not axes or storage is None:
            return None
        found = self.known[index] = Tensor(storage, offset, shape, strides)
        self.tensors.append(found)
        return found


def _collect(tree, name, depth, budget, found, layers):
    budget.step()
    budget.take(len(name), "the names of its arrays")
    if depth < 0:
        raise MinicnnError(f"too deeply nested, at {name[:60]}")
    if isinstance(tree, Tensor):
        tree = tree.value
    if isinstance(tree, np.ndarray):
        budget.put(found, name or "array", tree)
    elif isinstance(tree, _Object):
        parts = tree.fields.items()
        modules = [m for key, m in parts if key == "modules" and isinstance(m, dict)]
        inner = {key: _shaped(value, key, tree) for key, value in parts if key in LEARNED}
        _collect(inner, name, depth - 1, budget, found, layers)
        for table in modules:
            _modules(table, name, depth - 1, budget, found, layers)
    elif isinstance(tree, dict):
        for key, value in tree.items():
            _collect(value, _joined(name, key), depth - 1, budget, found, layers)


def _modules(table, name, depth, budget, found, layers):
    """Collect the modules of a container, under their own names where all of these differ."""
    entries = [(key, module) for key, module in table.items() if isinstance(module, _Object)]
    own = [module.fields.get("name") for _, module in entries]
    before = None
    for key, module in entries:
        called = module.fields.get("name")
        plain = not isinstance(called, str) or own.count(called) > 1
        here = _joined(name, f"modules.{key}" if plain else called)
        eps = module.fields.get("eps")
        eps = eps if isinstance(eps, float) else None
        layers.append(norms.Layer(here, module.name, before, eps))
        before = here
        _collect(module, here, depth, budget, found, layers)


def _joined(name, key):
    return f"{name}.{key}" if name else str(key)


def _shaped(value, key, module):
    """Return an array; weights of convolutions may be matrices, or have an axis for groups."""
    array = value.value if isinstance(value, Tensor) else None
    if array is not None and key == "weight" and array.ndim != 4:
        sizes = [module.fields.get(key) for key in ("nOutputPlane", "kH", "kW")]
        if all(isinstance(size, float) for size in sizes):
            K, R, S = map(int, sizes)
            array = array.reshape(K, -1, R, S)
    return array
