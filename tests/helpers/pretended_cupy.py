"""CuPy, played by NumPy arrays that do not mix with the host's: what CuPy would refuse is an error.

Strict, and more than CuPy: NumPy's own functions, conversions and index arrays of the host are
refused, so that code which passes says of every array where it is.
"""

import sys
import types

import numpy as np


class DeviceArray(np.ndarray):
    """An array that only our pretended CuPy takes; `get` says that it was copied to the host."""

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        for array in (*inputs, *options.get("out", ())):
            refuse(array)
        if options.get("out"):
            options["out"] = tuple(plain(array) for array in options["out"])
        result = wrapped(getattr(ufunc, method)(*map(plain, inputs), **options))
        return result

    def __array_function__(self, function, *_):
        raise TypeError(f"NumPy's {function.__name__} was called with an array of the device")

    def __array_wrap__(self, array, context=None, return_scalar=False):
        return wrapped(array)

    def __getitem__(self, index):
        refuse(*(index if isinstance(index, tuple) else (index,)))
        return wrapped(plain(self)[plain(index)])

    def __setitem__(self, index, value):
        refuse(value, *(index if isinstance(index, tuple) else (index,)))
        plain(self)[plain(index)] = plain(value)

    def get(self, out=None):
        COPIES.append(self.shape)
        if out is None:
            return plain(self).copy()
        assert (out.shape, out.dtype) == (self.shape, self.dtype)
        out[...] = plain(self)
        return out

    def set(self, array):
        assert not isinstance(array, DeviceArray)
        assert (array.shape, array.dtype) == (self.shape, self.dtype)
        plain(self)[...] = array

    def astype(self, dtype, order="K", copy=True):
        return wrapped(plain(self).astype(dtype, order=order, copy=copy))


COPIES = []  # shapes of what was copied to the host
CONVERTS = ("array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray")
CONVERTING = {name: getattr(np, name) for name in CONVERTS}


def refuse(*values):
    """Raise an error for arrays of the host; single numbers are welcome."""
    for value in values:
        if isinstance(value, np.ndarray) and value.ndim and not isinstance(value, DeviceArray):
            raise TypeError("an array of the host meets one of the device")


def plain(value):
    """Return arrays as NumPy's, in lists and tuples too."""
    if isinstance(value, list | tuple):
        return type(value)(plain(part) for part in value)
    return value.view(np.ndarray) if isinstance(value, DeviceArray) else value


def wrapped(value):
    """Return arrays and numbers of NumPy as arrays of the device."""
    if isinstance(value, tuple):
        return tuple(wrapped(part) for part in value)
    is_array = isinstance(value, np.ndarray | np.generic)
    return CONVERTING["asarray"](value).view(DeviceArray) if is_array else value


def refusing(name):
    """Return NumPy's function of this name, which takes no array of CuPy."""

    def convert(value, *args, **options):
        if isinstance(value, DeviceArray):
            raise TypeError(
                f"implicit conversion: np.{name} was called with an array of the device"
            )
        return CONVERTING[name](value, *args, **options)

    return convert


class PretendedCupy(types.ModuleType):
    """NumPy's functions, on arrays of the device; `pinned` tells what was pinned."""

    ndarray = DeviceArray

    def __getattr__(self, name):
        function = getattr(np, name)
        if not callable(function) or isinstance(function, type):
            return function

        def on_device(*args, **options):
            if name not in ("asarray", "array"):
                refuse(*args, *options.values())
            function = CONVERTING.get(name, getattr(np, name))
            return wrapped(function(*map(plain, args), **{k: plain(v) for k, v in options.items()}))

        return on_device


def install(monkeypatch):
    """Return the module, in the place of CuPy."""
    module, extra = PretendedCupy("cupy"), types.ModuleType("cupyx")
    module.pinned = []

    def empty_pinned(shape, dtype):
        module.pinned.append((shape, dtype))
        return np.empty(shape, dtype)

    extra.empty_pinned = empty_pinned
    COPIES.clear()
    for name in CONVERTING:  # they ask no array whether it may be converted
        monkeypatch.setattr(np, name, refusing(name))
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setitem(sys.modules, "cupyx", extra)
    monkeypatch.setattr("minicnn.kernels.launch.suit", lambda x: False)  # there is no compiler
    return module
