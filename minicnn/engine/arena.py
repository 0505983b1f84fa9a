"""Memory that is taken and given back while an evaluation runs, and kept for the next one."""

import math

import numpy as np


class Arena:
    """Buffers of numbers of one dtype."""

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)
        self._free, self._lent = [], {}

    def take(self, shape):
        """Return an uninitialised array: in the smallest free buffer that will do."""
        size = math.prod(shape)
        fitting = [i for i, flat in enumerate(self._free) if flat.size >= size]
        best = min(fitting, key=lambda i: self._free[i].size, default=None)
        flat = np.empty(size, self.dtype) if best is None else self._free.pop(best)
        array = flat[:size].reshape(shape)
        self._lent[id(array)] = (array, flat)
        return array

    def give(self, array):
        """Take back an array of `take`; None is ignored."""
        if array is not None:
            self._free.append(self._lent.pop(id(array))[1])

    def reset(self):
        """Take back everything."""
        self._free += [flat for _, flat in self._lent.values()]
        self._lent.clear()
