"""How often a network is right about labelled pictures; each is prepared as `classify` does it."""

import time
from pathlib import Path

import numpy as np

from minicnn.data.datasets import open_dataset, spread
from minicnn.engine.select import Evaluation, evaluator_of
from minicnn.errors import MinicnnError
from minicnn.methods.classes.classify import network_input
from minicnn.methods.classes.scores import class_scores
from minicnn.methods.comparison.intervals import wilson

TOP = 5


def true_classes(data, net):
    """Return the network's number of each picture's class, int (N,): by name where names agree.

    Raises
    ------
    MinicnnError
        If the classes of the data cannot be those of the network.
    """
    names = [str(name) for name in net.attrs.get("classes") or ()]
    outputs = net.shapes()[net.layers[-1]][0]
    if names == list(data.class_names):
        return data.labels  # of two classes of one name the right one
    if names and data.class_names and set(data.class_names) <= set(names):
        return np.array([names.index(name) for name in data.class_names])[data.labels]
    if data.labels.max() >= outputs or len(data.class_names) not in (0, outputs):
        raise MinicnnError(
            f"{data.name} has {len(data.class_names) or data.labels.max() + 1} classes, the "
            f"network {outputs}, and their names do not agree"
        )
    return data.labels


def ranks(scores, truth):
    """Return how many classes score higher than the true one, or as high and come first."""
    own = scores[np.arange(len(truth)), truth][:, None]
    before = np.arange(scores.shape[1]) < truth[:, None]
    return ((scores > own) | ((scores == own) & before)).sum(1)


def measure(net, data, *, limit=None, side=None, batch=8, threads=None, progress=iter):
    """Return {"pictures", "top1", "top5", "seconds"}; `limit` pictures spread over all."""
    truth = true_classes(data, net)
    chosen = spread(len(data), limit)
    evaluator, found, started = evaluator_of(net, Evaluation(threads=threads)), [], time.monotonic()
    for start in progress(range(0, len(chosen), batch)):
        some = chosen[start : start + batch]
        x = np.concatenate([network_input(data.picture(i), net, side) for i in some])
        found.append(ranks(class_scores(net, evaluator, x), truth[some]))
    place = np.concatenate(found)
    return {
        "pictures": len(place),
        "top1": float((place < 1).mean()),
        "top5": float((place < TOP).mean()),
        "seconds": round(time.monotonic() - started, 1),
    }


def labelled_pictures(pictures, path, split):
    """Return the `Dataset` with the labels of a `PictureSet`, or why it has none."""
    if Path(path).is_dir():
        try:
            return open_dataset(path, split or "all")
        except MinicnnError as error:
            return f"no labels: {error}"
    return open_dataset(path, pictures.split)


def with_intervals(net, labelled, limit, threads=None, progress=None):
    """Return the accuracy as plain values with 95 % intervals, or why there is none.

    `labelled` is a `Dataset`, or says why pictures have no labels. At most `limit` of them are
    looked at; `progress`, if any, gets `limit` and the number of those done together.
    """
    if isinstance(labelled, str):
        return {"measured": False, "why": labelled}

    def counted(steps):
        for first in steps:
            if progress:
                progress(limit + first)
            yield first

    options = {"limit": min(limit, len(labelled)), "threads": threads, "progress": counted}
    try:
        found = measure(net, labelled, **options)
    except MinicnnError as error:
        return {"measured": False, "why": str(error)}
    n = found["pictures"]
    told = {name: wilson(round(found[name] * n), n)._asdict() for name in ("top1", "top5")}
    return {"measured": True, "pictures": n, **told}
