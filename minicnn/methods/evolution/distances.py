"""How far a layer is from what it becomes: four distances between two states of one network.

    features   1 - CKA(X, Y),  CKA = |Yc' Xc|² / (|Xc' Xc| |Yc' Yc|)      Frobenius norms
    units      1 - mean over the units k of corr(X[:, k], Y[:, k])
    filters    1 - mean over the filters k of <w[k], v[k]> / (|w[k]| |v[k]|)
    weights    |w - v| / |v|

X and Y (n, K) are the activations of the layer's K units at the same n places of the same pictures,
Xc and Yc have their columns centred; w and v are the weights of the convolution or fully connected
layer behind which the layer stands. Y and v belong to the later state. The first does not change
when the units are rotated or exchanged, the other three compare unit with unit. 0 is the same. Two
unrelated units or filters are about 1 apart, but not so two layers by CKA: on the same pictures
even random weights give features that have much in common.

A layer that never leaves its random start is near its end from the first snapshot on; the other
columns of the table, and the pictures, tell whether it has learned.

Source of the first: Kornblith et al. 2019, arXiv 1905.00414, equation 4 for linear kernels.
"""

import numpy as np

from minicnn.pictures.arrays import preprocess

PLACES = 16  # of a map, for each picture
BATCH = 16
NAMES = ("features", "units", "filters", "weights")


def choose_places(shapes, layers, pictures, seed):
    """Draw the places at which units are read, the same ones for every state.

    Returns {layer: int (pictures, S)}, flat positions in maps of `shapes` {layer: (K, P, Q)}, at
    most `PLACES` of a picture.
    """
    rng, found = np.random.default_rng(seed), {}
    for layer in layers:
        count = shapes[layer][1] * shapes[layer][2]
        draws = [rng.permutation(count)[:PLACES] for _ in range(pictures)]
        found[layer] = np.stack(draws)
    return found


def sampled(net, evaluator, pictures, places):
    """Return {layer: float32 (n, K)}: what the units of each layer are at its places.

    Parameters
    ----------
    net : Network
    evaluator : what evaluates it
    pictures : list of uint8 (H, W, 3), of one size
    places : {layer: int array (pictures, S)}
    """
    parts = {layer: [] for layer in places}
    for first in range(0, len(pictures), BATCH):
        some = pictures[first : first + BATCH]
        x = np.concatenate([preprocess(rgb, net.attrs["preprocess"]) for rgb in some])
        acts = evaluator.forward(x, list(places), keep=False)
        for layer, y in acts.items():
            flat = y.reshape(*y.shape[:2], -1)
            at = places[layer][first : first + len(some), np.newaxis]
            parts[layer].append(np.take_along_axis(flat, at, axis=2).transpose(0, 2, 1))
    return {layer: np.concatenate(p).reshape(-1, p[0].shape[2]) for layer, p in parts.items()}


def distances(x, y, w, v):
    """Return {"features", "units", "filters", "weights"} of one layer.

    Parameters
    ----------
    x, y : floating point (n, K)
        Activations, earlier and later.
    w, v : list of arrays (K, ...)
        Weights, earlier and later; several where a layer joins several; None or empty for none.
    """
    return {
        "features": 1 - linear_cka(x, y),
        "units": 1 - unit_correlation(x, y),
        "filters": 1 - filter_cosine(w, v) if w else None,
        "weights": relative_change(w, v) if w else None,
    }


def linear_cka(x, y):
    """Return the similarity of two sets of features, 0..1; 0 where one of them never varies."""
    x, y = _centred(x), _centred(y)
    scale = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(y.T @ x) ** 2 / scale) if scale > 0 else 0.0


def unit_correlation(x, y):
    """Return the mean correlation of the units that vary in the end; a constant one has 0."""
    x, y = _centred(x), _centred(y)
    own, other = (np.linalg.norm(a, axis=0) for a in (y, x))
    lives = own > 0
    if not lives.any():
        return 0.0
    products = (x * y).sum(axis=0)[lives]
    scale = (own * other)[lives]
    return float(np.divide(products, scale, out=np.zeros_like(scale), where=scale > 0).mean())


def filter_cosine(w, v):
    """Return the mean cosine of the angle between the filters of two states."""
    cosines = []
    for one, other in zip(w, v, strict=True):
        a, b = (array.reshape(len(array), -1).astype(np.float64) for array in (one, other))
        scale = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        cosines.append(np.divide((a * b).sum(1), scale, out=np.zeros_like(scale), where=scale > 0))
    return float(np.concatenate(cosines).mean())


def relative_change(w, v):
    """Return the distance of the weights as a share of the norm of the later ones."""
    far = sum(float(np.sum((a.astype(np.float64) - b) ** 2)) for a, b in zip(w, v, strict=True))
    own = sum(float(np.sum(b.astype(np.float64) ** 2)) for b in v)
    return (far / own) ** 0.5 if own > 0 else 0.0


def _centred(x):
    x = np.asarray(x, np.float64)
    return x - x.mean(axis=0)
