"""CuPy, played by NumPy on the host: what CuPy would refuse is an error here.

Strict, and more than CuPy: NumPy's own functions, index arrays of the host and arrays of another
device are refused, and what `empty` gives is full of NaN. Kernels are built by g++; cuBLASLt is
played too, so that the package's own `Cuda` runs on it as it is.
"""

import numpy as np

from cupy import cuda
from cupy.arrays import COPIES, call, ndarray
from cupy.kernels import LAUNCHED, RawModule
from cupy.signatures import functions

__version__ = "14.2.0"
__all__ = ["COPIES", "LAUNCHED", "RawModule", "cuda", "ndarray"]


def get_default_memory_pool():
    """Return the memory of the devices."""
    return cuda.pool


def __getattr__(name):
    if name in functions:
        return lambda *given, **options: call(name, *given, **options)
    value = getattr(np, name, None)
    if value is None or not isinstance(value, type | float):  # a dtype, inf, nan, pi
        raise AttributeError(f"the stand-in for CuPy has no {name}")
    return value
