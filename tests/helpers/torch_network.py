"""A second opinion on networks: PyTorch functions strung together from the same list of nodes."""

import numpy as np

from minicnn.network.layers import pair


def activations(net, x):
    """Return torch tensors {layer: output}, and x under "input", differentiable by x."""
    import pytest  # the benchmarks read the rules below without it

    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    outputs = {"input": torch.from_numpy(np.array(x)).requires_grad_()}
    for name, layer, inputs in net.nodes:
        own = {
            kind: torch.from_numpy(np.ascontiguousarray(net.params[f"{name}.{kind}"]))
            for kind in ("weight", "bias", "gamma", "beta", "mean", "var")
            if f"{name}.{kind}" in net.params
        }
        xs = [outputs[source] for source in inputs]
        outputs[name] = _RULES[type(layer).__name__](functional, layer, own, *xs)
    return outputs


def gradients(outputs, dys):
    """Return the derivative with respect to the picture, projected onto `dys`."""
    outputs["input"].grad = None
    # numpy arrays in, numpy array out: the callers need no torch
    loss = sum((outputs[name] * _tensor(dy)).sum() for name, dy in dys.items())
    loss.backward(retain_graph=True)
    return outputs["input"].grad.numpy()


def _tensor(array):
    import torch

    return torch.from_numpy(np.ascontiguousarray(array))


def _conv(F, layer, own, x):
    return F.conv2d(
        x, own["weight"], own.get("bias"), layer.stride, pair(layer.padding), groups=layer.groups
    )


def _linear(F, layer, own, x):
    return F.linear(x.flatten(1), own["weight"], own["bias"])[:, :, None, None]


def _max(F, layer, own, x):
    return F.max_pool2d(x, layer.kernel, layer.stride, layer.padding, ceil_mode=layer.ceil)


def _average(F, layer, own, x):
    return F.avg_pool2d(
        x, layer.kernel, layer.stride, layer.padding, layer.ceil, layer.count_padding
    )


def _lrn(F, layer, own, x):
    return F.local_response_norm(x, layer.size, layer.alpha, layer.beta, layer.k)


def _batch_norm(F, layer, own, x):
    return F.batch_norm(x, own["mean"], own["var"], own["gamma"], own["beta"], eps=layer.eps)


def _replicate(F, layer, own, x):
    rows, columns = pair(layer.padding)
    return F.pad(x, (columns, columns, rows, rows), mode="replicate")


def _concat(F, layer, own, *xs):
    import torch

    return torch.cat(xs, 1)


_RULES = {
    "Conv2d": _conv,
    "Linear": _linear,
    "PReLU": lambda F, layer, own, x: F.prelu(x, own["weight"]),
    "ReLU": lambda F, layer, own, x: F.relu(x),
    "MaxPool2d": _max,
    "AvgPool2d": _average,
    "GlobalAvgPool2d": lambda F, layer, own, x: F.adaptive_avg_pool2d(x, 1),
    "LRN": _lrn,
    "BatchNorm2d": _batch_norm,
    "Dropout": lambda F, layer, own, x: x,
    "Softmax": lambda F, layer, own, x: F.softmax(x, 1),
    "Concat": _concat,
    "Add": lambda F, layer, own, *xs: sum(xs[1:], xs[0]),
    "Clip": lambda F, layer, own, x: F.hardtanh(x, layer.low, layer.high),
    "ReplicatePad2d": _replicate,
}
