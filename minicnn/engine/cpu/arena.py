"""Memory that is taken and given back while an evaluation runs, and kept for the next one."""

import math

import numpy as np

from minicnn.engine.cpu import aligned


class Arena:
    """Buffers of numbers of one dtype, each of `size` numbers: as many as the largest array has.

    The system gives memory to the pages that are written alone, so `take` prefers the buffer that
    has been written far enough, but not farther than need be.
    """

    def __init__(self, dtype, size):
        self.dtype, self.size = np.dtype(dtype), size
        self._held = []  # [flat, numbers written] of every buffer
        self._free, self._lent = [], {}  # some of them, id of the array -> (it, one of them)

    def take(self, shape):
        """Return an uninitialised array."""
        count = math.prod(shape)
        enough = [held for held in self._free if held[1] >= count]
        if enough:
            held = min(enough, key=lambda held: held[1])
        else:
            held = max(self._free, key=lambda held: held[1], default=None)
        if held is None:
            held = [aligned.empty((self.size,), self.dtype), 0]
            self._held.append(held)
        else:
            self._free = [other for other in self._free if other is not held]
        held[1] = max(held[1], count)
        array = held[0][:count].reshape(shape)
        self._lent[id(array)] = (array, held)
        return array

    def give(self, array):
        """Take back an array of `take`; None is ignored."""
        if array is not None:
            self._free.append(self._lent.pop(id(array))[1])

    def reset(self):
        """Take back everything: the same wishes will get the same memory."""
        self._free = list(self._held)
        self._lent.clear()

    @property
    def free(self):
        """Which buffers are free; those that were so before may be set, and the others are lent."""
        return tuple(self._free)

    @free.setter
    def free(self, buffers):
        self._free = list(buffers)
        self._lent.clear()

    @property
    def buffers(self):
        """The flat arrays of which all arrays are views."""
        return [flat for flat, _ in self._held]
