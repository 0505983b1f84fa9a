"""Vector arithmetic in place, with sums in float64, on whatever device the vectors are.

A vector is a flat, contiguous array. Work is done in strips: on the host a strip stays in the cache
between its conversion to float64 and its sum, and nothing of the size of a vector is allocated.
"""

import math
from itertools import chain

import numpy as np

from minicnn.backend import array_module, to_host
from minicnn.kernels import launch

# `minimize` holds BLAS to one thread, so that sums have one order
HOST_STRIP, DEVICE_STRIP = 8192, 1 << 22
MANY = 22 << 14  # numbers of many vectors at a time: 3 MB as float64


def own(gradient, like):
    """Return a copy of a gradient, which the next evaluation may overwrite, of the dtype of x."""
    return gradient.astype(like.dtype, order="C", copy=True)


def dot(a, b) -> float:
    """Return the sum of a·b; products and sum in float64."""
    if launch.suit(a):
        return float(launch.dot(a, b)[0])
    xp, total = array_module(a), 0.0
    for part in _strips(a):
        total = total + a[part].astype(xp.float64) @ b[part].astype(xp.float64)
    return float(total)


def products(rows, columns, pairs=()):
    """Return the products of vectors, read from a device at once; products and sums in float64.

    Parameters
    ----------
    rows : array (m, n), float32 or float64
    columns : list of arrays (n,)
    pairs : list of (a, b), arrays (n,)

    Returns
    -------
    array (columns, m), array (pairs,) : float64, of the host
    """
    if launch.suit(rows):
        every = [(row, column) for column in columns for row in rows]
        found = to_host(launch.dots([*every, *pairs]))
        return found[: len(every)].reshape(len(columns), -1), found[len(every) :]
    xp, (m, n) = array_module(rows), rows.shape
    size = max(MANY // m // HOST_STRIP, 1) * HOST_STRIP
    found, single = xp.zeros((len(columns), m)), xp.zeros(len(pairs))
    wide = xp.empty((m, min(size, n)))
    vectors = {id(v): v for v in chain(columns, *pairs)}  # each is converted once
    for i in range(0, n, size):
        part, strip = slice(i, i + size), wide[:, : n - i]
        strip[...] = rows[:, part]
        exact = {key: v[part].astype(xp.float64) for key, v in vectors.items()}
        for sums, column in zip(found, columns, strict=True):
            sums += strip @ exact[id(column)]
        for j, (a, b) in enumerate(pairs):
            single[j] += exact[id(a)] @ exact[id(b)]
    return to_host(found), to_host(single)


def combined(factors, rows, last):
    """Return the sum of factors times vectors: the rows of an array (m, n), and a last one (n,)."""
    if launch.suit(rows):
        return launch.combined(factors, [*rows, last])
    xp = array_module(rows)
    out = xp.asarray(np.array(factors[:-1], rows.dtype)) @ rows
    add_scaled(out, factors[-1], last)
    return out


def distance(a, b) -> float:
    """Return the norm of a - b for two pictures; differences and sum in float64."""
    xp, total = array_module(a), 0.0
    a, b = a.reshape(-1), b.reshape(-1)
    for part in _strips(a):
        change = xp.subtract(a[part], b[part], dtype=xp.float64)
        total = total + change @ change
    return math.sqrt(float(total))


def add_scaled(y, factor: float, x) -> None:
    """Y <- y + factor·x, in place."""
    if launch.suit(y):
        return launch.add_scaled(y, factor, x)
    factor = y.dtype.type(factor)
    for part in _strips(y):
        y[part] += factor * x[part]


def step_to(x, length: float, direction):
    """Return x + length·direction, a new vector."""
    out = x.copy()
    add_scaled(out, length, direction)
    return out


def _strips(a):
    size = HOST_STRIP if array_module(a) is np else DEVICE_STRIP
    return (slice(i, i + size) for i in range(0, a.size, size))
