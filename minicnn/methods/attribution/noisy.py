"""How much a gradient varies under noise: SmoothGrad squared, and VarGrad.

    w_i = dS/dx at x + σ noise_i, i = 1..n          noise: normal, σ for each channel

    SmoothGrad squared   1/n Σ w_i^2                Hooker et al. 2018, arXiv 1806.10758
    VarGrad              1/n Σ w_i^2 - (1/n Σ w_i)^2    Adebayo et al. 2018, arXiv 1810.03292

The first is the square of the mean, SmoothGrad (Smilkov et al. 2017, arXiv 1706.03825; here
`saliency --average noise`), plus the second, the variance. Neither has a sign.
"""

import numpy as np

from minicnn.backend import array_module, to_host
from minicnn.methods.attribution.integrated import BATCH
from minicnn.methods.attribution.target import value_and_gradient


def noisy_moments(evaluator, x, target, *, samples, noise, rng, progress=None):
    """Return the mean of w and of its squares over noisy copies.

    Parameters
    ----------
    evaluator : Network, or what evaluates one
    x : array (N, 3, H, W), preprocessed
    target : Target
    samples : int, n
    noise : float or array (1, 3, 1, 1)
        σ in the units of x.
    rng : numpy.random.Generator
        Draws the noise (samples, N, 3, H, W).
    progress : callable, optional
        Called with the number of samples done.

    Returns
    -------
    mean, squares : float64 (N, 3, H, W), on the host
    """
    host, several = to_host(x), max(1, BATCH // len(x))
    mean, squares = np.zeros(x.shape), np.zeros(x.shape)
    for first in range(0, samples, several):
        count = min(several, samples - first)
        copies = host + noise * rng.standard_normal((count, *host.shape))
        copies = copies.astype(host.dtype).reshape(-1, *host.shape[1:])
        copies = array_module(x).asarray(copies)
        w = to_host(value_and_gradient(evaluator, copies, target.repeated(count))[1])
        w = w.reshape(count, *host.shape).astype(np.float64)
        mean += w.sum(axis=0) / samples
        squares += (w**2).sum(axis=0) / samples
        if progress:
            progress(first + count)
    return mean, squares


def smooth_squared(mean, squares):
    """Return SmoothGrad squared of what `noisy_moments` returns."""
    return squares


def vargrad(mean, squares):
    """Return VarGrad of what `noisy_moments` returns; rounding makes no variance negative."""
    return np.maximum(squares - mean**2, 0)
