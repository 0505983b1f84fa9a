"""Temporal consistency: a frame of a video stays near the frame before it. A prior: no network.

    value = 1/D · Σ_k c_k (x_k - w_k)²       over the D = C·H·W numbers of the picture
    dx    = 2/D · c (x - w)

    x  the frame that is painted, (N, C, H, W)
    w  the painted frame before, moved along the optical flow (`pictures.flow`)
    c  (H, W), 0..1: how far the flow is to be believed; 0 where something has come into sight

Ruder, Dosovitskiy & Brox 2016, arXiv 1604.08610, section 4.
"""

from typing import Any

from minicnn.backend import array_module


def temporal(x: Any, target: Any, certain: Any) -> tuple[float, Any]:
    """Return (value, dx) of a frame x near the moved frame `target`, where it is `certain`.

    Examples
    --------
    >>> import numpy as np
    >>> x, before = np.array([[[[1.0, 5.0]]]]), np.array([[[[3.0, 0.0]]]])
    >>> value, dx = temporal(x, before, np.array([1, 0]))
    >>> value, dx.tolist()
    (2.0, [[[[-2.0, 0.0]]]])
    """
    xp = array_module(x)
    difference = x - target
    dx = certain * difference
    factor = 1 / x[0].size
    value = factor * float(xp.sum(dx * difference, dtype=xp.float64))
    dx *= 2 * factor
    return value, dx
