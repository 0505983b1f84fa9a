import numpy as np
import pytest
import torch_network

from minicnn.errors import MinicnnError
from minicnn.network import build
from minicnn.network.layers import AvgPool2d, GlobalAvgPool2d, Linear, MaxPool2d
from minicnn.network.network import Network

PARAMETERS = {
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "alexnet": 60_965_224,
    "caffenet": 60_965_224,
    "alexnet-torchvision": 61_100_840,
    "zfnet": 62_357_608,
    "squeezenet": 1_248_424,
    "squeezenet-torchvision": 1_248_424,
    "squeezenet1_1": 1_235_496,
    "minivgg": 1_961_320,
    "minivgg-bn": 1_962_664,
}
# a side at which pooling in ceil mode matters and every map has a few pixels
SIDES = {"vgg16": 67, "vgg19": 64, "alexnet": 100, "caffenet": 106, "alexnet-torchvision": 95}
every_name = pytest.mark.parametrize("name", PARAMETERS)


def filled(net, rng, dtype="float64"):
    """Give a skeleton random weights, and random biases and statistics as well."""
    net.params = build.random_params(net.param_shapes(), 1, dtype)
    for key, array in net.params.items():
        if not key.endswith("weight"):
            array += rng.uniform(0.1, 0.5, array.shape)
    return net


def without_classifier(net):
    """The layers before the first fully connected one that wants a map of one size."""
    kinds = [isinstance(node.layer, Linear) for node in net.nodes]
    end = kinds.index(True) if any(kinds) and "pool5" in net.layers else len(kinds)
    return Network(net.nodes[:end], {}, net.input_shape, net.attrs)


def compare_with_torch(net, x, rng, tolerance, taps=None):
    acts = net.forward(x, net.layers)
    outputs = torch_network.activations(net, x)
    for name in net.layers:
        expected = outputs[name].detach().numpy()
        np.testing.assert_allclose(
            acts[name], expected, rtol=0, atol=tolerance * np.abs(expected).max(), err_msg=name
        )
    taps = taps or [name for name in net.layers if name != "prob"][::3]
    # each tap weighs about the same, so that none hides behind another
    dys = {
        name: (rng.standard_normal(acts[name].shape) / np.linalg.norm(acts[name])).astype(x.dtype)
        for name in taps
    }
    expected = torch_network.gradients(outputs, dys)
    dx = net.backward(dys)
    assert dx.dtype == x.dtype
    if x.dtype == "float64":
        limit = 10 * tolerance * np.abs(expected).max()
        np.testing.assert_allclose(dx, expected, rtol=0, atol=limit)
    else:  # rounding may turn a switch or a ReLU at a near tie, which changes a few pixels
        assert np.linalg.norm(dx - expected) < 0.01 * np.linalg.norm(expected)


