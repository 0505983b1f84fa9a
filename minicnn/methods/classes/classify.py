"""Say what is in a picture: the most probable classes of a network.

The picture's shorter side is scaled, and the network's input is cut out of its centre: for the
ImageNet networks 256 and then 224 or 227, as their authors tested them; smaller networks see the
whole square.
"""

from typing import NamedTuple

from minicnn.errors import MinicnnError
from minicnn.methods.classes.scores import TOP, class_scores, ranking
from minicnn.pictures.arrays import centre, preprocess
from minicnn.pictures.reader import load_image

IMAGENET_SIDE = 256  # before the cut, of networks whose input is a little smaller
LEAST_INPUT = 200


class Classified(NamedTuple):
    """A picture's classes, the most probable first, as `classes.ranking` gives them; and notes."""

    classes: list
    notes: list


def shorter_side(net) -> int:
    """Return the length to which a picture's shorter side is scaled before the cut."""
    size = net.input_shape[1]
    return max(size, IMAGENET_SIDE) if size >= LEAST_INPUT else size


def check_side(net, side) -> None:
    """Raise `MinicnnError` if nothing of the size of the network's input can be cut out."""
    size = net.input_shape[1]
    if side is not None and side < size:
        raise MinicnnError(f"a side of {side} is too small: the network's input has {size}")


def network_input(rgb, net, side=None):
    """Return a picture uint8 (H, W, 3) as the network's input, float32 (1, 3, size, size).

    `side` is that of the shorter side before the cut; `shorter_side` by default. Raises
    `MinicnnError` if it is less than the network's input.
    """
    check_side(net, side)
    size, side = net.input_shape[1], shorter_side(net) if side is None else side
    scaled = centre(rgb, side)
    at = (side - size) // 2
    return preprocess(scaled[at : at + size, at : at + size], net.attrs["preprocess"])


def classify(net, evaluator, path, *, top=TOP, side=None) -> Classified:
    """Name the `top` classes of a picture file; `side` as in `network_input`.

    Raises `MinicnnError` if the picture cannot be read or the network has no classes.
    """
    picture = load_image(path)
    scores = class_scores(net, evaluator, network_input(picture.pixels, net, side))
    return Classified(ranking(net, scores[0], top), picture.notes)
