import weakref

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn.engine.cpu import filters
from minicnn.engine.cpu.plan import Plan
from minicnn.errors import MinicnnError
from minicnn.gradcheck.checks import check_vjp
from minicnn.methods import network_defaults
from minicnn.methods.style import loss
from minicnn.methods.style.demo import DemoSettings
from minicnn.methods.style.inputs import resolve
from minicnn.methods.style.run import StyleJob
from minicnn.methods.style.settings import StyleSettings
from minicnn.methods.style.verb import STYLE
from minicnn.network import build
from minicnn.network.layers import AvgPool2d, Conv2d, ReLU
from minicnn.network.network import Network
from minicnn.network.sizes import least_side
from minicnn.objectives import priors
from minicnn.optimizers import minimize
from minicnn.pictures import arrays as pictures_arrays
from minicnn.runs import search as runs_search
from minicnn.runs.inputs import load_network
from minicnn.runs.search import iterations_at

PREPROCESS = {"channel_order": "RGB", "mean": [0.5] * 3, "std": [0.25] * 3, "scale": 1 / 255}
WEIGHTS = {"content_weight": 2.0, "style_weight": 30.0, "tv_weight": 5.0}
LAYERS = {"content_layers": ["relu2"], "style_layers": {"relu1": 1.0, "relu2": 0.5}}


def tiny(dtype="float64"):
    """Two convolutions with a pooling between them."""
    layers = [
        ("conv1", Conv2d(4, 3, padding=1)),
        ("relu1", ReLU()),
        ("pool1", AvgPool2d()),
        ("conv2", Conv2d(5, 3, padding=1)),
        ("relu2", ReLU()),
    ]
    net = Network(layers, {}, (3, 8, 8), {"name": "tiny", "preprocess": PREPROCESS})
    net.params = build.random_params(net.param_shapes(), 0, dtype)
    return net


def pictures(rng, dtype="float64"):
    return (
        rng.standard_normal((1, 3, *size)).astype(dtype) for size in ((10, 8), (9, 12), (10, 8))
    )


def objective(rng, net=None, **changes):
    content, painted, x = pictures(rng)
    return loss.style_objective(
        net or tiny(), content, painted, **{**LAYERS, **WEIGHTS, **changes}
    ), x


def test_the_value_is_the_formula(rng):
    net = tiny()
    content, painted, x = pictures(rng)
    fun = loss.style_objective(net, content, painted, **LAYERS, **WEIGHTS)
    value, _ = fun(x)

    def features(picture, layer):
        f = net.forward(picture, [layer])[layer][0]
        return f.reshape(len(f), -1)

    def gram(picture, layer):
        f = features(picture, layer)
        return f @ f.T / f.size

    expected = 2 * np.mean((features(x, "relu2") - features(content, "relu2")) ** 2)
    for layer, weight in (("relu1", 1.0), ("relu2", 0.5)):
        expected += 30 * weight * np.mean((gram(x, layer) - gram(painted, layer)) ** 2)
    expected += 5 * priors.tv(x * 0.25)[0]  # a standard deviation is a quarter of 0..1
    assert value == pytest.approx(expected, rel=1e-12)
    assert sum(fun.terms[name] for name in ("content", "style", "tv")) == pytest.approx(value)
    assert {"style.relu1", "style.relu2"} < set(fun.terms)


CASES = {
    "all": {},
    "content": {"style_weight": 0, "tv_weight": 0},
    "style": {"content_weight": 0, "tv_weight": 0},
    "tv": {"content_weight": 0, "style_weight": 0},
    "gatys": {"gram": "gatys"},
    "one-thread": {"threads": 1},
}


@pytest.mark.smoke
@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_the_gradient_is_that_of_the_value(rng, changes):
    fun, x = objective(rng, **changes)
    error = check_vjp(lambda x: fun(x)[0], lambda dy, x: dy * fun(x)[1], x, rng)
    assert error < 1e-6


