"""SqueezeNet, trained on ImageNet: activations, gradients, style and accuracy of the oracle.

`test_models` compares both versions with random weights in every layer, and the last layers and
the class gradient of the trained one; this compares all the rest that the oracle holds.
"""

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from minicnn.engine.cpu.evaluator import FastEvaluator
from minicnn.methods.classes.classify import network_input
from minicnn.methods.classes.scores import class_scores
from minicnn.methods.comparison import accuracy
from minicnn.methods.style.loss import style_objective
from minicnn.network import build
from minicnn.objectives.content import ContentLoss
from minicnn.objectives.gram import GramStyleLoss, style_targets
from minicnn.weights import checkpoint
from minicnn.weights.conversion import convert_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import measure_accuracy

CAFFE_PARTS = {"squeeze1x1": "conv1x1_1", "expand1x1": "conv1x1_2", "expand3x3": "conv3x3_2"}


@pytest.fixture(scope="module")
def net(shared_data):
    return convert_file(shared_data / "squeezenet" / "compressed_SqueezeNet.net", "squeezenet")


@pytest.fixture(scope="module")
def oracle(shared_data):
    with h5py.File(shared_data / "squeezenet" / "squeezenet_v1.0_oracle.h5") as file:
        yield file


@pytest.fixture(scope="module")
def gradients(shared_data):
    with h5py.File(shared_data / "squeezenet" / "squeezenet_v1.0_oracle_grads.h5") as file:
        yield file


@pytest.fixture(scope="module")
def x(net, oracle):
    return np.concatenate([network_input(rgb, net, 227) for rgb in oracle["input_rgb_uint8"]])


@pytest.fixture(scope="module")
def activations(net, x):
    """All layers of the three pictures, by the fast evaluator."""
    return FastEvaluator(net).forward(x, net.layers, keep=False)


def ours(top):
    """Return our layer of a top of the oracle, which is behind the ReLU in place."""
    fire, _, part = top.rpartition("/")
    if fire and part != "concat":
        names = {theirs: name for name, theirs in CAFFE_PARTS.items()}
        return f"{fire}/relu_{names[part]}"
    table = {"conv1": "relu_conv1", "conv_final": "relu_conv10", "pool_final": "pool10"}
    return table.get(top, top)


def tops(file, group):
    found = []
    file[group].visititems(
        lambda name, item: found.append(name) if hasattr(item, "shape") else None
    )
    return found


def close(found, expected, largest, tolerance, name):
    assert found.shape == expected.shape, name
    assert np.abs(found - expected).max() <= tolerance * largest, name


def test_every_stored_activation(activations, oracle):
    """To 1e-5 of the layer's maximum; 1e-4 is wanted."""
    largest = {top: np.abs(oracle["stats"][top][..., 2:]).max() for top in tops(oracle, "stats")}
    for top in tops(oracle, "sample"):
        stored = oracle["sample"][top]
        (c0, y0, x0), (cs, ys, xs) = stored.attrs["start"], stored.attrs["step"]
        found = activations[ours(top)]
        assert list(found.shape) == list(stored.attrs["shape"])
        close(found[:, c0::cs, y0::ys, x0::xs], stored[:], largest[top], 1e-5, top)
    for top in tops(oracle, "full"):
        close(activations[ours(top)], oracle["full"][top][:], largest[top], 1e-5, top)
    assert len(largest) == 38


def test_the_borders_of_windows_that_hang_over(activations, oracle):
    for top, corner in {
        "conv1": np.s_[:6, :6],
        "pool1": np.s_[-6:, -6:],
        "pool4": np.s_[-4:, -4:],
    }.items():
        found = activations[ours(top)]
        close(found[(..., *corner)], oracle["patch"][top][:], np.abs(found).max(), 1e-5, top)


def test_mean_deviation_and_extremes_of_every_channel(activations, oracle):
    for top in tops(oracle, "stats"):
        f = activations[ours(top)].astype("float64")
        found = np.stack([f.mean((2, 3)), f.std((2, 3)), f.min((2, 3)), f.max((2, 3))], axis=-1)
        close(found, oracle["stats"][top][:], np.abs(f).max(), 1e-5, top)


