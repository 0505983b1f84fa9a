"""The rectified linear unit and three rules to pass it backward.

    forward    y = max(x, 0)

    gradient   dx = dy (x > 0)              the derivative; at x = 0 it is taken as 0
    deconvnet  dx = max(dy, 0)              Zeiler & Fergus 2014, arXiv 1311.2901, section 2.1
    guided     dx = max(dy, 0) (x > 0)      Springenberg et al. 2014, arXiv 1412.6806

Only the first is a gradient: the other two make pictures of what excites a unit.

Every operation of this folder is such a pair. `forward` returns y and a cache: what it knows that
`backward` will need, and no more. `backward` takes dy, the derivative of the final number J by
each entry of y, and returns dx, that by each entry of x:

    dx[i] = ∂J/∂x[i] = Σ_j dy[j] ∂y[j]/∂x[i]          the chain rule

We call dx the derivative of y by x *projected onto dy*. The matrix of all ∂y[j]/∂x[i] is never
made. Here it is diagonal: entry (i, i) is 1 where x[i] > 0, else 0.
"""

from minicnn.backend import array_module
from minicnn.errors import MinicnnError

RULES = {  # xp: numpy or cupy, whichever the arrays belong to
    "gradient": lambda xp, dy, positive: dy * positive,
    "deconvnet": lambda xp, dy, positive: xp.maximum(dy, 0),
    "guided": lambda xp, dy, positive: xp.maximum(dy, 0) * positive,
}


def forward(x) -> tuple:
    """Rectify.

    Parameters
    ----------
    x : array, any shape

    Returns
    -------
    y : array, shape and dtype of `x`
    positive : bool array
        The cache: where `x > 0`.

    >>> import numpy as np
    >>> forward(np.array([-1.0, 0.0, 2.0]))[0]
    array([0., 0., 2.])
    """
    return array_module(x).maximum(x, 0), x > 0


def backward(dy, positive, rule: str = "gradient"):
    """Pass `dy` down by one of `RULES`.

    Parameters
    ----------
    dy : array
    positive : bool array
        The cache of `forward`.
    rule : {"gradient", "deconvnet", "guided"}

    Returns
    -------
    dx : array, shape and dtype of `dy`

    Raises
    ------
    MinicnnError
        If there is no such rule.
    """
    if rule not in RULES:
        raise MinicnnError(f"no ReLU rule {rule!r}; the rules are {', '.join(RULES)}")
    return RULES[rule](array_module(dy), dy, positive)