@pytest.mark.smoke
@every_name
def test_published_numbers_of_parameters(name):
    assert sum(build.count_parameters(build.skeleton(name)).values()) == PARAMETERS[name]


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("vgg16", {"conv1_1": 224, "pool1": 112, "pool4": 14, "conv5_3": 14, "pool5": 7}),
        ("vgg19", {"conv1_1": 224, "pool1": 112, "pool4": 14, "conv5_4": 14, "pool5": 7}),
        ("alexnet", {"conv1": 55, "norm1": 55, "pool1": 27, "pool2": 13, "conv5": 13, "pool5": 6}),
        ("caffenet", {"conv1": 55, "pool1": 27, "norm1": 27, "pool2": 13, "pool5": 6}),
        ("alexnet-torchvision", {"conv1": 55, "pool1": 27, "pool2": 13, "conv5": 13, "pool5": 6}),
        ("zfnet", {"conv1": 110, "pool1": 55, "conv2": 26, "pool2": 13, "conv5": 13, "pool5": 6}),
        ("squeezenet", {"conv1": 111, "pool1": 55, "pool4": 27, "pool8": 13, "conv10": 15}),
        (
            "squeezenet-torchvision",
            {"conv1": 109, "pool1": 54, "pool4": 27, "pool8": 13, "conv10": 13},
        ),
        ("squeezenet1_1", {"conv1": 113, "pool1": 56, "pool3": 28, "pool5": 14, "conv10": 14}),
        ("minivgg", {"conv1_1": 64, "pool1": 32, "pool3": 8, "relu4_3": 8, "pool4": 1}),
        ("minivgg-bn", {"bn1_1": 64, "pool1": 32, "pool3": 8, "relu4_3": 8, "pool4": 1}),
    ],
)
def test_published_sizes(name, sides):
    shapes = build.skeleton(name).shapes()
    assert {layer: shapes[layer][1:] for layer in sides} == {k: (v, v) for k, v in sides.items()}
    classes = 200 if name.startswith("minivgg") else 1000
    assert list(shapes.items())[-1] == ("prob", (classes, 1, 1))


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("vgg19", "conv1_1 relu1_1 conv1_2 relu1_2 pool1 conv2_1"),
        ("alexnet", "conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2 conv3 relu3 conv4"),
        ("caffenet", "conv1 relu1 pool1 norm1 conv2 relu2 pool2 norm2 conv3 relu3 conv4"),
        ("alexnet-torchvision", "conv1 relu1 pool1 conv2 relu2 pool2 conv3 relu3 conv4"),
        ("zfnet", "conv1 relu1 pool1 norm1 conv2 relu2 pool2 norm2 conv3 relu3 conv4"),
        (
            "squeezenet1_1",
            "conv1 relu_conv1 pool1 fire2/squeeze1x1 fire2/relu_squeeze1x1 fire2/expand1x1 "
            "fire2/relu_expand1x1 fire2/expand3x3 fire2/relu_expand3x3 fire2/concat",
        ),
        ("minivgg-bn", "conv1_1 bn1_1 relu1_1 conv1_2 bn1_2 relu1_2 pool1 conv2_1"),
        ("minivgg", "conv1_1 relu1_1 conv1_2 relu1_2 pool1 conv2_1"),
    ],
)
def test_layers_have_the_usual_names(name, first):
    first = first.split()
    assert build.skeleton(name).layers[: len(first)] == first


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("vgg16", "relu5_3 pool5 fc6 relu6 drop6 fc7 relu7 drop7 fc8 prob"),
        ("alexnet", "relu5 pool5 fc6 relu6 drop6 fc7 relu7 drop7 fc8 prob"),
        ("alexnet-torchvision", "pool5 drop5 fc6 relu6 drop6 fc7 relu7 fc8 prob"),
        ("squeezenet", "fire9/concat drop9 conv10 relu_conv10 pool10 prob"),
        ("minivgg", "relu4_3 pool4 drop4 fc5 prob"),
    ],
)
def test_the_last_layers(name, last):
    last = last.split()
    assert build.skeleton(name).layers[-len(last) :] == last


@pytest.mark.parametrize(
    ("name", "pool"),
    [*((name, None) for name in PARAMETERS), ("vgg16", "average"), ("squeezenet", "average")],
)
def test_every_layer_and_the_image_gradient_equal_torch(name, pool, rng):
    net = filled(without_classifier(build.skeleton(name, pool=pool, classes=7)), rng)
    side = SIDES.get(name, 64 if name.startswith("mini") else 75)
    x = rng.standard_normal((1, 3, side, side + 4))
    compare_with_torch(net, x, rng, 1e-12)


@pytest.mark.parametrize("name", ["alexnet", "alexnet-torchvision", "zfnet", "vgg16", "minivgg"])
def test_a_whole_network_equals_torch_in_float32(name, rng):
    net = filled(build.skeleton(name, classes=5), rng, "float32")
    x = rng.standard_normal((1, *net.input_shape), dtype="float32")
    top = "fc5" if name == "minivgg" else "fc8"
    compare_with_torch(net, x, rng, 1e-5, taps=[top])


