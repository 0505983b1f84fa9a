"""Fully connected layer.

    forward          y  = x wᵀ + b        y[n,k] = b[k] + Σ_d w[k,d] x[n,d]
    backward_data    dx = dy w
    backward_params  dw = dyᵀ x           db[k] = Σ_n dy[n,k]

A map (N, C, H, W) is flattened by the caller, in this order: d = (c H + h) W + w.
"""

from typing import Any


def forward(x, w, b=None) -> tuple:
    """Multiply and add.

    Parameters
    ----------
    x : array (N, D)
    w : array (K, D)
    b : array (K,), optional

    Returns
    -------
    y : array (N, K)
    x : array
        The cache of `backward_params`.
    """
    y = x @ w.T  # (N, D) (D, K)
    if b is not None:
        y += b
    return y, x


def backward_data(dy, w) -> Any:
    """Return dx (N, D) for `dy` (N, K)."""
    return dy @ w


def backward_params(dy, x) -> tuple:
    """Return (dw, db), (K, D) and (K,), for `dy` (N, K)."""
    return dy.T @ x, dy.sum(axis=0)  # (K, N) (N, D), (K,)
