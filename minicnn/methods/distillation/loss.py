"""What the student's training minimises: the distance of its components from the teacher's.

With z the student's activation at the layer pc and t = P a its target (`start`), N pictures of M
positions, and G(z) the mean Gram matrix of each picture:

    L = Σ_l λ_l ( Σ (z - t)² / (N M E)  +  γ Σ (G(z) - G(t))² / (N F) )

E is the mean of |t|² over positions and F that of |G(t)|² over pictures, both measured at the
start: a layer that always answers 0 costs λ (1 + γ). The first term is for the content and for
every position; the second is what style transfer compares, in which errors of the same sign all
over a picture count and random ones cancel.

    dL/dz = λ ( 2 (z - t) / (N M E)  +  γ 4 (G(z) - G(t)) z / (N M F) )

Both are the losses of pictures, `objectives.content` and `objectives.gram`, with these factors.
"""

import numpy as np

from minicnn.objectives.content import content
from minicnn.objectives.gram import mean_gram, style


def scales(targets):
    """Return (E, F) of a layer, the means over some of its targets, arrays (N, d, H, W)."""
    energies = [np.square(t).sum(axis=1).mean() for t in targets]
    grams = [np.square(mean_gram(t)).sum(axis=(1, 2)).mean() for t in targets]
    return float(np.mean(energies)), float(np.mean(grams))


def distance(z, t, scale, gram_weight):
    """Return (value, Gram's part of it, dz) of one layer with λ = 1.

    Parameters
    ----------
    z, t : array (N, d, H, W)
    scale : (float, float)
        E and F.
    gram_weight : float
        γ.
    """
    N, _, H, W = z.shape
    E, F = scale
    value, dz = content(z, t, 1 / (N * H * W * E))
    gram_value, more = style(z, mean_gram(t), gram_weight / (N * F))
    dz += more
    return value + gram_value, gram_value, dz