OURS = {"conv1x1_1": "squeeze1x1", "conv1x1_2": "expand1x1", "conv3x3_2": "expand3x3"}


@pytest.fixture(scope="module")
def trained_squeezenet(shared_data):
    import h5py

    net = build.skeleton("squeezenet")
    with h5py.File(shared_data / "squeezenet" / "squeezenet_v1.0_float32.h5") as file:
        for name in file.attrs["layer_names"]:
            fire, _, conv = name.rpartition("/")
            ours = f"{fire}/{OURS[conv]}" if fire else name.replace("conv_final", "conv10")
            for kind in ("weight", "bias"):
                array = file[name][kind][:]
                assert net.params[f"{ours}.{kind}"].shape == array.shape
                net.params[f"{ours}.{kind}"] = array
    return net


def squeezenet_input(file, count):
    rgb = file["input_rgb_uint8"][:count]
    mean = np.float32(build.MODELS["squeezenet"].preprocess["mean"])
    return np.ascontiguousarray((rgb[..., ::-1] - mean).transpose(0, 3, 1, 2))


def test_trained_squeezenet_equals_the_stored_activations(trained_squeezenet, shared_data):
    import h5py

    with h5py.File(shared_data / "squeezenet" / "squeezenet_v1.0_oracle.h5") as file:
        x = squeezenet_input(file, 2)
        wanted = {
            "pool8": file["full/pool8"][:2],
            "fire9/relu_squeeze1x1": file["full/fire9/conv1x1_1"][:2],
            "pool10": file["full/pool_final"][:2],
        }
        classes = file["class_index"][:2]
    acts = trained_squeezenet.forward(x, [*wanted, "prob"], keep=False)
    for name, expected in wanted.items():
        np.testing.assert_allclose(acts[name], expected, rtol=0, atol=1e-5 * expected.max())
    assert (acts["prob"][:, :, 0, 0].argmax(1) == classes).all()


def test_trained_squeezenet_equals_the_stored_gradient(trained_squeezenet, shared_data):
    import h5py

    with h5py.File(shared_data / "squeezenet" / "squeezenet_v1.0_oracle.h5") as file:
        x = squeezenet_input(file, 1).astype("float64")
    with h5py.File(shared_data / "squeezenet" / "squeezenet_v1.0_oracle_grads.h5") as file:
        expected = file["dlogit_dinput_image0"]
        label, expected = expected.attrs["class_index"], expected[:]
    net = trained_squeezenet.replica()
    net.params = {key: array.astype("float64") for key, array in net.params.items()}
    dy = np.zeros((1, 1000, 1, 1))
    dy[0, label] = 1
    net.forward(x, ["pool10"])
    dx = net.backward({"pool10": dy})
    np.testing.assert_allclose(dx, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_weights_are_he_normal_and_biases_zero():
    net = build.build("minivgg-bn")
    w = net.params["conv3_2.weight"]
    assert w.dtype == np.float32
    assert w.std() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.01)
    assert abs(w.mean()) < 0.01 * w.std() * 3
    assert not net.params["fc5.bias"].any()
    assert all((net.params[f"bn1_1.{kind}"] == 1).all() for kind in ("gamma", "var"))
    assert not any(net.params[f"bn1_1.{kind}"].any() for kind in ("beta", "mean"))


def test_the_seed_decides_the_weights_in_either_dtype():
    one, same, other = (build.build("squeezenet1_1", seed=seed) for seed in (3, 3, 4))
    double = build.build("squeezenet1_1", seed=3, dtype="float64")
    for key, array in one.params.items():
        assert (same.params[key] == array).all()
        assert (double.params[key] == array).all()
        assert double.params[key].dtype == np.float64
    assert (other.params["conv1.weight"] != one.params["conv1.weight"]).any()


@pytest.mark.smoke
def test_params_are_in_the_order_of_the_layers():
    kinds = ("gamma", "beta", "mean", "var")
    first = ["conv1_1.weight", *(f"bn1_1.{kind}" for kind in kinds), "conv1_2.weight"]
    assert list(build.build("minivgg-bn").params)[:6] == first


