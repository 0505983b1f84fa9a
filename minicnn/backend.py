"""Arrays and where they live: NumPy on the host, CuPy on a CUDA device.

Every operation asks `array_module` for the library of the array that it was given, so the same
code runs on both. CuPy is never imported here unless a CuPy array or a CUDA device is asked for.
"""

import sys

import numpy as np

from minicnn.errors import MinicnnError


def array_module(x):
    """Return the array library (`numpy` or `cupy`) that `x` belongs to."""
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(x, cupy.ndarray):
        return cupy
    return np


def to_host(x):
    """Return `x` as a NumPy array; a NumPy array is returned as it is."""
    return x.get() if array_module(x) is not np else x


def to_device(x, device):
    """Return `x` on `device`, "cpu" or "cuda" or "cuda:1".

    Raises
    ------
    MinicnnError
        If the device is unknown or CuPy cannot use it.
    """
    if device == "cpu":
        return to_host(x)
    cupy, index = _cuda(device)
    with cupy.cuda.Device(index):
        return cupy.asarray(x)


def resolve_device(name):
    """Turn "auto" into "cuda" where CuPy finds a device, else "cpu"; check any other name."""
    if name == "cpu":
        return name
    if name == "auto":
        try:
            _cuda("cuda")
        except MinicnnError:
            return "cpu"
        return "cuda"
    _cuda(name)
    return name


def _cuda(device):
    kind, _, index = device.partition(":")
    if kind != "cuda" or not (index == "" or index.isdigit()):
        raise MinicnnError(f"no device {device!r}; use auto, cpu, cuda or cuda:0, cuda:1, ...")
    try:
        import cupy
    except ImportError:
        raise MinicnnError(
            f"device {device!r} needs CuPy; install the extra cuda12 or cuda13, or use --device cpu"
        ) from None
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise MinicnnError(f"no usable CUDA driver ({error}); use --device cpu") from None
    number = int(index or 0)
    if number >= count:
        raise MinicnnError(f"no device {device!r}; this machine has {count} CUDA device(s)")
    return cupy, number


def seeded_rng(seed):
    """Return a NumPy generator: drawn on the host, random numbers are the same on every device."""
    return np.random.default_rng(seed)
