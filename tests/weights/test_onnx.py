"""ONNX graphs as networks: single operators against loops, and what is refused."""

import naive
import numpy as np
import onnx_files as write
import pytest
from onnx_models import SHAPE, models

import minicnn
from minicnn.errors import MinicnnError
from minicnn.network.layers import BatchNorm2d, Clip, Dropout, MaxPool2d
from minicnn.weights.conversion import convert_graph


def built(tmp_path, nodes, arrays, **how):
    write.graph(tmp_path / "a.onnx", nodes, arrays, **how)
    return convert_graph(tmp_path / "a.onnx", preprocess="caffe")


def output(net, x):
    return net.forward(x, net.layers[-1:])[net.layers[-1]]


@pytest.mark.parametrize(
    ("attributes", "stride", "pads", "dilation"),
    [
        ({"pads": [0, 1, 2, 3]}, (1, 1), (0, 1, 2, 3), (1, 1)),
        ({"pads": [2, 0, 1, 1], "strides": [2, 3]}, (2, 3), (2, 0, 1, 1), (1, 1)),
        ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, (2, 2), (0, 1, 1, 1), (1, 1)),
        ({"auto_pad": "SAME_LOWER", "strides": [2, 2]}, (2, 2), (1, 1, 0, 1), (1, 1)),
        ({"auto_pad": "VALID", "dilations": [2, 1]}, (1, 1), (0, 0, 0, 0), (2, 1)),
        ({"dilations": [3, 2], "pads": [3, 0, 2, 4]}, (1, 1), (3, 0, 2, 4), (3, 2)),
    ],
)
def test_paddings_and_dilations(attributes, stride, pads, dilation, tmp_path, rng):
    """Against the loop over the picture with its frame of zeros."""
    x = rng.standard_normal((2, 3, 12, 12), dtype="float32")
    w = rng.standard_normal((4, 3, 3, 4), dtype="float32")
    nodes = [write.node("Conv", ["x", "w"], "y", **attributes)]
    net = built(tmp_path, nodes, {"w": w}, shape=(1, 3, 12, 12))
    top, left, bottom, right = pads
    framed = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    expected = naive.conv2d(framed, w, stride=stride, dilation=dilation)
    np.testing.assert_allclose(output(net, x), expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
def test_windows_of_equal_size_over_the_edge(kind, tmp_path, rng):
    x = rng.standard_normal((1, 3, 12, 12), dtype="float32")
    node = write.node(kind, ["x"], "y", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")
    net = built(tmp_path, [node], {}, shape=(0, 3, 12, 12))
    outside = -np.inf if kind == "MaxPool" else np.nan
    framed = np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=outside)
    windows = np.lib.stride_tricks.sliding_window_view(framed, (3, 3), (2, 3))[:, :, ::2, ::2]
    mean = kind == "AveragePool"
    expected = np.nanmean(windows, (4, 5)) if mean else windows.max((4, 5))
    np.testing.assert_allclose(output(net, x), expected, atol=1e-6)
    assert mean or isinstance(net.layer(net.layers[0]), MaxPool2d)


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
@pytest.mark.parametrize("typed", [False, True])
def test_constants_in_every_form(dtype, typed, tmp_path, rng):
    w = rng.standard_normal((4, 3, 1, 1)).astype(dtype)
    nodes = [write.node("Conv", ["x", "w"], "y")]
    net = built(tmp_path, nodes, {"w": w}, typed=typed)
    np.testing.assert_array_equal(net.params["y.weight"], w.astype("float32"))
    assert net.params["y.weight"].dtype == np.float32


@pytest.mark.parametrize("typed", [False, True])
def test_reshape_dropout_gemm_and_a_constant_node(typed, tmp_path, rng):
    w = rng.standard_normal((5, 192), dtype="float32")
    value = write.tensor(np.float32([1, 2, 3, 4, 5]))
    nodes = [
        write.node("Reshape", ["x", "to"], "flat"),
        write.node("Dropout", ["flat"], "dropped", ratio=0.25),
        write.node("Constant", [], "c", value=value),
        write.node("Gemm", ["dropped", "w", "c"], "y", transB=1, alpha=2.0, beta=0.5),
        write.node("Sigmoid", ["flat"], "unused"),
    ]
    net = built(tmp_path, nodes, {"w": w, "to": np.array([-1, 192])}, typed=typed)
    x = rng.standard_normal((2, 3, 8, 8), dtype="float32")
    expected = 2 * x.reshape(2, -1) @ w.T + 0.5 * np.arange(1, 6)
    np.testing.assert_allclose(output(net, x)[:, :, 0, 0], expected, atol=1e-4)
    assert net.layer("dropped") == Dropout(0.25)


def test_weights_that_are_not_finite_are_read_in_silence_and_not_saved(tmp_path):
    w = np.full((5, 192), np.inf, np.float32)
    nodes = [
        write.node("Flatten", ["x"], "flat"),
        write.node("Gemm", ["flat", "w"], "y", transB=1, alpha=0.0),
    ]
    net = built(tmp_path, nodes, {"w": w})  # 0 times infinity
    with pytest.raises(MinicnnError, match="layer y: weight has 960 values that are NaN"):
        minicnn.save(net, tmp_path / "a.h5")


def test_constants_by_channel(tmp_path, rng):
    c = np.float32([[[2]], [[3]], [[-1]]])
    nodes = [
        write.node("Identity", ["c"], "d"),
        write.node("Sub", ["d", "x"], "minus"),
        write.node("Div", ["minus", "c"], "part"),
        write.node("Mul", ["half", "part"], "y"),
    ]
    net = built(tmp_path, nodes, {"c": c, "half": np.float32(0.5)})
    x = rng.standard_normal((1, 3, 8, 8), dtype="float32")
    np.testing.assert_allclose(output(net, x), 0.5 * (c - x) / c, atol=1e-6)
    assert {type(node.layer) for node in net.nodes} == {BatchNorm2d}


def test_local_response_normalisation(tmp_path, rng):
    node = write.node("LRN", ["x"], "y", size=3, alpha=0.75, beta=0.5, bias=2.0)
    x = rng.standard_normal((1, 3, 8, 8), dtype="float32")
    expected, _ = naive.lrn(x, size=3, alpha=0.75, beta=0.5, k=2.0)
    np.testing.assert_allclose(output(built(tmp_path, [node], {}), x), expected, atol=1e-6)


def test_clipping_by_attributes_and_names_that_agree(tmp_path, rng):
    nodes = [
        write.node("Clip", ["x"], "a", name="/block/block.0/mean", min=-1.0, max=0.5),
        write.node("Sum", ["a", "x"], "y", name="block.0/mean_"),
    ]
    net = built(tmp_path, nodes, {}, opset=7)
    x = rng.standard_normal((1, 3, 8, 8), dtype="float32")
    np.testing.assert_allclose(output(net, x), np.clip(x, -1, 0.5) + x, atol=1e-6)
    minicnn.save(net, tmp_path / "a.h5")
    assert net.layers == ["block.0/mean_", "block.0/mean__2"]
    assert net.layer("block.0/mean_") == Clip(-1.0, 0.5)


W = {"w": np.zeros((4, 3, 3, 3), np.float32)}
REFUSED = {
    "operator": ([write.node("Sigmoid", ["x"], "y", name="s")], {}, "node s (Sigmoid): this op"),
    "domain": ([write.node("Conv", ["x", "w"], "y", domain="my.ops")], W, "(my.ops.Conv): this"),
    "weight": ([write.node("Conv", ["x", "v"], "y")], W, "input 'v' is no constant"),
    "source": ([write.node("Relu", ["z"], "y")], {}, "input 'z' is made by no node before"),
    "groups": ([write.node("Conv", ["x", "w"], "y", group=3)], W, "node y (Conv)"),
    "wide": ([write.node("Conv", ["x", "w"], "y", dilations=[99, 1])], W, "a kernel of 199 rows"),
    "pads": ([write.node("Conv", ["x", "w"], "y", pads=[-1, 0, 0, 0])], W, "a padding"),
    "strides": ([write.node("Conv", ["x", "w"], "y", strides=[0, 1])], W, "strides = [0, 1]"),
    "one-axis": ([write.node("Conv", ["x", "w"], "y")], {"w": np.zeros((4, 3, 3), "f4")}, "kernel"),
    "no-kernel": ([write.node("MaxPool", ["x"], "y")], {}, "kernel_shape = []"),
    "pool": (
        [write.node("MaxPool", ["x"], "y", kernel_shape=[2, 2], pads=[1, 0, 0, 0])],
        {},
        "a padding of (1, 0) before and (0, 0) behind",
    ),
    "maps": ([write.node("Mul", ["x", "x"], "y")], {}, "only the sum of two maps"),
    "flat": (
        [write.node("Flatten", ["x"], "f"), write.node("Conv", ["f", "w"], "y")],
        W,
        "reads a flattened map",
    ),
    "reshape": (
        [write.node("Reshape", ["x", "to"], "y")], {"to": np.array([1, 8, 24])}, "only a flat",
    ),
    "softmax": ([write.node("Softmax", ["x"], "y")], {}, "only that of classes"),
    "concat": ([write.node("Concat", ["x", "x"], "y", axis=2)], {}, "only channels"),
    "clip": ([write.node("Clip", ["x"], "y", min=1.0)], {}, "bounds [1.0, inf]"),
    "mixed": (
        [write.node("Flatten", ["x"], "f"), write.node("Add", ["x", "f"], "y")], {}, "flattened",
    ),
    "no-layer": ([write.node("Identity", ["x"], "y")], {}, "a graph without any layer"),
    "no-inputs": ([write.node("Relu", [], "y")], {}, "truncated or damaged"),
}  # fmt: skip


@pytest.mark.parametrize(("nodes", "arrays", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_read_is_named(nodes, arrays, message, tmp_path):
    with pytest.raises(MinicnnError) as caught:
        built(tmp_path, nodes, arrays)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"opset": 6}, "operators of opset 6; 7 and newer are read"),
        ({"shape": (1, 1, 28, 28)}, "its input is [1, 1, 28, 28]; it must be pictures"),
        ({"shape": (1, 3, 8, 9)}, "it must be [3, N, N]"),
        ({"shape": (1, 3)}, "its input is [1, 3]"),
    ],
)
def test_graphs_that_are_not_read(how, message, tmp_path):
    with pytest.raises(MinicnnError) as caught:
        built(tmp_path, [write.node("Relu", ["x"], "y")], {}, **how)
    assert message in str(caught.value)


