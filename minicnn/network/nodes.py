"""The layers of a network in their places: a list in which every input comes before its reader."""

from typing import NamedTuple

from minicnn.errors import MinicnnError

INPUT = "input"  # the picture


class Node(NamedTuple):
    """A layer in its place: its name, what it computes, and the names of its inputs."""

    name: str
    layer: object
    inputs: tuple


def as_nodes(layers):
    """Return a list of `Node` for (name, layer) or (name, layer, inputs).

    A layer without inputs takes the output of the one before it, the first one the picture. A name
    that occurs twice is refused, and an input that does not come before.
    """
    nodes, known = [], [INPUT]
    for name, layer, *inputs in layers:
        inputs = tuple(inputs[0]) if inputs and inputs[0] else (known[-1],)
        if name in known:
            raise MinicnnError(f"two layers are named {name!r}; names must be unique")
        for source in inputs:
            if source not in known:
                raise MinicnnError(f"layer {name!r} takes {source!r}, which does not come before")
        if len(inputs) > 1 and not layer.many:
            raise MinicnnError(f"layer {name!r} takes one input, not {', '.join(inputs)}")
        nodes.append(Node(name, layer, inputs))
        known.append(name)
    return nodes