def test_gram_matrices(activations, oracle):
    for top in tops(oracle, "gram_image0"):
        f = activations[ours(top)][:1]
        expected = oracle["gram_image0"][top][:]
        found = style_targets({"f": f})["f"][0] / f.shape[1]
        close(found, expected, np.abs(expected).max(), 1e-5, top)


def test_scores_and_probabilities(activations, oracle):
    scores = activations["pool10"][:, :, 0, 0]
    close(scores, oracle["logits"][:], scores.max(), 1e-5, "logits")
    close(activations["prob"][:, :, 0, 0], oracle["prob_softmax"][:], 1, 1e-5, "prob")
    assert (scores.argmax(1) == oracle["class_index"][:]).all()


# Gradients with respect to the picture


def of_class(net, dtype, class_index):
    """Return the network in a dtype, and the gradient of a class score at `pool10`."""
    twin = net.replica()
    twin.params = {key: array.astype(dtype) for key, array in net.params.items()}
    dy = np.zeros((1, 1000, 1, 1), dtype)
    dy[0, class_index] = 1
    return twin, {"pool10": dy}


def class_gradient(net, x, dtype, class_index):
    """Return the gradient of a class score, and the signs of all ReLUs, by the fast evaluator."""
    twin, dys = of_class(net, dtype, class_index)
    evaluator, relus = FastEvaluator(twin), [name for name in net.layers if "relu" in name]
    acts = evaluator.forward(x.astype(dtype), [*relus, "pool10"])
    return evaluator.backward(dys), {name: acts[name] > 0 for name in relus}


def gradient_with_signs(net, x, signs, class_index):
    """Return the explicit network's gradient in float64, its ReLUs as open as `signs` says."""
    twin, dys = of_class(net, "float64", class_index)
    twin.forward(x.astype("float64"), ["pool10"])
    twin._caches |= signs
    return twin.backward(dys)


def test_the_class_gradient_by_the_fast_evaluator(net, x, gradients):
    expected = gradients["dlogit_dinput_image0"][:]
    class_index = gradients["dlogit_dinput_image0"].attrs["class_index"]
    dx, signs = class_gradient(net, x[:1], "float64", class_index)
    assert np.linalg.norm(dx - expected) < 1e-6 * np.linalg.norm(expected)
    # in float32 a ReLU whose input is 0 but for the rounding may turn: few do, they change few
    # pixels, and with the same ones turned the gradient is the same in float64
    dx, found = class_gradient(net, x[:1], "float32", class_index)
    assert sum(int((signs[name] != found[name]).sum()) for name in signs) < 10
    assert (np.abs(dx - expected) < 1e-3 * np.abs(expected).max()).mean() > 0.995
    turned = gradient_with_signs(net, x[:1], found, class_index)
    assert np.linalg.norm(dx - turned) < 2e-5 * np.linalg.norm(turned)


@pytest.fixture(scope="module")
def crops(x):
    return [np.ascontiguousarray(one[None, :, 66:162, 66:162]) for one in x]


LAYERS = ("relu_conv1", "fire3/concat", "fire5/concat")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_style_transfer_losses_and_gradients(net, crops, gradients, dtype):
    group, twin = gradients["style_transfer"], net.replica()
    twin.params = {key: array.astype(dtype) for key, array in net.params.items()}
    evaluator = FastEvaluator(twin) if dtype == "float32" else twin
    content, x, style = (crop.astype(dtype) for crop in crops)
    target = evaluator.forward(content, ["fire5/concat"])
    painted = style_targets(evaluator.forward(style, LAYERS))
    acts = evaluator.forward(x, LAYERS)
    # sum (G - A)^2 with G = F F^T / (C H W) is ours times 1 / C^2
    weights = {name: 1 / acts[name].shape[1] ** 2 for name in LAYERS}
    terms = {
        "content": ContentLoss(target, normalisation="half-sum")(acts),
        "style": GramStyleLoss(painted, weights, "lecture")(acts, 4.0),
    }
    for name, (value, dys) in terms.items():
        assert value == pytest.approx(group.attrs[f"loss_{name}"], rel=1e-5)
        dx, expected = evaluator.backward(dys), group[f"grad_{name}"][:]
        limit = 1e-3 if dtype == "float32" else 1e-6
        assert np.linalg.norm(dx - expected) < limit * np.linalg.norm(expected), name
        evaluator.forward(x, LAYERS)