def test_the_value_is_0_at_the_content_without_style_and_tv(rng):
    net, (content, painted, _) = tiny(), pictures(rng)
    weights = {"content_weight": 1.0, "style_weight": 0.0, "tv_weight": 0.0}
    fun = loss.style_objective(net, content, painted, **LAYERS, **weights)
    value, gradient = fun(content)
    assert (value, np.abs(gradient).max()) == (0, 0)


def test_terms_come_in_the_order_of_the_network(rng, monkeypatch):
    passes, forward = [], Plan.forward
    monkeypatch.setattr(Plan, "forward", lambda *args: passes.append(args) or forward(*args))
    content, painted, _ = pictures(rng)
    how = {**LAYERS, **WEIGHTS, "content_layers": ["relu2", "relu1"]}
    for engine in ("explicit", "fast"):
        fun = loss.style_objective(tiny(), content, painted, **how, engine=engine)
        fun(content)
        assert list(fun.terms)[:3] == ["content", "content.relu1", "content.relu2"]
    assert len(passes) == 2  # style and content


@pytest.mark.parametrize(("start", "walks"), [("content", 2), ("x", 3)])
def test_the_content_picture_is_walked_once(rng, monkeypatch, start, walks):
    """Its activations are those of the first x: style, content, and x unless that is it."""
    passes, forward = [], Plan.forward
    monkeypatch.setattr(Plan, "forward", lambda *args: passes.append(args) or forward(*args))
    content, painted, x = pictures(rng)
    fun = loss.style_objective(tiny(), content, painted, **LAYERS, **WEIGHTS)
    explicit = loss.style_objective(
        tiny(), content, painted, **LAYERS, **WEIGHTS, engine="explicit"
    )
    for n, picture in enumerate([content if start == "content" else x, x + 1, content]):
        (value, dx), (wanted, dy) = fun(picture), explicit(picture)
        assert value == pytest.approx(wanted, rel=1e-12)
        assert np.allclose(dx, dy, rtol=1e-10, atol=1e-12)
        assert len(passes) == walks + n


def test_float32_and_inputs_unchanged(rng):
    arrays = list(pictures(rng, "float32"))
    copies = [a.copy() for a in arrays]
    content, painted, x = arrays
    fun = loss.style_objective(tiny("float32"), content, painted, **LAYERS, **WEIGHTS)
    value, gradient = fun(x)
    assert isinstance(value, float)
    assert (gradient.dtype, gradient.shape) == (x.dtype, x.shape)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_weights_mean_the_same_at_any_size(rng):
    """Four copies side by side are the same picture four times: up to the seams the same losses."""
    net = tiny()
    content, painted, x = (rng.standard_normal((1, 3, 40, 40)) for _ in range(3))
    terms = []
    for copies in ((1, 1, 1, 1), (1, 1, 2, 2)):
        parts = (np.tile(a, copies) for a in (content, painted))
        fun = loss.style_objective(net, *parts, **LAYERS, **WEIGHTS)
        fun(np.tile(x, copies))
        terms.append(fun.terms)
    for name in ("content", "style", "tv"):
        assert terms[1][name] == pytest.approx(terms[0][name], rel=0.1)


BAD = {
    "layer": ({"content_layers": ["relu9"]}, "no layer named 'relu9'; the layers are conv1"),
    "negative": ({"tv_weight": -1}, "tv weight -1"),
    "nan": ({"style_weight": float("nan")}, "style weight nan"),
    "infinite": ({"content_weight": float("inf")}, "content weight inf"),
    "nothing": (dict.fromkeys(WEIGHTS, 0), "nothing to minimise"),
    "engine": ({"engine": "steam"}, "no engine 'steam'; use auto, explicit"),
    "gram": ({"gram": "cosine"}, "no style normalisation 'cosine'"),
}


@pytest.mark.parametrize(("changes", "words"), BAD.values(), ids=BAD)
def test_bad_arguments(rng, changes, words):
    with pytest.raises(MinicnnError, match=words):
        objective(rng, **changes)