def test_pool_replaces_spatial_pooling_only():
    net = build.skeleton("squeezenet", pool="average")
    was = build.skeleton("squeezenet")
    for node, before in zip(net.nodes, was.nodes, strict=True):
        if isinstance(before.layer, MaxPool2d):
            assert node.layer == AvgPool2d(3, 2, 0, ceil=True)
        else:
            assert node == before
    assert isinstance(net.layer("pool10"), GlobalAvgPool2d)
    assert build.skeleton("vgg19", pool="max").nodes == build.skeleton("vgg19").nodes
    assert net.attrs["pool"] == "average"


def test_classes_change_the_last_layer_only():
    few, many = build.skeleton("vgg16", classes=3), build.skeleton("vgg16")
    assert few.params["fc8.weight"].shape == (3, 4096)
    changed = [k for k in few.params if few.params[k].shape != many.params[k].shape]
    assert changed == ["fc8.weight", "fc8.bias"]


def test_a_skeleton_takes_no_memory():
    net = build.skeleton("vgg19")
    assert sum(array.size for array in net.params.values()) == PARAMETERS["vgg19"]
    assert all(set(array.strides) == {0} for array in net.params.values())


@pytest.mark.parametrize(
    ("name", "order", "mean", "scale"),
    [
        ("vgg19", "BGR", [103.939, 116.779, 123.68], 1.0),
        ("zfnet", "BGR", [103.939, 116.779, 123.68], 1.0),
        ("alexnet-torchvision", "RGB", [0.485, 0.456, 0.406], 1 / 255),
        ("squeezenet", "BGR", [104.0, 117.0, 123.0], 1.0),
        ("minivgg", "RGB", [122.39, 114.26, 101.40], 1.0),
    ],
)
def test_pixels_are_prepared_as_in_training(name, order, mean, scale):
    preprocess = build.skeleton(name).attrs["preprocess"]
    assert (preprocess["channel_order"], preprocess["mean"], preprocess["scale"]) == (
        order,
        mean,
        scale,
    )


def test_networks_do_not_share_their_attributes():
    build.skeleton("vgg16").attrs["preprocess"]["scale"] = 0.0
    assert build.skeleton("vgg16").attrs["preprocess"]["scale"] == 1.0


def test_describe_gives_a_row_for_every_layer():
    rows = build.describe("vgg19")
    assert [row.layer for row in rows] == build.skeleton("vgg19").layers
    found = {row.layer: row for row in rows}
    assert found["conv5_1"] == (
        *("conv5_1", "Conv2d", (512, 14, 14), 2_359_808),
        *((156, 156), (16, 16), (-70, -70)),
    )
    assert found["fc6"].field_size is None
    assert sum(row.parameters for row in rows) == PARAMETERS["vgg19"]


def test_describe_at_another_size_leaves_out_what_does_not_fit():
    rows = build.describe("vgg16", (512, 300))
    assert rows[-1].layer == "pool5"
    assert rows[-1].shape == (512, 16, 9)
    assert build.describe("minivgg", 200)[-1].shape == (200, 1, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build.build("vgg20"), "no network named 'vgg20'; the networks are vgg16, vgg19,"),
        (lambda: build.build("minivgg", pool="min"), "no pooling 'min'; use max or average"),
        (lambda: build.build("minivgg", classes=0), "at least 1, not 0"),
        (lambda: build.build("minivgg", classes="10"), "at least 1, not '10'"),
        (lambda: build.build("minivgg", dtype="float16"), "use float32 or float64"),
        (lambda: build.describe("vgg16", 8), "layer pool4: a window of 2 px does not fit"),
        (lambda: build.describe("squeezenet", 20), "does not fit"),
    ],
)
def test_bad_requests_get_one_clear_line(call, message):
    with pytest.raises(MinicnnError) as caught:
        call()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
