"""Numbers for every place of a square that covers part of a picture; see `occlusion`."""

import numpy as np

from minicnn.backend import array_module, to_host
from minicnn.errors import MinicnnError
from minicnn.methods.classes import scores
from minicnn.network.layers import Concat, MaxPool2d, ReLU

BATCH = 8


def occlude(evaluator, x, cover, window, step, layer, unit, scores_at, index, progress=None):
    """Measure with a square over every place.

    Parameters
    ----------
    evaluator : Network, or FastEvaluator of one
    x : array (1, 3, H, W)
    cover : array (1, 3, 1, 1), what the square shows
    window, step : int
        Entry (i, j) has a square of `window` pixels around row i·step + step//2, column alike.
    layer, unit : str, int
        Whose map is summed.
    scores_at, index : str, int
        The layer of the scores, and the class.
    progress : callable, optional
        Called with the number of places done.

    Returns
    -------
    activation, probability : float64 (rows, columns)
    label : int64 (rows, columns)
    """
    shape = tuple(-(-side // step) for side in x.shape[2:])
    places = list(np.ndindex(shape))
    activation, probability = np.zeros(shape), np.zeros(shape)
    label = np.zeros(shape, np.int64)
    for start in range(0, len(places), BATCH):
        now = places[start : start + BATCH]
        copies = array_module(x).repeat(x, len(now), axis=0)
        for n, place in enumerate(now):
            top, left, bottom, right = square(place, step, window)
            copies[n, :, max(0, top) : bottom, max(0, left) : right] = cover[0]
        acts = evaluator.forward(copies, [layer, scores_at], keep=False)
        at = tuple(np.transpose(now))
        activation[at] = to_host(acts[layer][:, unit].sum(axis=(1, 2), dtype="float64"))
        p = scores.softmax(to_host(acts[scores_at])[:, :, 0, 0])
        probability[at], label[at] = p[:, index], p.argmax(axis=1)
        if progress:
            progress(start + len(now))
    return activation, probability, label


def square(place, step, window):
    """Return (top, left, bottom, right) of the square at `place` = (i, j), ends excluded."""
    top, left = (i * step + step // 2 - window // 2 for i in place)
    return top, left, top + window, left + window


def last_map_layer(net, scores_at, shape):
    """Return the last layer of maps (ReLU, pooling, concatenation) that are not the classes' own.

    Parameters
    ----------
    net : Network
    scores_at : str, layer of the scores
    shape : (int, int, int), of the picture
    """
    shapes = net.shapes(tuple(shape))
    found = [
        node.name
        for node in net.nodes
        if isinstance(node.layer, (ReLU, MaxPool2d, Concat))
        and shapes[node.name][1:] != (1, 1)
        and shapes[node.name][0] != shapes[scores_at][0]
    ]
    if not found:
        raise MinicnnError("the network has no layer of maps before its scores; name one")
    return found[-1]
