"""Values kept between two bounds; with 0 and 6 the ReLU6 of mobile networks.

    forward   y  = min(max(x, low), high)
    backward  dx = dy where low < x < high, 0 elsewhere

At the bounds themselves the derivative is taken as 0, as that of the ReLU.
"""

from minicnn.backend import array_module
from minicnn.ops import relu


def forward(x, low: float = 0.0, high: float = 6.0) -> tuple:
    """Clip.

    Parameters
    ----------
    x : array, any shape
    low, high : float

    Returns
    -------
    y : array, shape and dtype of `x`
    inside : bool array
        The cache: where `low < x < high`.

    >>> import numpy as np
    >>> forward(np.array([-1.0, 2.0, 7.0]))[0]
    array([0., 2., 6.])
    """
    return array_module(x).clip(x, low, high), (x > low) & (x < high)


def backward(dy, inside, rule: str = "gradient"):
    """Return dx, projected onto `dy`; or by another of `relu.RULES`."""
    return relu.backward(dy, inside, rule)
