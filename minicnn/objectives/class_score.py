"""The score of a class, to be made large."""

from minicnn.backend import array_module
from minicnn.errors import MinicnnError
from minicnn.objectives.term_checks import activation


class ClassScore:
    """Score of a class, to be made large: value = - sum over pictures of f[n, k].

    Simonyan et al. 2013 (arXiv 1312.6034) take the score before softmax. A map f (N,C,H,W)
    scores by its mean over the positions. The derivative is -1 (or -1/M) at channel k, 0 elsewhere.

    Parameters
    ----------
    layer : str
    index : int, class (or channel) from 0

    >>> import numpy as np
    >>> ClassScore("fc8", 1)({"fc8": np.array([[3.0, 4.0, 5.0]])})
    (-4.0, {'fc8': array([[ 0., -1.,  0.]])})
    """

    def __init__(self, layer: str, index: int):
        self.layer, self.index, self.layers = layer, index, [layer]

    def __call__(self, acts, weight=1.0, report=None):
        """Return (weight · value, {layer: weight · gradient})."""
        f = activation(acts, self.layer)
        if not 0 <= self.index < f.shape[1]:
            raise MinicnnError(
                f"no class {self.index} in layer {self.layer}; use 0 to {f.shape[1] - 1}"
            )
        xp = array_module(f)
        positions = f[0, 0].size
        score = float(xp.sum(f[:, self.index], dtype=xp.float64)) / positions
        df = xp.zeros_like(f)
        df[:, self.index] = -weight / positions
        if report is not None:
            report[self.layer] = -weight * score
        return -weight * score, {self.layer: df}
