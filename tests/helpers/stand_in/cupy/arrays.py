"""The arrays of the stand-in: no ndarray, on one device, converted by nothing but `get`."""

import operator

import numpy as np

from cupy import cuda
from cupy.signatures import functions, methods, ufuncs

COPIES = []  # shapes of what was copied to the host
IMPLICIT = "Implicit conversion to a NumPy array is not allowed. Please use `.get()`"
CONVERTING = ("array", "asarray")  # the functions that take arrays of the host
EMPTY = ("empty", "empty_like")


class Flags:
    """What CuPy tells of the layout of an array."""

    def __init__(self, flags):
        self.c_contiguous, self.f_contiguous = flags.c_contiguous, flags.f_contiguous


class ndarray:
    """An array of a device: `_host` has its numbers, `_block` is the memory they are in."""

    __array_priority__ = 100
    __hash__ = None

    def __init__(self, host, block):
        self._host, self._block = host, block

    shape, dtype = property(lambda self: self._host.shape), property(lambda self: self._host.dtype)
    ndim, size = property(lambda self: self._host.ndim), property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: Flags(self._host.flags))
    T = property(lambda self: self.transpose())
    device = property(lambda self: cuda.Device(self._block.device))
    data = property(lambda self: cuda.Pointer(self._host.ctypes.data))

    def __array__(self, dtype=None, copy=None):
        raise TypeError(IMPLICIT)

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        if method != "__call__" or ufunc.__name__ not in ufuncs:
            raise TypeError(f"CuPy has no {ufunc.__name__}.{method}")
        return call(ufunc.__name__, *inputs, **options)

    def __array_function__(self, function, *_):
        if function is np.shape:
            return self.shape
        # CuPy hands this on to its own function: here the code is to name the library
        raise TypeError(f"NumPy's {function.__name__} was called with an array of the device")

    def __getattr__(self, name):
        if name not in methods:
            raise AttributeError(f"the stand-in's arrays have no {name}")

        def method(*args, **options):
            methods[name].bind(self, *args, **options)
            return _run(getattr(self._host, name), (self, *args), options, args)

        return method

    def get(self, stream=None, order="C", out=None, blocking=True):
        cuda.wait()
        COPIES.append(self.shape)
        if out is None:
            return np.array(self._host, order=order)
        assert (type(out), out.shape, out.dtype) == (np.ndarray, self.shape, self.dtype)
        out[...] = self._host
        return out

    def set(self, arr, stream=None):
        _here(self)
        assert (type(arr), arr.shape, arr.dtype) == (np.ndarray, self.shape, self.dtype)
        self._host[...] = arr

    def fill(self, value):
        _refuse_host(value)
        cuda.launch(lambda: self._host.fill(_plain(value)))

    def item(self):
        return self.get().item()

    def tolist(self):
        return self.get().tolist()

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index):
        return _run(operator.getitem, (self, index), {})

    def __setitem__(self, index, value):
        _refuse_host(self, index, value)
        self._host[_plain(index)] = _plain(value)

    def __repr__(self):
        return f"{self._host!r} on {self.device}"


def _run(function, given, options, plain_args=None):
    """Return function(...) of what is on the device, as arrays of the device."""
    _refuse_host(*given, *options.values())
    args = given if plain_args is None else plain_args
    with np.errstate(all="ignore"):  # a device warns of nothing
        found = function(*_plain(args), **{k: _plain(v) for k, v in options.items()})
    return _there(found, [*_arrays(given), *_arrays(list(options.values()))])


def call(name, *given, **options):
    """Return what the module's function of this name returns."""
    functions[name].bind(*given, **options)
    if name in CONVERTING and not isinstance(given[0], ndarray):
        _refuse_host(*given[1:])
        options.pop("blocking", None)
        return _there(np.array(given[0], *given[1:], **options), ())
    if name in CONVERTING and given[0]._block.device != cuda.current():
        return _there(np.array(given[0]._host, order="C"), ())  # a copy from device to device
    made = _run(getattr(np, name), given, options)
    if name in EMPTY:
        made._host.fill(np.nan if made.dtype.kind == "f" else 99)
    return made


def _there(found, sources):
    if isinstance(found, tuple):
        return tuple(_there(part, sources) for part in found)
    if not isinstance(found, np.ndarray | np.generic):
        return found
    host = np.asarray(found)
    for source in sources:  # different memory never overlaps
        if host is source._host:
            return source
        if host.size and np.may_share_memory(host, source._host):
            return ndarray(host, source._block)
    return ndarray(host, cuda.Block(host.nbytes))


def _arrays(values):
    for value in values:
        if isinstance(value, ndarray):
            yield value
        elif isinstance(value, list | tuple):
            yield from _arrays(value)


def _plain(value):
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    return value._host if isinstance(value, ndarray) else value


def _refuse_host(*values):
    """Refuse arrays of the host (CuPy takes them as indices, which costs a copy) and of others."""
    for value in values:
        if isinstance(value, list | tuple):
            _refuse_host(*value)
        elif isinstance(value, np.ndarray):
            raise TypeError(f"Unsupported type {type(value)}")
        elif isinstance(value, ndarray):
            _here(value)


def _here(array):
    if array._block.device != cuda.current():
        raise ValueError(
            f"Array device must be same as the current device: array device = "
            f"{array._block.device} while current = {cuda.current()}"
        )


def _number(kind):
    return lambda self: kind(self.get())


def _operator(function):
    return lambda self, *other: _run(function, (self, *other), {})


def _reversed(function):
    return lambda self, other: _run(function, (other, self), {})


def _in_place(function):
    def method(self, other):
        _refuse_host(self, other)
        with np.errstate(all="ignore"):
            self._host = function(self._host, _plain(other))
        return self

    return method


for _name in "add sub mul truediv floordiv mod pow matmul and or xor".split():
    _function = getattr(operator, f"__{_name}__")
    setattr(ndarray, f"__{_name}__", _operator(_function))
    setattr(ndarray, f"__r{_name}__", _reversed(_function))
    setattr(ndarray, f"__i{_name}__", _in_place(getattr(operator, f"__i{_name}__")))
for _name in "lt le eq ne gt ge neg pos abs invert".split():
    setattr(ndarray, f"__{_name}__", _operator(getattr(operator, f"__{_name}__")))
for _kind in (float, int, bool, complex):
    setattr(ndarray, f"__{_kind.__name__}__", _number(_kind))
ndarray.__index__ = _number(operator.index)
ndarray.__module__ = "cupy"
