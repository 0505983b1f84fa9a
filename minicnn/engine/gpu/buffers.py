"""All memory of a compiled evaluation, taken before the first one, and counted."""

import numpy as np


class Buffers:
    """Makes arrays of `xp`, and counts their `bytes`; without `xp` it counts alone."""

    def __init__(self, xp=None):
        self.xp, self.bytes = xp, 0

    def new(self, shape, dtype=np.float32):
        """Return an array that holds anything."""
        shape = shape if isinstance(shape, tuple) else (shape,)
        self.bytes += int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        return None if self.xp is None else self.xp.empty(shape, dtype)

    def filled(self, values, dtype=np.float32):
        """Return an array of these values, which are on the host or the device."""
        array = self.new(np.shape(values), dtype)
        if array is not None:
            array[...] = self.xp.asarray(values, dtype)
        return array
