"""Scratch memory: what is in it is used once."""

import numpy as np

from minicnn.engine.cpu import aligned

# bytes at first; the system gives memory only to what is written
BLOCK = 32 << 20


class Scratch:
    """A block of memory for calls that are made one after another, see `recorded_calls.Calls`."""

    def __init__(self):
        self._block = None

    def part(self, first, size):
        """Return the bytes from `first` on, uninitialised.

        Where the block is too small there is a larger one; parts of the old one keep that.
        """
        if self._block is None or first + size > len(self._block):
            self._block = aligned.empty((max(BLOCK, 2 * (first + size)),), np.uint8)
        return self._block[first : first + size]
