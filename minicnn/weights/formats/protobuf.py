"""Protobuf's wire format: messages as runs of numbered fields.

Source: protobuf.dev/programming-guides/encoding.
"""

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.storage.limits import Cursor

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FIELD = 4  # steps that a field costs


def fields(message, budget):
    """Yield (field number, wire type, value) of a message.

    The value is a number, or bytes: 4 or 8, or as many as the message says. Equal one-value fields
    that follow each other, as an unpacked list of floats, come as one stretch of their values.

    Raises
    ------
    MinicnnError
        If the message ends inside a field, or uses a wire type that is not in use any more.
    """
    cursor = Cursor(message)
    while cursor.rest:
        budget.step(FIELD)
        start = cursor.rest
        key = varint(cursor)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value = varint(cursor)
        elif wire == BYTES:
            value = cursor.take(varint(cursor))
        elif wire in (FIXED32, FIXED64):
            size = 4 if wire == FIXED32 else 8
            cursor.take(size)
            value, cursor.rest = _run(start, len(start) - len(cursor.rest), size)
        else:
            raise MinicnnError(f"a field of the wire type {wire}; this is no message of protobuf")
        yield number, wire, value


def sizes(message, budget) -> tuple:
    """Return the numbers in field 1 of a message, one a field or packed: the shape of an array."""
    found = []
    for number, wire, value in fields(message, budget):
        if number == 1 and wire == VARINT:
            found.append(value)
        elif number == 1 and wire == BYTES:
            found += varints(value, budget)
    if len(found) > 8:
        raise MinicnnError(f"an array with {len(found)} axes")
    return tuple(found)


def varints(data, budget) -> list:
    """Return the numbers of a packed list, without sign."""
    packed, found = Cursor(data), []
    while packed.rest:
        budget.step()
        found.append(varint(packed))
    return found


def varint(cursor) -> int:
    """Return the next number, seven bits a byte."""
    value = 0
    for i, byte in enumerate(cursor.rest[:10]):
        value |= (byte & 127) << (7 * i)
        if byte < 128:
            cursor.rest = cursor.rest[i + 1 :]
            return value
    raise MinicnnError("truncated or damaged: a number without an end")


def _run(start, step, size):
    """Return the values of all fields with the first one's key, `step` bytes each, and the rest."""
    if start[: step - size] != start[step : 2 * step - size]:
        return start[step - size : step], start[step:]
    rows = np.frombuffer(start[: len(start) // step * step], np.uint8).reshape(-1, step)
    count = 1
    while count < len(rows):  # look at more and more rows: most fields have one
        same = (rows[count : 4 * count, :-size] == rows[0, :-size]).all(axis=1)
        count += len(same) if same.all() else int(np.argmin(same))
        if not same.all():
            break
    return memoryview(rows[:count, -size:].tobytes()), start[count * step :]
