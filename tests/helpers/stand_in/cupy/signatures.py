"""What the stand-in has of CuPy, with CuPy 14.2's signatures; a test compares where CuPy is there.

A function or method that is not here is missing from the stand-in too: add it as CuPy has it.
"""

import inspect

FUNCTIONS = """
arange(start, stop=None, step=1, dtype=None)
argmax(a, axis=None, dtype=None, out=None, keepdims=False)
argsort(a, axis=-1, kind=None)
array(obj, dtype=None, copy=True, order='K', subok=False, ndmin=0, *, blocking=False)
asarray(a, dtype=None, order=None, *, copy=None, blocking=False)
ascontiguousarray(a, dtype=None)
atleast_1d(*arys)
broadcast_to(array, shape)
clip(a, a_min, a_max, out=None)
concatenate(tup, axis=0, out=None, *, dtype=None, casting='same_kind')
count_nonzero(a, axis=None)
dot(a, b, out=None)
empty(shape, dtype=float, order='C')
empty_like(prototype, dtype=None, order='K', subok=None, shape=None)
flatnonzero(a)
full(shape, fill_value, dtype=None, order='C')
full_like(a, fill_value, dtype=None, order='K', subok=None, shape=None)
matmul(*args, axes=None, axis=None, keepdims=False, casting='same_kind', dtype=None, \
signature=None, order='K', out=None)
max(a, axis=None, out=None, keepdims=False)
mean(a, axis=None, dtype=None, out=None, keepdims=False)
min(a, axis=None, out=None, keepdims=False)
ones(shape, dtype=float, order='C')
outer(a, b, out=None)
pad(array, pad_width, mode='constant', **kwargs)
partition(a, kth, axis=-1)
repeat(a, repeats, axis=None)
roll(a, shift, axis=None)
stack(tup, axis=0, out=None, *, dtype=None, casting='same_kind')
sum(a, axis=None, dtype=None, out=None, keepdims=False)
where(condition, x=None, y=None)
zeros(shape, dtype=float, order='C')
zeros_like(a, dtype=None, order='K', subok=None, shape=None)
"""
METHODS = """
all(self, axis=None, out=None, keepdims=False)
any(self, axis=None, out=None, keepdims=False)
argmax(self, axis=None, out=None, dtype=None, keepdims=False)
astype(self, dtype, order='K', casting=None, subok=None, copy=True)
copy(self, order='C')
fill(self, value)
get(self, stream=None, order='C', out=None, blocking=True)
item(self)
max(self, axis=None, out=None, keepdims=False)
mean(self, axis=None, dtype=None, out=None, keepdims=False)
min(self, axis=None, out=None, keepdims=False)
ravel(self, order='C')
reshape(self, *shape, order='C', copy=None)
set(self, arr, stream=None)
std(self, axis=None, dtype=None, out=None, ddof=0, keepdims=False)
sum(self, axis=None, dtype=None, out=None, keepdims=False)
tolist(self)
transpose(self, *axes)
view(self, dtype=None, type=None)
"""
UFUNC = "(*args, out=None, where=None, dtype=None, casting='same_kind')"
UFUNCS = """
abs absolute add bitwise_and bitwise_or bitwise_xor copysign divide equal exp floor_divide greater
greater_equal invert isfinite less less_equal log maximum minimum multiply negative not_equal
positive power remainder sign sqrt square subtract true_divide
"""


def _signature(text):
    made = {}
    exec(f"def f{text}: ...", {"float": float}, made)
    return inspect.signature(made["f"])


def _table(text):
    rows = (line.partition("(") for line in text.strip().splitlines())
    return {name: _signature(f"({rest}") for name, _, rest in rows}


ufuncs = dict.fromkeys(UFUNCS.split(), _signature(UFUNC))
functions, methods = _table(FUNCTIONS) | ufuncs, _table(METHODS)
