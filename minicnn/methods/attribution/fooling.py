"""The smallest change of a picture that turns its class: DeepFool.

    f_k = S_k - S_c,  w_k = df_k/dp          c: the class it has, p: the picture in grey levels
    k   = that of the least |f_k| / |w_k|    the nearest boundary, if the scores were linear
    r   = r + |f_k| / |w_k|^2 w_k            the shortest way to it, and again from there

until the picture p + (1 + η) r has another class. Moosavi-Dezfooli, Fawzi & Frossard 2015, arXiv
1511.04599, algorithm 2, with η = 0.02. A written picture has whole grey levels from 0 to 255, and
rounding may undo so little: (1 + η) grows by tenths until the rounded picture has another class.
"""

import numpy as np

from minicnn.backend import to_device, to_host
from minicnn.methods.attribution.target import Target, value_and_gradient
from minicnn.pictures.arrays import per_pixel, preprocess, to_uint8

OVERSHOOT, GROWTH, LARGEST = 0.02, 1.1, 50.0
STEPS = 50
NEAREST = 10  # classes whose boundaries are looked at, as in the paper


def fooled(net, evaluator, picture, layer, goal=None, device="cpu"):
    """Return the change r, float64 (H, W, 3) in grey levels, and the picture with another class.

    Parameters
    ----------
    net, evaluator : Network, and what evaluates it
    picture : uint8 (H, W, 3)
    layer : str, that of the scores
    goal : int, optional
        The class to reach; by default the nearest one.

    Returns
    -------
    r : float64 (H, W, 3)
        Before rounding, without (1 + η).
    found : uint8 (H, W, 3), or None
        None where 50 steps, or 50 times the change, do not suffice.
    """

    def at(rgb):
        x = to_device(preprocess(rgb, net.attrs["preprocess"]), device).astype(net.dtype)
        return x, to_host(evaluator.forward(x, [layer], keep=False)[layer])[0, :, 0, 0]

    def turned(scores):
        return scores.argmax() == goal if goal is not None else scores.argmax() != first

    x, scores = at(picture)
    first = scores.argmax()
    goals = [goal] if goal is not None else np.argsort(-scores, kind="stable")[1 : NEAREST + 1]
    r = np.zeros(picture.shape)
    for _ in range(STEPS):
        if turned(scores):
            break
        f, w = differences(net, evaluator, x, layer, scores.argmax(), goals)
        lengths = np.sqrt((w**2).sum(axis=(1, 2, 3)))
        k = np.argmin(np.abs(f) / np.maximum(lengths, 1e-30))
        r += np.abs(f[k]) / max(lengths[k] ** 2, 1e-30) * w[k]
        x, scores = at(picture + (1 + OVERSHOOT) * r)
    factor = 1 + OVERSHOOT
    while factor <= LARGEST:
        found = to_uint8(picture + factor * r)
        if turned(at(found)[1]):
            return r, found
        factor *= GROWTH
    return r, None


def differences(net, evaluator, x, layer, c, goals):
    """Return f (K,) and w (K, H, W, 3) of K classes `goals` at x (1, 3, H, W)."""
    values, gradients = [], []
    for k in (c, *goals):
        value, dx = value_and_gradient(evaluator, x, Target(layer, np.array([k])))
        values.append(value[0])
        gradients.append(per_pixel(dx, net))
    return np.array(values[1:]) - values[0], np.array(gradients[1:]) - gradients[0]
