"""Training's side of a network: the gradients of its parameters, the statistics of its batches."""

from minicnn.errors import MinicnnError
from minicnn.network.layer import Rule
from minicnn.network.layers import BatchNorm2d
from minicnn.network.nodes import INPUT


def gradients(net, dys):
    """Return {parameter: gradient} of a network after a forward pass with `training=True`.

    Parameters
    ----------
    net : Network
    dys : dict, layer -> gradient of its output

    Raises
    ------
    MinicnnError
        If the last forward pass was not one of training.
    """
    if not net.trained:
        raise MinicnnError("parameter gradients need a forward pass with training=True just before")
    grads = {}

    def step(node, dy, cache):
        """Collect the gradients of a layer's own parameters on the way."""
        if isinstance(node.layer, BatchNorm2d):
            dx, own = node.layer.backward_all(dy, cache)
        else:
            own = node.layer.backward_params(dy, cache)
            if node.inputs == (INPUT,):
                dx = None  # nothing below has parameters
            else:
                dx = node.layer.backward(dy, cache, net.own_params(node), Rule())
        grads.update({f"{node.name}.{param}": grad for param, grad in own.items()})
        return dx

    net.walk_back(dys, step)
    return grads


def batch_statistics(net):
    """Return {layer: (mean, var)} of the batch normalisations in the last training pass."""
    if not net.trained:
        return {}
    return {name: cache[2:] for name, cache in net.caches_of(BatchNorm2d).items()}
