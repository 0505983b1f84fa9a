"""What the student is shown: pieces of pictures, mixed and disturbed like the pictures of a search.

A search meets more than photographs: noise that turns into strokes, a content with a pattern all
over it. So a third of the pieces gets noise, fine or coarse, and a sixth is the mean of two.
"""

import numpy as np
from PIL import Image

from minicnn.methods.training.step import normalise

NOISY, MIXED = 1 / 3, 1 / 6  # shares of the pictures
LOUDEST = 80  # grey levels, of the noise
FINEST_SIDE = 0.5  # of a piece in the picture, in units of the side that it gets


def batch(rng, sets, size, count, preprocess):
    """Return `count` pieces, float32 (count, 3, size, size), preprocessed.

    Parameters
    ----------
    rng : numpy.random.Generator
    sets : list of `data.picture_set.PictureSet`
        Each is drawn from as often as the others.
    """
    pieces = np.stack([disturbed(rng, sets, size) for _ in range(count)])
    return normalise(pieces, preprocess)


def disturbed(rng, sets, size):
    """Return one piece as it is, mixed with another, or with noise, float32 (size, size, 3)."""
    rgb, kind = piece(rng, sets, size), rng.random()
    if kind < MIXED:
        share = np.float32(rng.uniform(0.2, 0.8))
        rgb = share * rgb + (1 - share) * piece(rng, sets, size)
    elif kind < MIXED + NOISY:
        rgb += rng.uniform(0, LOUDEST) * noise(rng, size)
    return rgb


def piece(rng, sets, size):
    """Return a random square of a random picture, scaled, mirrored and tinted."""
    pictures = sets[rng.integers(len(sets))]
    rgb = pictures.picture(int(rng.integers(len(pictures))))
    H, W = rgb.shape[:2]
    largest = min(H, W)
    smallest = min(largest, FINEST_SIDE * size)
    side = np.exp(rng.uniform(np.log(smallest), np.log(largest)))
    top, left = rng.uniform(0, H - side), rng.uniform(0, W - side)
    box = (left, top, left + side, top + side)
    scaled = Image.fromarray(rgb).resize((size, size), Image.Resampling.BICUBIC, box=box)
    rgb = np.asarray(scaled, np.float32)
    if rng.random() < 0.5:
        rgb = rgb[:, ::-1]
    return tinted(rng, rgb)


def tinted(rng, rgb):
    """Return the piece with another contrast, brightness and tint; one in ten is grey."""
    if rng.random() < 0.1:
        rgb = np.broadcast_to(rgb.mean(axis=2, keepdims=True), rgb.shape)
    contrast = rng.uniform(0.7, 1.3) * rng.uniform(0.9, 1.1, 3)
    shift = rng.normal(0, 15) + rng.normal(0, 8, 3)
    return np.clip((rgb - 128) * contrast + 128 + shift, 0, 255).astype(np.float32)


def noise(rng, size):
    """Return Gaussian noise (size, size, 3) of deviation 1, whose grain is 1, 2, 4 or 8 pixels."""
    grain = 2 ** int(rng.integers(4))
    coarse = rng.standard_normal((-(-size // grain), -(-size // grain), 3), dtype=np.float32)
    return coarse.repeat(grain, axis=0).repeat(grain, axis=1)[:size, :size]
