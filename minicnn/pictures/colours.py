"""Colours of one picture given to another, so that a style leaves them alone.

Gatys, Bethge, Hertzmann & Shechtman 2016, "Preserving Color in Neural Artistic Style Transfer",
arXiv 1606.05897, offer two ways; pictures are arrays (H, W, 3) of RGB.

    colour matching   p -> A (p - μ) + μ'  with  A Σ Aᵀ = Σ',  so that the style picture has the
                      mean and covariance of the content picture before it is looked at
      mean-cov        A = Σ'^½ Σ^-½          symmetric roots, by the eigenvectors (PCA) of each
      cholesky        A = L' L^-1            Σ = L Lᵀ
      histogram       no matrix: each channel gets the other's histogram, see `histograms`

    luminance alone   Y = 0.299 R + 0.587 G + 0.114 B is transferred and the content's I and Q of
                      YIQ are put back. I and Q do not change when the same number is added to R, G
                      and B, so that is all it takes.

Any A that maps one covariance to the other may be followed by a rotation; the two differ in it.
"""

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.pictures.histograms import match_histogram

LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as in YIQ
LEAST = 1e-3  # squared grey levels below which a picture has no colour to stretch


def match_covariance(rgb, like, how="mean-cov"):
    """Return `rgb` with the mean and covariance of the colours of `like`.

    Parameters
    ----------
    rgb : array (H, W, 3), 0..255
    like : array (H', W', 3)
    how : {"mean-cov", "cholesky"}

    Returns
    -------
    float64 (H, W, 3), neither rounded nor clipped

    Raises
    ------
    MinicnnError
        If `rgb` is one flat colour: there is nothing to stretch.
    """
    (mean, covariance), (mean2, covariance2) = _moments(rgb), _moments(like)
    if np.trace(covariance) < LEAST:
        raise MinicnnError("a picture of one flat colour cannot be given other colours")
    # a grey picture has colours along a line only: what it lacks in other directions stays out
    floor = 1e-6 * np.trace(covariance) * np.eye(3)
    if how == "mean-cov":
        A = _root(covariance2) @ np.linalg.inv(_root(covariance + floor))
    else:
        target = covariance2 + 1e-9 * max(np.trace(covariance2), LEAST) * np.eye(3)
        A = np.linalg.cholesky(target) @ np.linalg.inv(np.linalg.cholesky(covariance + floor))
    return (rgb - mean) @ A.T + mean2


MATCHES = {
    "mean-cov": match_covariance,
    "cholesky": lambda rgb, like: match_covariance(rgb, like, "cholesky"),
    "histogram": match_histogram,
}


def luminance(rgb):
    """Return Y, float64 (H, W)."""
    return rgb @ LUMINANCE


def grey(y):
    """Return the grey picture (H, W, 3) of a luminance (H, W)."""
    return np.repeat(np.asarray(y)[:, :, None], 3, axis=2)


def match_luminance(y, like):
    """Return the luminance `y` with the mean and deviation of `like`; a flat one gets the mean."""
    spread = y.std()
    return (y - y.mean()) * (like.std() / spread if spread else 0.0) + like.mean()


def with_luminance(rgb, y):
    """Return `rgb` with the luminance `y` and its own I and Q, float64, not clipped."""
    return rgb + (y - luminance(rgb))[:, :, None]


def _moments(rgb):
    pixels = np.asarray(rgb, np.float64).reshape(-1, 3)
    mean = pixels.mean(axis=0)
    centred = pixels - mean
    return mean, centred.T @ centred / len(pixels)


def _root(covariance):
    """Return the symmetric root of a positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
