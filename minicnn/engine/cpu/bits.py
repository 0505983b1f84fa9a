"""Where something is positive: a bit for each number of an array (n, rows, W, C)."""

import numpy as np


def empty(shape):
    """Return memory for the bits of an array (N, C, H, W)."""
    N, C, H, W = shape
    return np.empty((N, H, -(-W * C // 8)), np.uint8)


def note(calls, part, bits):
    """Note `pack` of which numbers of a part (n, rows, W, C) are positive."""
    positive = calls.buffer("positive", part.shape, bool)
    calls.add(np.greater, part, part.dtype.type(0), out=positive)
    calls.add(pack, positive, bits)


def pack(positive, bits):
    """Write bool (n, rows, W, C) as bits (n, rows, bytes)."""
    bits[...] = np.packbits(positive.reshape(*bits.shape[:2], -1), -1)


def keep(x, bits, out):
    """Write x where there is a bit, else 0, into `out`, which may be x."""
    count = out[0].size // bits.shape[1]
    wanted = np.unpackbits(bits, axis=-1, count=count).view(bool)
    np.multiply(x, wanted.reshape(out.shape), out=out)
