"""onnxruntime."""

import numpy as np
import onnxruntime
from cases import convolution, network, pictures
from onnx import TensorProto, helper, numpy_helper

from minicnn.network.layers import Conv2d
from minicnn.network.network import Network
from minicnn.ops.shapes import pair

PACKAGES = ("onnxruntime", "onnx")
KINDS = ("forward", "conv-forward")
OPSET = 17


def prepare(case):
    if case.kind == "forward":
        net, taps, x = network(case), list(case.taps), pictures(case)[2]
    else:
        x, w, b, padding, _ = convolution(case)
        layer = Conv2d(len(w), w.shape[2:], padding=padding)
        net = Network([("y", layer)], {"y.weight": w, "y.bias": b}, x.shape[1:])
        taps = ["y"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = case.threads, 1
    session = onnxruntime.InferenceSession(
        model(net, taps, x.shape), options, providers=["CPUExecutionProvider"]
    )
    return lambda: dict(zip(taps, session.run(taps, {"input": x}), strict=True))


def model(net, taps, shape):
    """Return an ONNX model of `net` that puts out `taps`, as bytes."""
    nodes, arrays = [], []
    for name, layer, inputs in net.nodes:
        own = [f"{name}.{kind}" for kind in ("weight", "bias") if f"{name}.{kind}" in net.params]
        arrays += [numpy_helper.from_array(np.ascontiguousarray(net.params[k]), k) for k in own]
        kind, attributes = OPERATORS[type(layer).__name__](layer)
        nodes.append(helper.make_node(kind, [*inputs, *own], [name], name=name, **attributes))
    sizes = net.shapes(shape[1:])
    values = {"input": shape, **{name: (1, *sizes[name]) for name in taps}}
    infos = {k: helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in values.items()}
    graph = helper.make_graph(nodes, "net", [infos.pop("input")], [*infos.values()], arrays)
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def _windows(layer, **more):
    kernel, stride, padding = (list(pair(v)) for v in (layer.kernel, layer.stride, layer.padding))
    return {"kernel_shape": kernel, "strides": stride, "pads": 2 * padding, **more}


OPERATORS = {
    "Conv2d": lambda layer: ("Conv", _windows(layer, group=layer.groups)),
    "ReLU": lambda layer: ("Relu", {}),
    "MaxPool2d": lambda layer: ("MaxPool", _windows(layer, ceil_mode=int(layer.ceil))),
    "AvgPool2d": lambda layer: (
        "AveragePool",
        _windows(layer, ceil_mode=int(layer.ceil), count_include_pad=int(layer.count_padding)),
    ),
    "LRN": lambda layer: (
        "LRN",
        {"size": layer.size, "alpha": layer.alpha, "beta": layer.beta, "bias": layer.k},
    ),
    "Concat": lambda layer: ("Concat", {"axis": 1}),
}
