"""Protobuf's wire format: messages as runs of numbered fields.

Source: protobuf.dev/programming-guides/encoding.
"""

import numpy as np

from minicnn.errors import MinicnnError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def fields(message, budget):
    """Yield (field number, wire type, value) of a message.

    The value is a number, or a memoryview: 4 or 8 bytes, or as many as the message says. Equal
    one-value fields that follow each other, as an unpacked list of floats, come as one view of
    their values.

    Raises
    ------
    MinicnnError
        If the message ends inside a field, or uses a wire type that is not in use any more.
    """
    at = 0
    while at < len(message):
        budget.count()
        start = at
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, at = _varint(message, at)
        elif wire in (FIXED32, FIXED64):
            size = 4 if wire == FIXED32 else 8
            count = _repeats(message, start, at - start, size)
            step = at - start + size
            value = memoryview(_unpacked(message, start, step, count, size))
            at = start + count * step
        elif wire == BYTES:
            size, at = _varint(message, at)
            value = message[at : at + size]
            at += size
        else:
            raise MinicnnError(f"a field of the wire type {wire}; this is no message of protobuf")
        if at > len(message):
            raise MinicnnError("a field is longer than its message")
        yield number, wire, value


def sizes(message, budget) -> tuple:
    """Return the numbers in field 1 of a message, one a field or packed: the shape of an array."""
    found = []
    for number, wire, value in fields(message, budget):
        if number == 1 and wire == VARINT:
            found.append(value)
        elif number == 1 and wire == BYTES:
            at = 0
            while at < len(value):
                size, at = _varint(value, at)
                found.append(size)
    if len(found) > 8:
        raise MinicnnError(f"an array with {len(found)} axes")
    return tuple(found)


def _varint(message, at):
    value = 0
    for i in range(10):
        if at + i >= len(message):
            raise MinicnnError("the file ends inside a number")
        byte = message[at + i]
        value |= (byte & 127) << (7 * i)
        if byte < 128:
            return value, at + i + 1
    raise MinicnnError("a number of more than ten bytes")


def _repeats(message, start, key_size, size):
    """Return how often the key at `start` comes back after every `size` bytes."""
    step = key_size + size
    most = (len(message) - start) // step
    if most < 1:
        raise MinicnnError("a field is longer than its message")
    rows = np.frombuffer(message[start : start + most * step], np.uint8).reshape(most, step)
    count = 1
    while count < most:  # look at more and more rows: most fields have one
        stop = min(most, 4 * count)
        same = (rows[count:stop, :key_size] == rows[0, :key_size]).all(axis=1)
        if not same.all():
            return count + int(np.argmin(same))
        count = stop
    return count


def _unpacked(message, start, step, count, size):
    rows = np.frombuffer(message[start : start + count * step], np.uint8).reshape(count, step)
    return rows[:, step - size :].tobytes()
