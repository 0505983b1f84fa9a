"""Content, Gram style, class score and their sum: by loops, differences and torch."""

from functools import partial

import numpy as np
import pytest
from op_testing import LAYOUTS, MEMORY, agree, is_channels_last, stored

from minicnn.backend import resolve_device, to_device, to_host
from minicnn.engine.gram_targets import blended
from minicnn.errors import MinicnnError
from minicnn.objectives.class_score import ClassScore
from minicnn.objectives.content import CONTENT, ContentLoss
from minicnn.objectives.gram import (
    STYLE,
    GramStyleLoss,
    gram,
    mean_gram,
    style_targets,
)
from minicnn.objectives.layer_losses import sum_squares
from minicnn.objectives.priors import alpha_norm, tv, tv_beta
from minicnn.objectives.weighted_sum import ImageFunction, WeightedSum
from minicnn.ops import conv2d, relu

SHAPES = {
    "wide": (1, 3, 4, 7),
    "one channel": (1, 1, 5, 2),
    "batch": (3, 4, 5, 3),
    "1x1": (2, 5, 1, 1),
}
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def slope_error(fun, x, rng, h=1e-5):
    """Relative error of the gradient along a random direction, by central differences."""
    direction = rng.standard_normal(x.shape)
    direction /= np.linalg.norm(direction)
    expected = (fun(x + h * direction)[0] - fun(x - h * direction)[0]) / (2 * h)
    return abs(np.vdot(fun(x)[1], direction) - expected) / abs(expected)


def one_layer(objective):
    def fun(f):
        value, gradients = objective({"a": f})
        return value, gradients["a"]

    return fun


def objectives(f, target):
    """Every objective and normalisation on a layer "a", as (name, objective)."""
    for name in CONTENT:
        yield f"content {name}", ContentLoss({"a": target}, {"a": 0.7}, name)
    for name in STYLE:
        yield f"style {name}", GramStyleLoss(style_targets({"a": target}), {"a": 0.7}, name)
    yield "class", ClassScore("a", f.shape[1] - 1)


@pytest.mark.smoke
@shapes
def test_gradients_by_central_differences(shape, rng):
    f, target = rng.standard_normal((2, *shape))
    for name, objective in objectives(f, target):
        assert slope_error(one_layer(objective), f, rng) < 1e-7, name


def test_the_check_sees_a_gradient_that_is_wrong_by_a_thousandth(rng):
    f, target = rng.standard_normal((2, 1, 3, 4, 5))
    fun = one_layer(GramStyleLoss({"a": mean_gram(target)}))
    wrong = lambda f: (fun(f)[0], 1.001 * fun(f)[1])  # noqa: E731
    assert slope_error(wrong, f, rng) == pytest.approx(1e-3, rel=0.01)


@shapes
def test_gradients_by_torch(shape, rng):
    torch = pytest.importorskip("torch")
    f, p = (torch.tensor(a, requires_grad=True) for a in rng.standard_normal((2, *shape)))
    n, c = shape[:2]
    m = shape[2] * shape[3]
    rows = f.reshape(n, c, m)
    g, a = rows @ rows.mT, (p.reshape(n, c, m) @ p.reshape(n, c, m).mT).detach()
    p = p.detach()
    oracles = {
        "content mean": ((f - p) ** 2).sum() / (c * m),
        "content sum": ((f - p) ** 2).sum(),
        "content half-sum": ((f - p) ** 2).sum() / 2,
        "content relative": ((f - p) ** 2).sum() / (p**2).sum() * n,
        "style mean": (((g - a) / (c * m)) ** 2).mean(dim=(1, 2)).sum(),
        "style gatys": ((g - a) ** 2).sum() / (4 * c**2 * m**2),
        "style lecture": ((g - a) ** 2).sum() / (4 * m**2),
        "class": -f[:, -1].mean(dim=(1, 2)).sum() / 0.7,
    }
    for name, objective in objectives(f.detach().numpy(), p.numpy()):
        expected = 0.7 * oracles[name]
        (slope,) = torch.autograd.grad(expected, f, retain_graph=True)
        value, gradient = one_layer(objective)(f.detach().numpy())
        assert value == pytest.approx(expected.item(), rel=1e-12), name
        np.testing.assert_allclose(gradient, slope.numpy(), rtol=1e-10, atol=1e-14, err_msg=name)


@shapes
def test_gram_by_loops(shape, rng):
    f = rng.standard_normal(shape)
    expected = np.zeros((shape[0], shape[1], shape[1]))
    for n, k, l, i, j in np.ndindex(shape[0], shape[1], shape[1], *shape[2:]):
        expected[n, k, l] += f[n, k, i, j] * f[n, l, i, j]
    agree(gram(f), expected)
    agree(mean_gram(f), expected / (shape[2] * shape[3]))


@pytest.mark.parametrize("memory", MEMORY)
def test_layouts_and_dtypes(memory, rng):
    f, target = rng.standard_normal((2, 2, 5, 4, 6))
    for name, objective in objectives(f, target):
        value, gradient = one_layer(objective)(f)
        if name != "class":
            objective.targets["a"] = objective.targets["a"].astype(memory[0])
        got, slope = one_layer(objective)(stored(f, memory))
        assert isinstance(got, float)
        assert got == pytest.approx(value, rel=1e-12 if memory[0] == "float64" else 1e-5), name
        agree(slope, gradient, memory[0])


