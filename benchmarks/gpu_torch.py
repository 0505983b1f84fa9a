"""PyTorch's evaluation of the objective of gpu.py, in the ways in which people run it."""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from gpu_iterations import torch_lbfgs


def evaluation(
    net,
    pictures,
    content_layer,
    style_layers,
    weights,
    device,
    *,
    tf32=True,
    matmul_tf32=False,
    channels_last=False,
    compiled=False,
    graph=False,
    iterate=False,
    double=False,
):
    """Return (work, gradient): work() gives the value, gradient() the array.

    Parameters
    ----------
    net : minicnn.network.network.Network, of VGG's kind
    pictures : arrays (1, 3, H, W): where, content, style
    content_layer, style_layers : names of ReLUs, the deepest one last
    weights : dict with "content_weight" and "style_weight"
    tf32, matmul_tf32 : bool, of convolutions and of products; the defaults are PyTorch's
    double : bool, float64 throughout
    iterate : bool, return run(iterations) of its L-BFGS instead, see `gpu_iterations`
    """
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cuda.matmul.allow_tf32 = matmul_tf32
    layout = torch.channels_last if channels_last else torch.contiguous_format

    def put(array):
        host = array if isinstance(array, np.ndarray) else array.get()
        tensor = torch.tensor(host, device=device, dtype=torch.float64 if double else None)
        return tensor.contiguous(memory_format=layout) if tensor.ndim == 4 else tensor

    names = net.layers[: net.layers.index(style_layers[-1]) + 1]
    convolutions = [name for name in names if name.startswith("conv")]
    params = {
        name: [put(net.params[f"{name}.{part}"]) for part in ("weight", "bias")]
        for name in convolutions
    }

    def features(x):
        found = {}
        for name in names:
            if name in params:
                x = F.conv2d(x, *params[name], padding=1)
            elif name.startswith("relu"):
                x = found[name] = F.relu(x, inplace=True)
            else:
                x = F.max_pool2d(x, 2)
        return found

    x, content, style = (put(picture) for picture in pictures)
    with torch.no_grad():
        grams = {name: gram(f) for name, f in features(style).items() if name in style_layers}
        target = features(content)[content_layer].clone()
    x.requires_grad_(True)

    def loss(x):
        found = features(x)
        value = weights["content_weight"] * (found[content_layer] - target).square().mean()
        for name in style_layers:
            factor = weights["style_weight"] / found[name].shape[1] ** 4
            value = value + factor * (gram(found[name]) - grams[name]).square().sum()
        return value

    function = torch.compile(loss, dynamic=False) if compiled else loss
    if iterate:
        return partial(torch_lbfgs, function, x)

    def evaluate():
        value = function(x)
        return value.detach(), torch.autograd.grad(value, x)[0]

    if graph:
        evaluate = captured(evaluate)
    return (lambda: evaluate()[0].item()), lambda: evaluate()[1].cpu().numpy()


def gram(f):
    """Return the mean Gram matrix of f (1, C, H, W), in whichever layout, without a copy."""
    rows = f.permute(0, 2, 3, 1).reshape(-1, f.shape[1]) if _last(f) else f[0].flatten(1).T
    return rows.T @ rows / len(rows)


def _last(f):
    return f.is_contiguous(memory_format=torch.channels_last)


def captured(evaluate):
    """Return evaluate as a CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            evaluate()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        held = evaluate()

    def replay():
        graph.replay()
        return held

    return replay
