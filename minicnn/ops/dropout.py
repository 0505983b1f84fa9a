"""Inverted dropout: for training; the identity otherwise.

    forward   mask = 0 with probability p, else 1 / (1 - p)       its mean is 1
              y = x mask
    backward  dx = dy mask

Source: Srivastava et al. 2014, JMLR 15; there the division is done at test time instead.
"""

from typing import Any

import numpy as np

from minicnn.backend import array_module
from minicnn.errors import MinicnnError


def forward(x, p: float, rng) -> tuple:
    """Drop entries at random and scale the others up.

    Parameters
    ----------
    x : array, any shape
    p : float
        Probability to drop, 0 <= p < 1.
    rng : numpy.random.Generator
        Drawn from on the host in the order of the indices, so that neither the device nor the
        dtype nor the memory layout changes what is dropped.

    Returns
    -------
    y : array, shape and dtype of `x`
    mask : array, shape and dtype of `x`
        The cache.

    Raises
    ------
    MinicnnError
        If `p` is out of range.
    """
    if not 0 <= p < 1:
        raise MinicnnError(f"dropout probability {p}; it must be 0 or more and below 1")
    xp = array_module(x)
    mask = xp.empty_like(x)
    mask[...] = xp.asarray(rng.random(x.shape, dtype=np.float32) >= p)
    mask *= 1 / (1 - p)
    return x * mask, mask


def backward(dy, mask) -> Any:
    """Return dx, shape and dtype of `dy`."""
    return dy * mask
