"""What a training step computes.

    loss   cross-entropy with label smoothing, mean over the batch
    step   g = dloss/dw + wd w          (wd only on the weights of convolutions and linear layers)
           v = mu v + g
           w = w - lr (g + mu v)        Nesterov's momentum; w - lr v without it
    limit  w[k] = w[k] radius / rms(w[k]) for each filter k whose RMS exceeds the radius

Sources: of the momentum, Sutskever et al. 2013, "On the importance of initialization and momentum
in deep learning", in the form that applies the momentum ahead of the step; of the limit, Zeiler &
Fergus 2014, arXiv 1311.2901, section 3.1 (radius 0.1 for pictures in about [-128, 128]).
"""

import numpy as np

from minicnn.backend import array_module, to_device, to_host
from minicnn.engine.cpu.threads import one_blas_thread
from minicnn.ops import conv2d, softmax


@one_blas_thread()
def loss_and_gradients(net, x, labels, smoothing, rng, convolution=conv2d):
    """Return (mean loss, number of right answers, {parameter: gradient}) of one group."""
    top = next(n.name for n in reversed(net.nodes) if n.name != "prob")
    logits = net.forward(x, [top], training=True, rng=rng, convolution=convolution)[top]
    scores = logits.reshape(len(x), -1)
    loss, cache = softmax.cross_entropy(scores, labels, smoothing=smoothing)
    grads = net.gradients({top: softmax.cross_entropy_backward(cache).reshape(logits.shape)})
    return float(loss), int((scores.argmax(axis=1) == labels).sum()), grads


def sgd_step(w, grad, velocity, lr, momentum, nesterov):
    """Update `w` and `velocity` in place; the formula stands at the top of the file."""
    velocity *= momentum
    velocity += grad
    w -= lr * (grad + momentum * velocity if nesterov else velocity)


def limit_rms(w, radius):
    """Scale the filters w[k] of (K, C, R, S) whose RMS exceeds `radius` down to it, in place."""
    xp = array_module(w)
    rms = xp.sqrt(xp.mean(xp.square(w, dtype=xp.float64), axis=(1, 2, 3), keepdims=True))
    w *= (radius / xp.maximum(rms, radius)).astype(w.dtype)


def update_running_statistics(params, statistics, rate=0.1):
    """Move the stored means and variances towards those of a group, in place."""
    for layer, (mean, var) in statistics.items():
        for name, value in (("mean", mean), ("var", var)):
            stored = params[f"{layer}.{name}"]
            stored += rate * (value - stored)


def augment(pictures, crop, border, flip, rng, preprocess):
    """Cut a random square out of each picture, mirror half of them, and normalise.

    Parameters
    ----------
    pictures : uint8 array (N, H, W, 3)
    crop : int
        Side of the square in pixels.
    border : int
        Pixels, mirrored at the edge, that are put around the picture first.

    Returns
    -------
    x : float32 array (N, 3, crop, crop)
    """
    if border:
        around = (border, border)
        pictures = np.pad(pictures, ((0, 0), around, around, (0, 0)), mode="reflect")
    N, H, W = pictures.shape[:3]
    top, left = rng.integers(0, H - crop + 1, N), rng.integers(0, W - crop + 1, N)
    mirrored = rng.random(N) < 0.5 if flip else np.zeros(N, bool)
    x = np.empty((N, crop, crop, 3), np.float32)
    for i in range(N):
        cut = pictures[i, top[i] : top[i] + crop, left[i] : left[i] + crop]
        x[i] = cut[:, ::-1] if mirrored[i] else cut
    return normalise(x, preprocess)


def normalise(pictures, preprocess):
    """Return pictures (N, H, W, 3), RGB 0..255, as float32 (N, 3, H, W) for the network."""
    x = np.asarray(pictures, np.float32)
    if preprocess["channel_order"] == "BGR":
        x = x[..., ::-1]
    mean, std = (np.asarray(preprocess[k], np.float32) for k in ("mean", "std"))
    x = (x * np.float32(preprocess["scale"]) - mean) / std
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


@one_blas_thread()
def evaluate(net, pictures, labels, place, pool, batch=50):
    """Return {"val_loss", "val_accuracy", "val_top5"} over uint8 pictures (N, H, W, 3).

    The network is at the `place` (see `devices`), which may use the threads of `pool`.
    """
    top = next(n.name for n in reversed(net.nodes) if n.name != "prob")

    def part(first):
        mine = slice(first, first + batch)
        x = to_device(normalise(pictures[mine], net.attrs["preprocess"]), place.device)
        acts = net.replica().forward(x, [top], keep=False, convolution=place.convolution)
        scores = to_host(acts[top]).reshape(len(x), -1)
        loss, _ = softmax.cross_entropy(scores, labels[mine])
        ranked = np.argsort(-scores, axis=1)[:, :5] == labels[mine, None]
        return loss * len(x), ranked[:, 0].sum(), ranked.any(axis=1).sum()

    parts = place.mapping(pool)(part, range(0, len(pictures), batch))
    loss, accuracy, top5 = (np.sum(list(parts), axis=0) / len(pictures)).tolist()
    return {"val_loss": loss, "val_accuracy": accuracy, "val_top5": top5}
