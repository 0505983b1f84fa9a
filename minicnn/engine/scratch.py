"""Scratch memory that belongs to a thread and is reused from call to call."""

import math
import threading

import numpy as np

_held = threading.local()


def buffer(name, shape, dtype):
    """Return an uninitialised array; the next call with this name on this thread takes it back."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    held = _held.__dict__.get(name)
    if held is None or held.size < size:
        held = _held.__dict__[name] = np.empty(size, np.uint8)
    return held[:size].view(dtype).reshape(shape)
