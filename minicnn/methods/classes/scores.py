"""The classes of a network: where their scores are, what they are called, which one is meant."""

import numpy as np

from minicnn.backend import array_module, check_finite, to_host
from minicnn.errors import MinicnnError
from minicnn.network.layers import Add, Clip, Concat, MaxPool2d, ReLU, Softmax

TOP = 5


def scores_layer(net, size=None):
    """Return the layer of the class scores before softmax.

    Parameters
    ----------
    net : Network
    size : (int, int), optional
        (rows, columns) of the picture.

    Raises
    ------
    MinicnnError
        If the network ends in a map: it has no classes.
    """
    if net.attrs.get("last"):
        raise MinicnnError(
            f"this {net.attrs.get('name')} ends at {net.attrs['last']}: its weight file goes no "
            "further, so it has no classes; use one with all layers"
        )
    last = net.nodes[-1]
    layer = last.inputs[0] if isinstance(last.layer, Softmax) else last.name
    shape = net.shapes((net.input_shape[0], *size) if size else None).get(layer)
    if shape is None or shape[1:] != (1, 1):
        raise MinicnnError(
            f"the network {net.attrs.get('name', '')} has no classes: it ends in the map {layer} "
            f"{shape}; use one with class scores, or look at its units with deconv"
        )
    return layer


def last_map_layer(net, scores_at, shape):
    """Return the last layer of maps that are not the classes' own: ReLU, pooling, ...

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
        if isinstance(node.layer, (ReLU, Clip, MaxPool2d, Concat, Add))
        and shapes[node.name][1:] != (1, 1)
        and shapes[node.name][0] != shapes[scores_at][0]
    ]
    if not found:
        raise MinicnnError("the network has no layer of maps before its scores; name one")
    return found[-1]


def class_name(net, index):
    """Return what a class is called: its name, or its number in words."""
    names = net.attrs.get("classes")
    return str(names[index]) if names else f"class {index}"


def short(name):
    """Return the first of the names that a class has: "goldfish, Carassius auratus" has two."""
    return name.partition(",")[0]


def find_class(net, wanted, count):
    """Return the number of the class that is meant.

    Parameters
    ----------
    net : Network
    wanted : int or str
        Its number from 0, its name, or a part of the name that no other class has.
    count : int
        How many there are.

    Raises
    ------
    MinicnnError
        If there is no such class, or several.
    """
    text = str(wanted).strip()
    if text.lstrip("-").isdigit():
        if not 0 <= int(text) < count:
            raise MinicnnError(f"no class {text}; use 0 to {count - 1}")
        return int(text)
    names = [str(name).lower() for name in net.attrs.get("classes") or ()]
    if not names:
        raise MinicnnError(
            f"the network {net.attrs.get('name', '')} knows no class names; give a number from 0 "
            f"to {count - 1} instead of {text!r}"
        )
    exact = [i for i, name in enumerate(names) if text.lower() == name]
    found = exact or [i for i, name in enumerate(names) if text and text.lower() in name]
    if len(found) == 1:
        return found[0]
    if not found:
        raise MinicnnError(f"no class is called {text!r}; give a name or a number 0 to {count - 1}")
    some = ", ".join(f"{i} {names[i]}" for i in found[:TOP])
    more = f" and {len(found) - TOP} more" if len(found) > TOP else ""
    raise MinicnnError(f"{len(found)} classes have {text!r} in their name: {some}{more}; give one")


def wanted_or_top(net, scores, wanted=None):
    """Return the number of the class that is meant, see `find_class`; else the most probable."""
    return int(scores.argmax()) if wanted is None else find_class(net, wanted, len(scores))


def class_scores(net, evaluator, x, layer=None):
    """Return the scores before softmax of a batch on the host, NumPy array (N, K)."""
    layer = layer or scores_layer(net)
    xp = array_module(next(iter(net.params.values())))
    return to_host(evaluator.forward(xp.asarray(x), [layer], keep=False)[layer])[:, :, 0, 0]


def told(net, scores, index):
    """Return what is told of a class and the scores (K,): its name, score, probability; the top."""
    return {
        "class": index,
        "name": class_name(net, index),
        "score": float(scores[index]),
        "probability": float(softmax(scores)[index]),
        "top": ranking(net, scores),
    }


def softmax(scores):
    """Return the probabilities of scores (..., K), float64."""
    scores = np.asarray(to_host(scores), np.float64)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def ranking(net, scores, count=TOP):
    """Return the most probable classes as a list of {"class", "name", "score", "probability"}.

    Raises
    ------
    MinicnnError
        If a score is NaN or infinite.
    """
    check_finite(scores, f"scores of {net.attrs.get('name', 'the network')}")
    p = softmax(scores)
    return [
        {
            "class": int(i),
            "name": class_name(net, i),
            "score": float(scores[i]),
            "probability": float(p[i]),
        }
        for i in np.argsort(-p, kind="stable")[:count]
    ]
