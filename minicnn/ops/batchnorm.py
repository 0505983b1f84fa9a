"""Batch normalisation, over the pictures and pixels of each channel.

    M values per channel, m = Σ x / M,  v = Σ (x - m)² / M,  h = 1 / sqrt(v + eps)

    forward_train   z = (x - m) h                    y = gamma z + beta
    forward_eval    the same with stored m and v: an affine map of each channel
    backward        dgamma = Σ dy z,   dbeta = Σ dy
                    dx = gamma h (dy - dbeta / M - z dgamma / M)

The last line: m and v depend on every x, which removes from dy its mean and its component
along z. Source: Ioffe & Szegedy 2015, arXiv 1502.03167, section 3.

    fold            a convolution followed by forward_eval is one convolution:
                    w' = w (gamma h),   b' = (b - m) gamma h + beta
"""

from typing import Any

import numpy as np

from minicnn.backend import array_module
from minicnn.layout import channels_last

AXES = (0, 2, 3)


def forward_train(x, gamma, beta, *, eps: float = 1e-5) -> tuple:
    """Normalise with the statistics of this batch.

    Parameters
    ----------
    x : array (N, C, H, W)
    gamma, beta : array (C,)
    eps : float

    Returns
    -------
    y : array (N, C, H, W)
    cache : (z, scale)
        z (N, C, H, W) is the normalised input, scale (C,) is gamma h.
    mean, var : array (C,)
        For the running statistics: the variance is divided by M - 1 here, since the mean is that of
        the same values (algorithm 2 of the source); by 1 if M is 1.
    """
    xp = array_module(x)
    M = x.size // x.shape[1]
    mean = _channel_sums(x) / M
    z = x - _by_channel(mean, x)
    var = _channel_products(z, z) / M
    inverse = (1 / xp.sqrt(var + eps)).astype(x.dtype)
    z *= _by_channel(inverse, x)
    y = z * _by_channel(gamma, x)
    y += _by_channel(beta, x)
    return y, (z, gamma * inverse), mean, var * (M / max(M - 1, 1))


def forward_eval(x, gamma, beta, mean, var, *, eps: float = 1e-5) -> tuple:
    """Normalise with stored statistics `mean`, `var` (C,).

    Returns
    -------
    y : array (N, C, H, W)
    scale : array (C,)
        The cache: the derivative is dx = scale dy (`backward_eval`).
    """
    xp = array_module(x)
    scale = (gamma / xp.sqrt(var + eps)).astype(x.dtype)
    shift = (beta - mean * scale).astype(x.dtype)
    y = x * scale[:, None, None]
    y += shift[:, None, None]
    return y, scale


def backward(dy, cache: tuple) -> tuple:
    """Return (dx, dgamma, dbeta) of `forward_train`, projected onto `dy` (N, C, H, W)."""
    z, scale = cache
    M = dy.size // dy.shape[1]
    dbeta = _channel_sums(dy)
    dgamma = _channel_products(dy, z)
    dx = z * _by_channel(-dgamma / M, z)
    dx += dy
    dx -= _by_channel(dbeta / M, z)
    dx *= _by_channel(scale, z)
    return dx, dgamma, dbeta


def backward_eval(dy, scale) -> Any:
    """Return dx of `forward_eval`, projected onto `dy` (N, C, H, W)."""
    return dy * scale[:, None, None]


def fold(w, b, gamma, beta, mean, var, *, eps: float = 1e-5) -> tuple:
    """Return weights (K, C, R, S) and bias (K,) of the convolution that does both at once.

    Parameters
    ----------
    w : array (K, C, R, S)
    b : array (K,) or None
    gamma, beta, mean, var : array (K,)
    """
    xp = array_module(w)
    scale = (gamma / xp.sqrt(var + eps)).astype(w.dtype)
    b = 0 if b is None else b
    return w * scale[:, None, None, None], ((b - mean) * scale + beta).astype(w.dtype)


def _channel_sums(x):
    """Return the sum of each channel, (C,)."""
    if channels_last(x):  # rows of all channels are longer runs for NumPy
        return x.sum(axis=(0, 2)).sum(axis=1)
    return x.sum(axis=AXES)


def _channel_products(x, y):
    """Return the sum of x y of each channel, (C,)."""
    if channels_last(x) and array_module(x) is np:  # in one pass, no product goes to memory
        return np.einsum("nchw,nchw->cw", x, y).sum(axis=1)
    return _channel_sums(x * y)


def _by_channel(v, x):
    """Return v (C,) as it is combined with x (N, C, H, W)."""
    if not channels_last(x):
        return v[:, None, None]
    row = array_module(x).empty_like(x[:1, :, :1])
    row[...] = v[:, None, None]
    return row