def test_few_bytes_do_not_become_large_arrays(tmp_path):
    """Channels that double from node to node, with a parameter for each."""
    nodes, last = [], "x"
    for i in range(60):
        nodes.append(write.node("Concat", [last, last], f"c{i}", axis=1))
        nodes.append(write.node("LeakyRelu", [f"c{i}"], last := f"r{i}"))
    with pytest.raises(MinicnnError, match="channels; at most"):
        built(tmp_path, nodes, {}, output=last)


def test_a_size_that_is_left_open_is_224(tmp_path):
    net = built(tmp_path, [write.node("Relu", ["x"], "y")], {}, shape=(0, 3, 0, 0))
    assert net.input_shape == (3, 224, 224)


def test_a_real_file_is_refused_by_its_input(shared_data):
    with pytest.raises(MinicnnError, match="it must be pictures"):
        convert_graph(shared_data / "weights/onnx/opt-mnist.onnx", preprocess="unit")


def test_damaged_graphs_are_read_or_refused_in_one_line(tmp_path, rng):
    write.exported(tmp_path / "a.onnx", models()["residual"][0], SHAPE)
    whole = np.frombuffer((tmp_path / "a.onnx").read_bytes(), np.uint8)
    refused = []
    for _ in range(150):
        data = whole.copy()
        where = rng.integers(0, len(data), rng.integers(1, 6))
        data[where] = rng.integers(0, 256, len(where))
        (tmp_path / "b.onnx").write_bytes(data[: rng.integers(1, len(data) + 1)].tobytes())
        try:
            convert_graph(tmp_path / "b.onnx", preprocess="caffe")
        except MinicnnError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert "\n" not in "".join(refused)
