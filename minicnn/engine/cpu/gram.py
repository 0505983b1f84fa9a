"""Gram matrices on the crew.

    G / M = 1/M Σ_bands F_b F_bᵀ

The M positions are cut into bands, which do not depend on the number of threads. Of an activation
that is not kept the parts were multiplied as they were read (`recomputed`).
"""

import numpy as np

from minicnn.engine.cpu.recomputed import Recomputed
from minicnn.engine.cpu.recorded_calls import worth
from minicnn.engine.cpu.threads import parallel_map

BANDS = (1, 2, 4, 8)
POSITIONS = 2  # for each channel that a band has at least, so that to add the bands is little work


def mean_gram(f):
    """Return the mean Gram matrices (N, C, C) of f (N, C, H, W), see `objectives.mean_gram`.

    The channels are to be last in memory, else f is copied; or it is a `Recomputed`.
    """
    N, C, H, W = f.shape
    if isinstance(f, Recomputed):
        return f.gram() / (H * W)
    count = max(count for count in BANDS if count == 1 or POSITIONS * C * count <= H * W)
    F = f.transpose(0, 2, 3, 1).reshape(N, H * W, C)
    edges = [H * W * i // count for i in range(count + 1)]

    def band(i):
        mine = F[:, edges[i] : edges[i + 1]]
        return np.matmul(mine.transpose(0, 2, 1), mine)

    mapping = parallel_map if worth(N * H * W * C * C) > 1 else map
    first, *others = mapping(band, range(count))
    for other in others:
        first += other
    first /= H * W
    return first
