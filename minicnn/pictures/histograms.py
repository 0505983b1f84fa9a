"""Histogram matching: give a picture the distribution of values of another, channel by channel.

    v  ->  Q(F(v))       F: share of the picture's values below v (ties count half)
                         Q: value of the other picture with that share below it, interpolated

The map of each channel is monotone, so nothing but the tones changes, and equal values stay
equal. The pictures may have different sizes. On a picture that is not rounded yet nearly every
value is its own, and the result has the other's histogram but for the interpolation.
"""

import numpy as np


def match_histogram(rgb, like):
    """Return the picture `rgb` with the histogram of the picture `like` in every channel.

    Parameters
    ----------
    rgb : array (H, W, 3), uint8 or floating point
    like : array (H', W', 3)

    Returns
    -------
    float64 (H, W, 3), within the range of `like`; `images.to_uint8` rounds it

    >>> picture = np.arange(12.0).reshape(2, 2, 3)
    >>> match_histogram(picture, 10 * picture).tolist() == (10 * picture).tolist()
    True
    """
    channels = [_match(rgb[..., c], like[..., c]) for c in range(rgb.shape[2])]
    return np.stack(channels, axis=-1)


def _match(values, like):
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    there, counts_there = np.unique(like, return_counts=True)
    mapped = np.interp(_shares(counts), _shares(counts_there), there.astype(np.float64))
    return mapped[place].reshape(values.shape)


def _shares(counts):
    """Return the share of all values below each of the distinct ones, its own counted half."""
    return (np.cumsum(counts) - counts / 2) / counts.sum()
