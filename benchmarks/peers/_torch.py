"""What the PyTorch peers share: networks and objectives written as one would there."""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from cases import convolution, network, pictures
from feature_scan import torchs as scan
from feature_scan import torchs_records as records
from train_step import torchs as train

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "helpers"))
from torch_network import _RULES

KINDS = ("gradient", "forward", "conv-forward", "conv-backward", "train", "scan", "records")
# nothing reads what a ReLU has overwritten, and PyTorch is faster so
IN_PLACE = {**_RULES, "ReLU": lambda F, layer, own, x: F.relu_(x)}


def prepare(case, *, channels_last=False, compiled=False):
    """Do what the protocol in `peers` says, for each of PyTorch's variants."""
    torch.set_num_threads(case.threads)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    wrap = torch.compile if compiled else (lambda function: function)
    if case.kind in ("train", "scan", "records"):
        return {"train": train, "scan": scan, "records": records}[case.kind](case, layout)
    if case.kind == "gradient":
        return _gradient(case, layout, wrap)
    return _forward(case, layout, wrap) if case.kind == "forward" else _convolution(case, layout)


class Walk:
    """The network of a case, as a function of x that returns {layer: activation}."""

    def __init__(self, net, taps, layout):
        self.taps, self.steps = taps, []
        last_use = {source: node.name for node in net.nodes for source in node.inputs}
        for node in net.nodes:
            own = {
                key.rpartition(".")[2]: laid(value, layout)
                for key, value in net.params.items()
                if key.rpartition(".")[0] == node.name
            }
            done = [name for name in node.inputs if last_use[name] == node.name]
            self.steps.append((node, own, [name for name in done if name not in taps]))

    def __call__(self, x):
        outputs = {"input": x}
        for (name, layer, inputs), own, done in self.steps:
            xs = [outputs[source] for source in inputs]
            outputs[name] = IN_PLACE[type(layer).__name__](F, layer, own, *xs)
            for source in done:
                del outputs[source]
        return {name: outputs[name] for name in self.taps}


def laid(array, layout):
    """Return a tensor of a NumPy array; only what has four dimensions has a layout."""
    tensor = torch.from_numpy(array)
    return tensor.contiguous(memory_format=layout) if tensor.ndim == 4 else tensor


def _gram(f):
    rows = f.permute(0, 2, 3, 1).reshape(-1, f.shape[1]).t()  # a view in either layout
    if f.is_contiguous():
        rows = f.reshape(f.shape[1], -1)
    return rows @ rows.t() / rows.shape[1]


def _gradient(case, layout, wrap):
    objective, walk = case.objective, Walk(network(case), case.taps, layout)
    content, style, x = (laid(picture, layout) for picture in pictures(case))
    with torch.no_grad():
        content_target = walk(content)[objective.content_layer]
        acts = walk(style)
        style_targets = {name: _gram(acts[name]) for name in objective.style_layers}
        del acts

    def loss(x):
        acts = walk(x)
        total = F.mse_loss(acts[objective.content_layer], content_target)
        for name, target in style_targets.items():
            distance = (_gram(acts[name]) - target).square().sum()
            total = total + objective.style_weight / len(target) ** 4 * distance
        return total

    loss = wrap(loss)

    def run():
        picture = x.detach().requires_grad_()
        value = loss(picture)
        (gradient,) = torch.autograd.grad(value, picture)
        return {"value": value.item(), "gradient": gradient.numpy()}

    return run


def _forward(case, layout, wrap):
    walk = wrap(Walk(network(case), case.taps, layout).__call__)
    x = laid(pictures(case)[2], layout)

    def run():
        with torch.inference_mode():
            return {name: y.numpy() for name, y in walk(x).items()}

    return run


def _convolution(case, layout):
    *arrays, padding, dy = convolution(case)
    x, w, b, dy = (laid(array, layout) for array in (*arrays, dy))

    def forward():
        with torch.inference_mode():
            return {"y": F.conv2d(x, w, b, padding=padding).numpy()}

    def backward():
        with torch.inference_mode():
            dx = torch.ops.aten.convolution_backward(
                *(dy, x, w, None, (1, 1), (padding, padding), (1, 1), False, (0, 0), 1),
                (True, False, False),
            )[0]
            return {"dx": dx.numpy()}

    return forward if case.kind == "conv-forward" else backward
