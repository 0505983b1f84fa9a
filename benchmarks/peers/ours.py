"""ours, the fast engine."""

from cases import convolution, network, pictures
from feature_scan import ours as scan
from train_step import ours as train

import minicnn
from minicnn.engine.select import Evaluation, evaluator_of, replaying
from minicnn.network.layers import Conv2d
from minicnn.network.network import Network

PACKAGES = ("minicnn-numpy", "numpy", "scipy")
KINDS = ("gradient", "forward", "conv-forward", "conv-backward", "train", "scan", "records")


def prepare(case, engine="fast"):
    if case.kind in ("train", "scan", "records"):
        return (train if case.kind == "train" else scan)(case)
    if case.kind == "gradient":
        return _gradient(case, engine)
    return _forward(case, engine) if case.kind == "forward" else _convolution(case, engine)


def style_function(case, engine="fast"):
    """Return minicnn's own fun(x) -> (value, gradient) of the case."""
    content, style, _ = pictures(case)
    objective = case.objective
    return minicnn.style_objective(
        network(case),
        content,
        style,
        content_layers=[objective.content_layer],
        style_layers=list(objective.style_layers),
        content_weight=1.0,
        style_weight=objective.style_weight,
        tv_weight=0.0,
        evaluation=Evaluation(engine, case.threads),
    )


def _gradient(case, engine):
    fun, x = style_function(case, engine), pictures(case)[2]
    return lambda: dict(zip(("value", "gradient"), fun(x), strict=True))


def _forward(case, engine):
    evaluator, x = evaluator_of(network(case), Evaluation(engine, case.threads)), pictures(case)[2]
    evaluator = replaying(evaluator)
    return lambda: evaluator.forward(x, case.taps, keep=False)


def _convolution(case, engine):
    """One layer is a network too; its input and gradient lie in memory as our layers leave them."""
    x, w, b, padding, dy = convolution(case)
    layer = Conv2d(len(w), w.shape[2:], padding=padding)
    net = Network([("conv", layer)], {"conv.weight": w, "conv.bias": b}, x.shape[1:])
    evaluator = evaluator_of(net, Evaluation(engine, case.threads))
    x, dy = (a.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2) for a in (x, dy))
    if case.kind == "conv-forward":
        return lambda: {"y": evaluator.forward(x, ["conv"], keep=False)["conv"]}
    evaluator.forward(x, ["conv"])
    return lambda: {"dx": evaluator.backward({"conv": dy})}