def test_style_objective_is_offered_by_the_package():
    assert minicnn.style_objective is loss.style_objective


def job(rng, **changes):
    content, painted, _ = pictures(rng, "float32")
    fixed = {
        **LAYERS,
        **WEIGHTS,
        "gram": "mean",
        "content_loss": "mean",
        "tv": "mean",
        "scales": 1,
    }
    settings = StyleSettings("c", "s", **{**fixed, **changes})
    return StyleJob(
        settings=settings, net=tiny("float32"), content=content, styles=[painted], start=content
    )


@pytest.mark.parametrize("optimizer", runs_search.SEARCH)
def test_every_optimizer_makes_the_loss_smaller(rng, optimizer):
    first = runs_search.SEARCH[optimizer].learning_rate
    outcome = job(rng, optimizer=optimizer, iterations=8, learning_rate=first).run()
    trace = outcome.result.trace
    assert outcome.losses["total"] < 0.9 * trace[0]["value"]
    assert outcome.picture.shape == (10, 8, 3)
    assert outcome.picture.dtype == np.uint8


@pytest.mark.parametrize("optimizer", ["adam", "momentum", "gradient-descent"])
def test_the_learning_rate_is_the_first_step_in_grey_levels(rng, optimizer):
    outcome = job(rng, optimizer=optimizer, iterations=1, learning_rate=3.0).run()
    step = outcome.result.trace[1]["step"]  # in units of x: 0.25 of them are 255 grey levels
    assert step * 0.25 * 255 == pytest.approx(3.0, rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "most"),
    [({}, 10), ({"pairs": 3}, 3), ({"optimizer": "adam", "learning_rate": 4.0}, None)],
)
def test_so_many_pairs_are_remembered(rng, changes, most):
    asked = []

    def watched(*args, **options):
        asked.append(options.get("maxcor"))
        return minimize(*args, **options)

    job(rng, iterations=1, **changes).run(minimize=watched)
    assert asked == [most]


@pytest.mark.smoke
def test_ctrl_c_keeps_the_best_picture(rng):
    def callback(iteration, x, value, info):
        if iteration == 3:
            raise KeyboardInterrupt

    outcome = job(rng, iterations=50).run(callback)
    assert outcome.result.interrupted
    assert outcome.losses["total"] < outcome.result.trace[0]["value"]


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("name", "layer", "side"),
    [
        ("minivgg", "relu1_1", 4),
        ("minivgg", "relu4_1", 32),
        ("vgg19", "relu5_1", 64),
        ("vgg19", "relu4_2", 32),
        ("squeezenet", "fire3/concat", 21),
    ],
)
def test_least_side(name, layer, side):
    net = build.skeleton(name)
    assert least_side(net, [net.layers[0], layer]) == side
    trunk = [tuple(node) for node in net.nodes[: net.layers.index(layer) + 1]]
    shape = Network(trunk, {}, net.input_shape).shapes((3, side, side))[layer]
    assert min(shape[1:]) == 4


@pytest.mark.parametrize("name", build.names())
def test_every_network_has_defaults_that_fit(name):
    preset, layers = network_defaults.style_preset(name), build.skeleton(name).layers
    assert preset is not None
    assert {*preset.content_layers, *preset.style_layers} <= set(layers)
    assert preset.pool in build.POOLS


@pytest.fixture
def files(tmp_path, rng):
    for name, shape in (("c.png", (40, 60, 3)), ("s.png", (50, 40, 3)), ("i.png", (33, 44, 3))):
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(tmp_path / name)
    return {"content": str(tmp_path / "c.png"), "style": str(tmp_path / "s.png")}


def settings(files, **changes):
    return StyleSettings(**{**files, "weights": "random", "size": 48, **changes})