@pytest.mark.parametrize("shape", [(1, 5, 4, 6), (2, 5, 4, 6)])
def test_gradients_keep_channels_last_memory(shape, rng):
    f, target = (LAYOUTS["channels-last"](a) for a in rng.standard_normal((2, *shape)))
    for name, objective in objectives(f, target):
        assert is_channels_last(one_layer(objective)(f)[1]), name


def test_style_presets_differ_by_known_factors(rng):
    f, target = rng.standard_normal((2, 1, 6, 4, 5))
    targets = style_targets({"a": target})
    value = {name: GramStyleLoss(targets, None, name)({"a": f})[0] for name in STYLE}
    assert value["mean"] == pytest.approx(4 / 6**2 * value["gatys"])
    assert value["lecture"] == pytest.approx(6**2 * value["gatys"])


def test_a_larger_picture_with_the_same_texture_has_the_same_losses(rng):
    f, target = rng.standard_normal((2, 1, 3, 4, 5))
    big_f, big_target = np.tile(f, (1, 1, 2, 3)), np.tile(target, (1, 1, 2, 3))
    for name in ("mean", "relative"):
        small = ContentLoss({"a": target}, None, name)({"a": f})[0]
        assert ContentLoss({"a": big_target}, None, name)({"a": big_f})[0] == pytest.approx(small)
    for name in STYLE:  # the big picture is larger than the style picture
        loss = GramStyleLoss(style_targets({"a": target}), None, name)
        assert loss({"a": big_f})[0] == pytest.approx(loss({"a": f})[0])


def test_the_pictures_of_a_batch_are_independent(rng):
    f, target = rng.standard_normal((2, 3, 4, 5, 6))
    for name, objective in objectives(f, target[:1]):
        value, gradient = one_layer(objective)(f)
        parts = [one_layer(objective)(f[n : n + 1]) for n in range(3)]
        assert value == pytest.approx(sum(part[0] for part in parts)), name
        agree(gradient, np.concatenate([part[1] for part in parts]))


def test_weights_and_report(rng):
    acts = {"a": rng.standard_normal((1, 3, 4, 5)), "b": rng.standard_normal((1, 2, 2, 2))}
    targets = {name: np.zeros_like(f) for name, f in acts.items()}
    loss = ContentLoss(targets, {"b": 0.25}, "sum")
    report = {}
    value, gradients = loss(acts, 10.0, report)
    squares = {name: (f**2).sum() for name, f in acts.items()}
    assert report == pytest.approx({"a": 10 * squares["a"], "b": 2.5 * squares["b"]})
    assert value == pytest.approx(sum(report.values()))
    agree(gradients["b"], 5 * acts["b"])
    assert ContentLoss(targets, {"b": 0}).layers == ["a"]


def test_blended_targets(rng):
    one, two = ({"a": rng.standard_normal((1, 3, 3))} for _ in range(2))
    agree(blended([one, two], [1, 3])["a"], 0.25 * one["a"] + 0.75 * two["a"])


def test_fully_connected_layers(rng):
    f, target = rng.standard_normal((2, 2, 7))
    assert slope_error(one_layer(ContentLoss({"a": target})), f, rng) < 1e-7
    value, gradients = ClassScore("a", 3)({"a": f}, 2.0)
    assert value == pytest.approx(-2 * f[:, 3].sum())
    expected = np.zeros_like(f)
    expected[:, 3] = -2
    agree(gradients["a"], expected)


def test_sums_of_float32_are_float64(rng):
    a = (rng.standard_normal((3, 300, 301)) * rng.exponential(100, (3, 300, 301))).astype("float32")
    exact = np.square(a.astype(np.float64)).sum()
    for layout in LAYOUTS.values():
        assert sum_squares(layout(a[None])) == pytest.approx(exact, rel=1e-13)


def bad_calls(f):
    yield (
        "no style normalisation 'median'; use mean, gatys, lecture",
        lambda: GramStyleLoss({"a": mean_gram(f)}, None, "median"),
    )
    yield "no content normalisation", lambda: ContentLoss({"a": f}, None, "")
    yield (
        "weight for content layer 'b', which has no target; there are a",
        lambda: ContentLoss({"a": f}, {"b": 1}),
    )
    yield (
        "weight nan of style layer a; use a finite",
        lambda: GramStyleLoss({"a": mean_gram(f)}, {"a": float("nan")}),
    )
    yield "no content layer with a weight other than 0", lambda: ContentLoss({"a": f}, {"a": 0})
    yield "no activation of layer 'a'; there are b", lambda: ContentLoss({"a": f})({"b": f})
    yield "size of the content picture", lambda: ContentLoss({"a": f})({"a": f[:, :, 1:]})
    yield "needs a matrix", lambda: GramStyleLoss({"a": mean_gram(f)})({"a": f[:, 1:]})
    yield (
        "needs a matrix",
        lambda: GramStyleLoss({"a": np.ones((2, 3, 3))})({"a": np.ones((3, 3, 4, 5))}),
    )
    yield "no class 3 in layer a; use 0 to 2", lambda: ClassScore("a", 3)({"a": f})
    yield "target activation is all 0", lambda: ContentLoss({"a": 0 * f}, None, "relative")
    yield "blend weights", lambda: blended([{"a": f}], [1, 2])
    yield "blend weights", lambda: blended([{"a": f}], [0])
    yield "nothing to minimise", lambda: WeightedSum({"c": (0, ContentLoss({"a": f}))})
    yield "weight inf of c", lambda: WeightedSum({"c": (float("inf"), ContentLoss({"a": f}))})
    yield (
        "two terms are called 'c'",
        lambda: WeightedSum({"c": (1, ContentLoss({"a": f}))}, {"c": (1, tv)}),
    )


