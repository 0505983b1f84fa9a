"""Scratch memory: what is in it is used once."""

import numpy as np

# bytes at first; the system gives memory only to what is written
BLOCK = 32 << 20
LINE = 64  # bytes of the cache: a block begins with one


class Scratch:
    """A block of memory for calls that are made one after another, see `recorded_calls.Calls`."""

    def __init__(self):
        self._block = None

    def part(self, first, size):
        """Return the bytes from `first` on, uninitialised.

        Where the block is too small there is a larger one; parts of the old one keep that.
        """
        if self._block is None or first + size > len(self._block):
            block = np.empty(max(BLOCK, 2 * (first + size)) + LINE, np.uint8)
            self._block = block[-block.ctypes.data % LINE :]
        return self._block[first : first + size]