def test_defaults_are_filled_in(files):
    filled = STYLE.open_job(settings(files, size=None)).settings
    preset = network_defaults.STYLE["slimvgg"]
    assert (filled.network, filled.size, filled.style_size) == ("slimvgg", 60, 60)
    assert (filled.style_layers, filled.gram) == (preset.style_layers, preset.gram)
    assert filled.iterations == runs_search.SEARCH["lbfgs"].iterations
    assert resolve(filled, load_network("slimvgg", "random"), (40, 60, 3)) == filled


@pytest.mark.parametrize(
    ("changes", "size", "style_size"),
    [({"size": 48}, 48, 48), ({"style_scale": 1.5}, 48, 72), ({"style_size": 50}, 48, 50)],
)
def test_sizes(files, changes, size, style_size):
    ready = STYLE.open_job(settings(files, **changes))
    assert max(ready.content.shape) == size
    assert ready.content.shape == ready.start.shape
    assert max(ready.styles[0].shape) == style_size


def test_what_to_start_from(files, tmp_path):
    content = STYLE.open_job(settings(files)).start
    noise = [STYLE.open_job(settings(files, init="noise", seed=seed)).start for seed in (1, 1, 2)]
    file = STYLE.open_job(settings(files, init=str(tmp_path / "i.png"))).start
    np.testing.assert_array_equal(noise[0], noise[1])
    assert len({a.tobytes() for a in (content, noise[0], noise[2], file)}) == 4
    assert {a.shape for a in (content, *noise, file)} == {(1, 3, 32, 48)}


def test_pooling_is_that_of_the_settings(files):
    for pool, kind in build.POOLS.items():
        assert isinstance(STYLE.open_job(settings(files, pool=pool)).net.layer("pool1"), kind)


SHALLOW = {"content_layers": {"relu1_2": 1.0}, "style_layers": {"relu1_1": 1.0}}


def test_several_sizes_one_after_another(files):
    made = STYLE.open_job(settings(files, **SHALLOW, scales=2, iterations=[3, 2]))
    (coarse, small), (fine, full) = made.stages()
    assert (coarse, fine, made.lead, made.steps) == (3, 2, 3, 5)
    assert small.content.shape == small.start.shape == (1, 3, 16, 24)
    assert full.content.shape == (1, 3, 32, 48)
    seen = []
    outcome = made.run(lambda iteration, x, value, info: seen.append((iteration, x.shape[3])))
    assert dict(seen) == {1: 24, 2: 24, 3: 24, 4: 48, 5: 48}
    assert outcome.picture.shape == (32, 48, 3)
    assert outcome.result.iterations == 5


def test_filters_are_transformed_once_for_all_sizes_and_their_weights_let_go(files, monkeypatch):
    exact, transformed = filters.winograd.transform_filters, []

    def counted(w, *how):
        transformed.append(w.shape)
        return exact(w, *how)

    monkeypatch.setattr(filters.winograd, "transform_filters", counted)
    layers = {"content_layers": {"relu4_1": 1.0}, "style_layers": {"relu1_1": 1.0}}
    layers |= {"size": 144}
    made = STYLE.open_job(settings(files, network="minivgg", **layers, iterations=[2, 2]))
    weights = [w for name, w in made.net.params.items() if w.ndim == 4 and name < "conv4_2"]
    shapes, held = [w.shape for w in weights[1:]], weakref.ref(weights[-1])
    twice = [shapes[0]]  # few filters, in other tiles for many pixels
    del weights
    made = made.lowered()
    assert made.lowered() is made
    outcome = made.run()
    assert sorted(transformed) == sorted(shapes + twice)
    assert held() is None
    again = STYLE.open_job(made.settings).run().result
    np.testing.assert_array_equal(outcome.result.x, again.x)


SHARES = [
    (StyleSettings, {}, [150, 150, 150]),
    (StyleSettings, {"optimizer": "adam"}, [250, 250, 250]),
    (StyleSettings, {"iterations": 40}, [13, 13, 14]),
    (StyleSettings, {"iterations": 260, "coarse_iterations": 100}, [100, 100, 60]),
    (StyleSettings, {"coarse_iterations": 7}, [7, 7, 150]),
    (StyleSettings, {"evaluations": 9}, [9, 9, 9]),
    (StyleSettings, {"iterations": [1, 2, 3]}, [1, 2, 3]),
    (DemoSettings, {}, [60, 60, 30]),
    (DemoSettings, {"iterations": 20}, [8, 8, 4]),
]