def test_the_style_objective_is_the_same_by_both_engines(net, crops):
    values, gradients = [], []
    for engine in ("explicit", "fast"):
        fun = style_objective(
            net,
            crops[0],
            crops[2],
            content_layers=["fire4/concat"],
            style_layers=["relu_conv1", "fire2/concat", "fire3/concat"],
            content_weight=1,
            style_weight=100,
            tv_weight=1,
            engine=engine,
        )
        value, gradient = fun(crops[1])
        values.append(value)
        gradients.append(gradient)
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    limit = 1e-3 * np.linalg.norm(gradients[0])
    assert np.linalg.norm(gradients[0] - gradients[1]) < limit


# The rules of deconvnet and guided backpropagation, through branches and concatenations


class Rules:
    """PyTorch's autograd with other rules behind ReLU."""

    def __init__(self, torch, rule):
        class Relu(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x.clamp(min=0)

            @staticmethod
            def backward(ctx, dy):
                (x,) = ctx.saved_tensors
                mask = torch.ones_like(x) if rule == "deconvnet" else (x > 0)
                return dy.clamp(min=0) * mask

        self.relu = Relu.apply


@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
@pytest.mark.parametrize("name", ["squeezenet", "squeezenet1_1"])
def test_the_rules_go_through_fire_modules_as_in_torch(name, rule, rng, monkeypatch):
    torch = pytest.importorskip("torch")
    import torch_network

    net = build.build(name, seed=1, dtype="float64", classes=5)
    x = rng.standard_normal((1, 3, 67, 63))
    tap = "fire6/concat"
    act = net.forward(x, [tap])[tap]
    dy = np.zeros_like(act)
    at = np.unravel_index(act.argmax(), act.shape)
    dy[at] = act[at]
    dx = net.backward({tap: dy}, rule)
    relu = Rules(torch, rule).relu
    monkeypatch.setitem(torch_network._RULES, "ReLU", lambda F, layer, own, x: relu(x))
    outputs = torch_network.activations(net, x)
    expected = torch_network.gradients(outputs, {tap: dy})
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(dx, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["squeezenet", "squeezenet1_1"])
def test_style_works_at_the_preset_of_either_version(name, rng):
    from minicnn.methods.network_defaults import style_preset

    net, preset = build.build(name, seed=0), style_preset(name)
    content, style, x = (
        rng.standard_normal((1, 3, *size), dtype=np.float32) * 50
        for size in ((48, 56), (40, 44), (48, 56))
    )
    fun = style_objective(
        net,
        content,
        style,
        content_layers=preset.content_layers,
        style_layers=preset.style_layers,
        content_weight=preset.content_weight,
        style_weight=preset.style_weight,
        tv_weight=preset.tv_weight,
    )
    value, dx = fun(x)
    step = 1e-2 * dx / np.abs(dx).max()
    lower = fun(x - step)[0]
    expected = float((dx.astype("float64") * step).sum())
    assert value - lower == pytest.approx(expected, rel=0.05)


# Accuracy


@pytest.fixture(scope="module")
def pictures(shared_data):
    path = shared_data / "imagenet" / "imagenet_sample1000_256_q90.h5"
    return measure_accuracy.open_data(path, None)


def test_the_stored_predictions_of_pictures(net, pictures, shared_data):
    path = shared_data / "squeezenet" / "squeezenet_v1.0_predictions.npz"
    with np.load(path) as stored:
        top5, logits, true = (stored[name] for name in ("top5", "top5_logits", "true_logit"))
    some = [3, 250, 497, 744, 991]
    x = np.concatenate([network_input(pictures.picture(i), net) for i in some])
    scores = class_scores(net, FastEvaluator(net), x)
    for row, i in zip(scores, some, strict=True):
        np.testing.assert_allclose(row[top5[i]], logits[i], rtol=1e-4)
        assert row[i] == pytest.approx(true[i], rel=1e-4)
        assert list(np.argsort(-row)[:5]) == list(top5[i])


def test_the_accuracy_on_every_twentieth_picture(net, pictures, shared_data):
    """On all 1000, `tools/measure_accuracy.py` finds 0.632 and 0.836, as the oracle does."""
    with np.load(shared_data / "squeezenet" / "squeezenet_v1.0_predictions.npz") as stored:
        right = stored["top5"] == np.arange(1000)[:, None]
    assert (right[:, 0].mean(), right.any(1).mean()) == (0.632, 0.836)
    some = np.linspace(0, 999, 50).round().astype(int)
    found = measure_accuracy.measure(net, pictures, limit=50)
    assert found["pictures"] == 50
    assert found["top1"] == pytest.approx(right[some, 0].mean())
    assert found["top5"] == pytest.approx(right[some].any(1).mean())


def test_the_accuracy_tool_reads_every_kind_of_data(net, pictures, tmp_path, capsys):
    weights, folder, packed = tmp_path / "net.h5", tmp_path / "val", tmp_path / "packed.h5"
    checkpoint.save(net, weights)
    for i in (1, 388):
        (folder / f"{i:03}").mkdir(parents=True)
        (folder / f"{i:03}" / "a.jpg").write_bytes(pictures.read(i))
    with h5py.File(packed, "w") as file:
        data = [pictures.read(i) for i in (1, 388)]
        file["val/bytes"] = np.frombuffer(b"".join(data), np.uint8)
        file["val/offset"] = np.cumsum([0, *map(len, data)])
        file["val/label"] = np.array([1, 388])
        file.attrs["class_names"] = [str(i) for i in range(1000)]
    measure_accuracy.main([str(weights), str(packed), "--json"])
    found = capsys.readouterr().out
    assert '"top1": 1.0' in found
    assert '"pictures": 2' in found
    with pytest.raises(ValueError, match="has 2 classes, the network 1000"):
        measure_accuracy.main([str(weights), str(tmp_path)])


def test_ranks_count_ties_by_the_class_number():
    scores = np.array([[1.0, 3.0, 3.0, 0.0]])
    places = [int(accuracy.ranks(scores, np.array([k]))[0]) for k in range(4)]
    assert places == [2, 0, 1, 3]


# The versions of torchvision, whose forward pass is written out here a second time


def torchvision_forward(torch, state, pools, x):
    """`squeezenet1_0` or `squeezenet1_1` of torchvision; `pools` are the places of its poolings."""
    F, t = torch.nn.functional, {key: torch.from_numpy(value) for key, value in state.items()}

    def conv(name, x, **options):
        return F.relu(F.conv2d(x, t[f"{name}.weight"], t[f"{name}.bias"], **options))

    x = conv("features.0", torch.from_numpy(x), stride=2)
    for i in range(2, 13):
        if i in pools:
            x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        else:
            squeezed = conv(f"features.{i}.squeeze", x)
            one = conv(f"features.{i}.expand1x1", squeezed)
            x = torch.cat([one, conv(f"features.{i}.expand3x3", squeezed, padding=1)], 1)
    return conv("classifier.1", x).mean((2, 3)).numpy()


@pytest.mark.parametrize(
    ("name", "pools"), [("squeezenet-torchvision", (2, 6, 11)), ("squeezenet1_1", (2, 5, 8))]
)
def test_the_scores_of_torchvision(name, pools, rng, tmp_path):
    torch = pytest.importorskip("torch")
    shapes, fires = (
        build.skeleton(name).param_shapes(),
        [i for i in range(3, 13) if i not in pools],
    )
    state = {}
    for key, shape in shapes.items():
        fire, _, part = key.partition("/")
        if part:
            theirs = f"features.{fires[int(fire[4:]) - 2]}.{part.replace('squeeze1x1', 'squeeze')}"
        else:
            theirs = key.replace("conv10", "classifier.1").replace("conv1", "features.0")
        scale = (2 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1
        state[theirs] = rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)
    np.savez(tmp_path / "net.npz", **state)
    net = convert_file(tmp_path / "net.npz", name)
    assert net.attrs["source_names"] == "torchvision"
    assert net.attrs["preprocess"]["channel_order"] == "RGB"
    assert "note" not in net.attrs
    x = rng.standard_normal((1, 3, 75, 83), dtype=np.float32)
    expected = torchvision_forward(torch, state, pools, x)
    found = net.forward(x, ["pool10"])["pool10"][:, :, 0, 0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * expected.max())
