"""Scratch memory that is reused from call to call."""

import math

import numpy as np

# bytes of a name; the system gives memory only to the pages that are written, but to pages of 2 MB
# each from 4 MB on, where NumPy asks for such
LEAST = 3 << 20


class Scratch:
    """Memory by name: what comes later under a name overwrites what came before.

    Where a larger array is wanted than before, those made before keep their own memory.
    """

    def __init__(self):
        self._held = {}

    def buffer(self, name, shape, dtype):
        """Return an uninitialised array, in the memory of all arrays of that name."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        held = self._held.get(name)
        if held is None or held.size < size:
            held = self._held[name] = np.empty(max(size, LEAST), np.uint8)
        return held[:size].view(dtype).reshape(shape)
