"""A gradient averaged over moved or noisy copies of a picture; see `saliency`."""

import numpy as np

from minicnn.backend import array_module, to_host

AVERAGES = ("none", "shifts", "noise")
BATCH = 8


def averaged(gradient, x, average, *, samples, shift, noise, rng, magnitude, progress=None):
    """Average a gradient over moved or noisy copies of a picture.

    Parameters
    ----------
    gradient : callable, x (N, 3, H, W) -> array like x
    x : array (1, 3, H, W)
    average : {"none", "shifts", "noise"}
    samples : int
    shift : int
        The first copy is not moved; the others by up to so many pixels, edges repeated.
    noise : float or (3,)
        Standard deviation in the units of x, for each channel.
    rng : numpy.random.Generator
    magnitude : callable, w (1, 3, H, W) -> map (H, W)
    progress : callable, optional
        Called with the number of samples done.

    Returns
    -------
    w : array (1, 3, H, W), the mean gradient
    m : array (H, W)
        The map of it; with "shifts" the mean of the maps.
    """
    if average == "none":
        w = to_host(gradient(x))
        return w, magnitude(w)
    host = to_host(x)
    steps = rng.integers(-shift, shift + 1, (samples, 2))
    steps[0] = 0
    total, maps = np.zeros(host.shape, np.float64), np.zeros(host.shape[2:])
    for start in range(0, samples, BATCH):
        now = steps[start : start + BATCH]
        if average == "shifts":
            copies = np.concatenate([moved(host, step) for step in now])
        else:
            copies = np.repeat(host, len(now), axis=0)
            spread = np.reshape(np.broadcast_to(noise, 3), (1, 3, 1, 1))
            copies = copies + (spread * rng.standard_normal(copies.shape)).astype(host.dtype)
        for w, step in zip(to_host(gradient(array_module(x).asarray(copies))), now, strict=True):
            w = w[np.newaxis]
            w = moved_back(w, step) if average == "shifts" else w
            total += w
            maps += magnitude(w)
        if progress:
            progress(min(start + BATCH, samples))
    w = total / samples
    return w, maps / samples if average == "shifts" else magnitude(w)


def moved(x, step):
    """Move pictures (N, C, H, W) down and to the right by `step` = (rows, columns).

    What comes in is the repeated edge.
    """
    pad = [(abs(int(s)),) * 2 for s in step]
    wide = np.pad(x, ((0, 0), (0, 0), *pad), mode="edge")
    return wide[(..., *(_window(s, x.shape[2 + i]) for i, s in enumerate(step)))]


def moved_back(w, step):
    """Move gradients (N, C, H, W) up and to the left by `step`; what comes in is 0."""
    pad = [(abs(int(s)),) * 2 for s in step]
    wide = np.pad(w, ((0, 0), (0, 0), *pad))
    return wide[(..., *(_window(-s, w.shape[2 + i]) for i, s in enumerate(step)))]


def _window(step, size):
    first = abs(int(step)) - int(step)
    return slice(first, first + size)
