"""A training step of minivgg-bn: forward, backward, update, ours and PyTorch's.

Same weights, batch and optimizer, no dropout. Ours normalises over groups of 64 pictures, one
group a thread; PyTorch over the whole batch. The check is of one group, where both are the same:
its loss and the gradients of the first and the last layer.
"""

from contextlib import ExitStack

import numpy as np

from minicnn.network import build
from minicnn.network.layers import Dropout
from minicnn.network.network import Network

NETWORK, GROUP, CLASSES, SMOOTHING = "minivgg-bn", 64, 200, 0.1
RATE, MOMENTUM = 0.01, 0.9
CHECKED = ("conv1_1.weight", "fc5.weight")


def ours(case):
    """Return the function that does a step with the engine's convolutions."""
    from minicnn.engine.cpu.conv2d import FastConvolution
    from minicnn.engine.cpu.workers import step_pool
    from minicnn.methods.training.step import loss_and_gradients, sgd_step

    net, fast = network(), FastConvolution()
    x, labels = draw(case)
    groups = [slice(i, i + GROUP) for i in range(0, case.batch, GROUP)]
    replicas = [net.replica() for _ in groups]
    velocity = {k: np.zeros_like(p) for k, p in net.params.items() if _learned(k)}
    opened = ExitStack()  # closed when nobody has the step any more
    pool = opened.enter_context(step_pool(case.threads))

    def group(i):
        given = x[groups[i]], labels[groups[i]], SMOOTHING, None
        return loss_and_gradients(replicas[i], *given, convolution=fast)

    def step():
        results = list(pool.map(group, range(len(groups))))
        for name, v in velocity.items():
            grad = sum(result[2][name] for result in results) / len(results)
            sgd_step(net.params[name], grad, v, RATE, MOMENTUM, True)

    def check():
        loss, _, grads = group(0)
        return {"loss": loss, **{name: grads[name] for name in CHECKED}}

    step.check, step.opened = check, opened
    return step


def torchs(case, layout):
    """Return the function that does a step with PyTorch's modules and optimizer."""
    import torch
    from torch import nn

    source = network()
    modules, own = {}, {}
    for name, layer, _ in source.nodes:
        modules[name] = _module(nn, source, name, layer)
        for path, parameter in modules[name].named_parameters():
            kind = path.rpartition(".")[2]
            stored = {"weight": "gamma", "bias": "beta"}[kind] if name.startswith("bn") else kind
            own[f"{name}.{stored}"] = parameter
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(torch.from_numpy(source.params[name]))
    net = nn.Sequential(*modules.values()).to(memory_format=layout)
    x, labels = (torch.from_numpy(array) for array in draw(case))
    x = x.contiguous(memory_format=layout)
    criterion = nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
    sgd = torch.optim.SGD(net.parameters(), lr=RATE, momentum=MOMENTUM, nesterov=True)

    def step():
        sgd.zero_grad()
        criterion(net(x), labels).backward()
        sgd.step()

    def check():
        sgd.zero_grad()
        loss = criterion(net(x[:GROUP]), labels[:GROUP])
        loss.backward()
        return {"loss": loss.item(), **{k: own[k].grad.numpy() for k in CHECKED}}

    step.check = check
    return step


def network():
    """Return the network without what draws random numbers and without the softmax."""
    net = build.build(NETWORK)
    nodes, last = [], None
    for name, layer, _ in net.nodes:
        if name != "prob" and not isinstance(layer, Dropout):
            nodes.append((name, layer, (last,) if last else None))
            last = name
    return Network(nodes, net.params, net.input_shape, net.attrs)


def draw(case):
    """Return pictures (N, 3, size, size) and labels."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((case.batch, 3, case.size, case.size), dtype=np.float32)
    return x, rng.integers(0, CLASSES, case.batch)


def _learned(name):
    return not name.endswith((".mean", ".var"))


def _module(nn, net, name, layer):
    kind, params = type(layer).__name__, net.params
    if kind == "Conv2d":
        K, C = params[f"{name}.weight"].shape[:2]
        return nn.Conv2d(C, K, layer.kernel, padding=layer.padding, bias=layer.bias)
    if kind == "Linear":
        out, features = params[f"{name}.weight"].shape
        return nn.Sequential(nn.Flatten(), nn.Linear(features, out))
    if kind == "BatchNorm2d":
        return nn.BatchNorm2d(len(params[f"{name}.gamma"]), eps=layer.eps)
    return {
        "ReLU": lambda: nn.ReLU(inplace=True),
        "MaxPool2d": lambda: nn.MaxPool2d(layer.kernel, layer.stride),
        "GlobalAvgPool2d": lambda: nn.AdaptiveAvgPool2d(1),
    }[kind]()
