"""The parametric rectified linear unit: a slope for negative values, one for each channel.

    forward    y = max(x, 0) + a[c] min(x, 0)

    backward   dx = dy where x > 0, a[c] dy elsewhere
               da[c] = Σ_nhw dy min(x, 0)

Source: He et al. 2015, arXiv 1502.01852, equations 1 and 8.
"""

from typing import Any

from minicnn.backend import array_module


def forward(x, a) -> tuple:
    """Rectify, with slopes.

    Parameters
    ----------
    x : array (N, C, H, W)
    a : array (C,)
        The slopes, in the dtype of `x`.

    Returns
    -------
    y : array, shape and dtype of `x`
    x : array
        The cache of both backward functions.

    >>> import numpy as np
    >>> forward(np.array([[[[-2.0, 3.0]]]]), np.array([0.25]))[0]
    array([[[[-0.5,  3. ]]]])
    """
    xp = array_module(x)
    return xp.where(x > 0, x, x * a[:, None, None]), x


def backward_data(dy, x, a) -> Any:
    """Return dx, projected onto `dy` (N, C, H, W)."""
    return array_module(x).where(x > 0, dy, dy * a[:, None, None])


def backward_params(dy, x) -> Any:
    """Return da (C,), projected onto `dy` (N, C, H, W)."""
    return (dy * array_module(x).minimum(x, 0)).sum(axis=(0, 2, 3))