@pytest.mark.parametrize(("kind", "asked", "shares"), SHARES)
def test_iterations_are_the_whole_run_shared_out_by_size(kind, asked, shares):
    assert iterations_at(kind("c", "s", **asked), 3) == shares
    if isinstance(asked.get("iterations"), int):
        assert sum(shares) == asked["iterations"] == iterations_at(kind("c", "s", **asked), 1)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"iterations": 2}, "use at least 3, or fewer"),
        ({"iterations": 20, "coarse_iterations": 10}, "use at least 21, or fewer"),
        ({"iterations": [1, 2]}, "iterations = 1,2 are for 2 sizes, and there are 3"),
        ({"iterations": [1, 2, 3], "coarse_iterations": 1}, "no coarse iterations"),
    ],
)
def test_shares_that_cannot_be(asked, words):
    with pytest.raises(MinicnnError, match=words):
        iterations_at(StyleSettings("c", "s", **asked), 3)


def test_there_are_no_more_sizes_than_iterations(files):
    for asked, sizes in ((1, 1), (2, 2), (20, 3), ([2, 2], 2)):
        assert STYLE.open_job(settings(files, size=400, iterations=asked)).settings.scales == sizes


@pytest.mark.parametrize("weight", [2.0, 0.0])
def test_the_full_size_starts_where_the_small_one_ended_with_its_detail(files, weight):
    made = STYLE.open_job(
        settings(files, **SHALLOW, scales=2, iterations=[4, 1], content_weight=weight)
    )
    starts = []

    def recorded(name, fun, x0, **options):
        starts.append(x0)
        return minimize(name, fun, x0, **options)

    made.run(minimize=recorded)
    _, small = made.stages()[0]
    ended = minimize("lbfgs", objective_of(small), small.start, iterations=4).x
    wanted = pictures_arrays.resampled(ended, (32, 48), made.net)
    if weight:  # a content without weight adds nothing
        lost = pictures_arrays.resampled(made.content, (16, 24), made.net)
        detail = made.content - pictures_arrays.resampled(lost, (32, 48), made.net)
        wanted = wanted + detail  # in this order, as rounding near 0 is not forgiven
    assert np.allclose(starts[1], wanted)


def objective_of(made):
    s = made.settings
    names = (
        "content_layers",
        "style_layers",
        "content_weight",
        "style_weight",
        "tv_weight",
        "gram",
    )
    return loss.style_objective(
        made.net, made.content, made.styles, **{name: getattr(s, name) for name in names}
    )


@pytest.mark.parametrize("init", ["content", "noise", "file"])
def test_what_the_smallest_size_starts_from(files, init):
    chosen = files["style"] if init == "file" else init
    made = STYLE.open_job(settings(files, **SHALLOW, scales=2, init=chosen))
    _, small = made.stages()[0]
    assert small.start.shape == small.content.shape
    assert np.array_equal(small.start, small.content) == (init == "content")


def test_ctrl_c_at_a_small_size_keeps_a_full_sized_picture(files):
    def callback(iteration, x, value, info):
        if iteration == 2:
            raise KeyboardInterrupt

    made = STYLE.open_job(settings(files, **SHALLOW, scales=2, iterations=10))
    outcome = made.run(callback)
    assert outcome.result.interrupted
    assert outcome.picture.shape == (32, 48, 3)


def test_too_many_sizes(files):
    with pytest.raises(MinicnnError, match="use at most 1 at this size"):
        STYLE.open_job(settings(files, scales=2))
    assert STYLE.open_job(settings(files)).settings.scales == 1
    large = STYLE.open_job(settings(files, size=400)).settings
    assert large.scales == 3
