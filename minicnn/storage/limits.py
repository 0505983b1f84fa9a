"""What a file may cost: bytes and steps in proportion to its size, whatever it claims.

One `Budget` goes through the whole reading of a file.
"""

import contextlib
import json
import math
import struct
import zipfile
import zlib

import numpy as np

from minicnn.errors import MinicnnError, one_line

MAX_BYTES = 4 << 30  # twice VGG-19 in float64
ALLOWANCE, RATIO = 64 << 20, 100  # no trained weights shrink to a hundredth
MAX_STEPS, FREE_STEPS = 1_000_000, 20_000
MAX_DEPTH = 16
HEAD = 2056  # bytes from which a format is told
# what libraries raise on damaged files, as found by damaging some
DAMAGE = (
    ValueError, LookupError, TypeError, AttributeError, OverflowError, EOFError, MemoryError,
    RuntimeError, OSError, struct.error, zlib.error, zipfile.BadZipFile,
)  # fmt: skip


class Budget:
    """What is left of the memory and time that a file of `file_bytes` may take."""

    def __init__(self, file_bytes: int):
        self.bytes = min(MAX_BYTES, ALLOWANCE + RATIO * file_bytes)
        self.steps = min(MAX_STEPS, FREE_STEPS + file_bytes)

    def more(self, file_bytes: int) -> None:
        """Add what another file of the same weights may take."""
        self.bytes = min(MAX_BYTES, self.bytes + RATIO * file_bytes)
        self.steps = min(MAX_STEPS, self.steps + file_bytes)

    def step(self, count: int = 1) -> None:
        """Count entries or instructions in, of whatever kind: some microseconds each."""
        self.steps -= count
        if self.steps < 0:
            raise MinicnnError("more entries than a file of this size needs")

    def take(self, count: int, what: str = "what it holds") -> None:
        """Count bytes in."""
        self.bytes -= count
        if self.bytes < 0:
            raise MinicnnError(f"{what} is more than a file of this size can hold")

    def array(self, shape, itemsize: int) -> int:
        """Count an array in; return the number of its values."""
        if not all(0 <= size < 1 << 64 for size in shape):
            raise MinicnnError(f"an array of the shape {tuple(shape)}")
        self.step()
        count = math.prod(shape)
        self.take(count * itemsize, f"an array of the shape {tuple(shape)}")
        return count

    def put(self, found: dict, name: str, array) -> None:
        """Put an array under its name, which no other has; count the name in."""
        if name in found:
            raise MinicnnError(f"two arrays are named {name[:60]}")
        self.step()
        self.take(len(name), "the names of its arrays")
        found[name] = array


class Cursor:
    """A stretch of bytes, read one part after the other and never beyond its end."""

    def __init__(self, data, order: str = "little"):
        self.rest, self.order = memoryview(data), order

    def take(self, count: int) -> memoryview:
        """Return the next bytes."""
        if count > len(self.rest):
            raise MinicnnError(
                f"truncated or damaged: {count} bytes are due where {len(self.rest)} are left"
            )
        part, self.rest = self.rest[:count], self.rest[count:]
        return part

    def number(self, size: int) -> int:
        """Return the next bytes as a number without sign."""
        return int.from_bytes(self.take(size), self.order)


def regular_file(path) -> tuple:
    """Return the size of a file and its first bytes.

    Raises
    ------
    MinicnnError
        If there is no such file, it is a folder, a pipe or a device, or it is empty.
    """
    try:
        special = path.exists() and not path.is_file()
        if not special:
            with open(path, "rb") as file:
                size, head = path.stat().st_size, file.read(HEAD)
    except OSError as error:
        raise MinicnnError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise MinicnnError(f"{str(path)!r} is not a path: {error}") from None
    if special:
        raise MinicnnError(f"{path} is a folder or a device, not a file")
    if not head:
        raise MinicnnError(f"{path} is empty")
    return size, head


def weight_file(path) -> tuple:
    """Return the same of a weight file; refuse one of more than `MAX_BYTES`."""
    size, head = regular_file(path)
    if size > MAX_BYTES:
        raise MinicnnError(f"{path} has {size} bytes; weight files have at most {MAX_BYTES}")
    return size, head


@contextlib.contextmanager
def damage_told(path):
    """Make one line that names the file of whatever is wrong with it."""
    try:
        yield
    except MinicnnError as error:
        raise MinicnnError(f"{path}: {one_line(error)}") from None
    except DAMAGE as error:
        reason = one_line(error) or type(error).__name__
        raise MinicnnError(f"{path} is truncated or damaged: {reason}") from None


def parse_json(text, budget: Budget):
    """Return what JSON says, text or bytes; no name stands twice in a table."""
    data = text.encode() if isinstance(text, str) else text
    budget.step(sum(map(data.count, (b",", b":", b"[", b"{"))))
    return json.loads(data, object_pairs_hook=_no_name_twice)


def _no_name_twice(pairs):
    table = dict(pairs)
    if len(table) < len(pairs):
        raise MinicnnError("a table with a name twice")
    return table


def array_from(data, dtype, shape, budget, *, order="C"):
    """Return the array of `shape` in the bytes `data`, in the byte order of this machine.

    Parameters
    ----------
    data : bytes or memoryview
    dtype : dtype
        As stored, with its byte order.
    shape : tuple of int
    budget : Budget
    order : {"C", "F"}
        In which index runs fastest: the last, or the first.

    Raises
    ------
    MinicnnError
        If the bytes are not as many as the shape needs.
    """
    dtype = np.dtype(dtype)
    count = budget.array(shape, dtype.itemsize)
    if len(data) != count * dtype.itemsize:
        raise MinicnnError(f"{len(data)} bytes for an array {tuple(shape)} of {dtype}")
    array = np.frombuffer(data, dtype).reshape(shape, order=order)
    return array.astype(dtype.newbyteorder("="), order="K")


def widen_bfloat16(bits):
    """Return the float32 array of an array of bfloat16 numbers stored as uint16."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
