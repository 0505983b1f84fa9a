"""TensorFlow's axes into ours."""

import numpy as np


def turned(array):
    """Return a kernel (R, S, C, K) as (K, C, R, S), a matrix (in, out) as (out, in)."""
    if array.ndim == 4:
        return np.ascontiguousarray(array.transpose(3, 2, 0, 1))
    return np.ascontiguousarray(array.T) if array.ndim == 2 else array