def test_bad_input_is_one_clear_line(rng):
    for message, call in bad_calls(rng.standard_normal((1, 3, 4, 5))):
        with pytest.raises(MinicnnError) as caught:
            call()
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


class TwoLayers:
    """Two convolutions and a ReLU as an evaluator of the network: taps "relu1" and "conv2"."""

    def __init__(self, rng):
        self.w1 = rng.standard_normal((4, 3, 3, 3))
        self.w2 = rng.standard_normal((5, 4, 3, 3)) / 6

    def forward(self, x, taps):
        self.x_shape = x.shape
        h, self.mask = relu.forward(conv2d.forward(x, self.w1, padding=1)[0])
        y = conv2d.forward(h, self.w2, padding=1)[0]
        return {name: f for name, f in {"relu1": h, "conv2": y}.items() if name in taps}

    def backward(self, dacts):
        shape = (1, 4, *self.x_shape[2:])
        dh = dacts["relu1"] + conv2d.backward_data(dacts["conv2"], self.w2, shape, padding=1)
        return conv2d.backward_data(relu.backward(dh, self.mask), self.w1, self.x_shape, padding=1)


def style_transfer(rng, priors=None):
    net = TwoLayers(rng)
    content, style = rng.standard_normal((1, 3, 6, 5)), rng.standard_normal((1, 3, 7, 8))
    total = WeightedSum(
        {
            "content": (5.0, ContentLoss(net.forward(content, ["conv2"]))),
            "style": (100.0, GramStyleLoss(style_targets(net.forward(style, ["relu1", "conv2"])))),
        },
        priors,
    )
    return ImageFunction(total, net.forward, net.backward), content


@pytest.mark.smoke
def test_whole_objective_through_a_network(rng):
    priors = {"tv": (0.3, partial(tv_beta, beta=1.5)), "norm": (1e-3, alpha_norm)}
    fun, content = style_transfer(rng, priors=priors)
    x = rng.standard_normal(content.shape)
    assert fun.objective.layers == ["conv2", "relu1"]
    assert slope_error(fun, x, rng, 1e-6) < 1e-6
    value, _ = fun(x)
    assert list(fun.terms) == ["content", "style", "style.relu1", "style.conv2", "tv", "norm"]
    terms = fun.terms
    assert value == pytest.approx(terms["content"] + terms["style"] + terms["tv"] + terms["norm"])
    assert terms["style"] == pytest.approx(terms["style.relu1"] + terms["style.conv2"])
    assert terms["tv"] == pytest.approx(0.3 * tv_beta(x, 1.5)[0])


def test_sum_of_priors_alone_needs_no_network(rng):
    x = rng.standard_normal((1, 3, 4, 5))
    fun = ImageFunction(WeightedSum({}, {"tv": (2.0, tv)}), None, None)
    value, gradient = fun(x)
    assert value == pytest.approx(2 * tv(x)[0])
    agree(gradient, 2 * tv(x)[1])


def test_terms_are_a_new_dict_each_time(rng):
    fun, content = style_transfer(rng)
    fun(content)
    before = fun.terms
    assert before["content"] == 0
    fun(content + 1)
    assert before["content"] == 0


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_device_and_host_agree(dtype, rng):
    cupy = pytest.importorskip("cupy")
    try:
        device = resolve_device("cuda")
    except MinicnnError as reason:
        pytest.skip(str(reason))
    host = rng.standard_normal((2, 1, 3, 5, 4)).astype(dtype)
    for (name, expected), (_, objective) in zip(
        objectives(*host), objectives(*to_device(host, device)), strict=True
    ):
        value, gradient = one_layer(objective)(to_device(host[0], device))
        assert isinstance(gradient, cupy.ndarray), name
        assert value == pytest.approx(one_layer(expected)(host[0])[0], rel=1e-5)
        np.testing.assert_allclose(to_host(gradient), one_layer(expected)(host[0])[1], rtol=1e-4)
    for prior in (tv, tv_beta, partial(tv_beta, beta=1.5), alpha_norm):
        value, gradient = prior(to_device(host[0], device))
        assert value == pytest.approx(prior(host[0])[0], rel=1e-5)
        np.testing.assert_allclose(to_host(gradient), prior(host[0])[1], rtol=1e-3, atol=1e-6)
