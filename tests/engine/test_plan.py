"""Compiled evaluations: the same numbers as the explicit network, for any mixture of layers."""

import gc
import weakref
from itertools import pairwise

import numpy as np
import pytest
from plan_testing import agree, cut, relative

import minicnn
from minicnn.engine.cpu import units
from minicnn.engine.cpu.arena import Arena
from minicnn.engine.cpu.column_peaks import column_peaks
from minicnn.engine.cpu.evaluator import FastEvaluator, Replay
from minicnn.engine.cpu.frozen import FrozenNetwork
from minicnn.engine.cpu.plan import Plan
from minicnn.engine.cpu.threads import Crew
from minicnn.engine.select import Evaluation, evaluator_of, image_function
from minicnn.errors import MinicnnError
from minicnn.gradcheck import checks
from minicnn.gradcheck import engine as gradcheck_engine
from minicnn.methods.texture.loss import texture_objective
from minicnn.network import build
from minicnn.network.layers import (
    LRN,
    Add,
    AvgPool2d,
    Concat,
    Conv2d,
    Dropout,
    Linear,
    MaxPool2d,
    ReLU,
    Softmax,
)
from minicnn.network.network import Network
from minicnn.objectives.channel_product import ChannelProduct
from minicnn.objectives.content import ContentLoss
from minicnn.objectives.gram import GramStyleLoss, mean_gram, style_targets
from minicnn.objectives.priors import tv
from minicnn.objectives.weighted_sum import WeightedSum

NETWORKS = {
    "vgg19": (["relu1_1", "relu2_1", "pool2", "conv3_2", "relu4_2"], (29, 38)),
    "minivgg": (["conv1_2", "relu1_2", "pool2", "relu4_1"], (45, 64)),
    "squeezenet": (["relu_conv1", "fire3/concat", "fire6/relu_squeeze1x1", "pool4"], (67, 80)),
    "alexnet": (["conv1", "norm1", "relu5"], (99, 120)),
    "minialexnet": (["relu2", "fc7"], (64, 64)),
}


@pytest.mark.parametrize("pool", [None, "average"])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_the_network(name, batch, pool, rng):
    taps, size = NETWORKS[name]
    net = cut(name, taps, pool)
    agree(net, taps, (batch, 3, *size), rng)


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("channels", [(1, 8, 1), (3, 1, 8), (1, 1, 1), (2, 8, 1)])
def test_one_channel_anywhere(channels, kernel, rng):
    first, middle, last = channels
    table = [
        ("one", Conv2d(middle, kernel, padding=kernel // 2)),
        ("relu", ReLU()),
        ("two", Conv2d(last, 3)),
        ("pool", MaxPool2d(2, 2)),
        ("three", Conv2d(4, kernel, stride=2, padding=kernel // 2)),
    ]
    net = Network(table, {}, (first, 14, 11))
    net.params = build.random_params(net.param_shapes(), 0, "float64")
    agree(net, ["two", "three"], (2, first, 14, 11), rng)


def random_network(rng):
    """Return layers of a random kind, and the name of every one of them."""
    table, channels = [], 3
    for i in range(rng.integers(3, 7)):
        kind = rng.choice(["block", "pool", "strided", "branch", "norm"])
        if kind == "block":
            channels = int(rng.choice([8, 12, 64]))
            table.append((f"conv{i}", Conv2d(channels, 3, padding=int(rng.integers(0, 3)))))
            table.append((f"relu{i}", ReLU()))
        elif kind == "strided":
            groups = 2 if channels % 2 == 0 else 1
            channels = 10
            conv = Conv2d(channels, (3, 2), stride=2, padding=1, groups=groups)
            table += [(f"conv{i}", conv), (f"relu{i}", ReLU())]
        elif kind == "pool":
            layer = (MaxPool2d, AvgPool2d)[rng.integers(2)]
            kernel, padding = int(rng.integers(2, 4)), int(rng.integers(0, 2))
            ceil = bool(rng.integers(2))
            table.append((f"pool{i}", layer(kernel, 2, padding=padding, ceil=ceil)))
        elif kind == "norm":
            table += [(f"norm{i}", LRN()), (f"drop{i}", Dropout(0.5))]
        else:
            source = (table[-1][0] if table else "input",)
            table += [
                (f"left{i}", Conv2d(8, 3, padding=1), source),
                (f"relu_left{i}", ReLU()),
                (f"right{i}", Conv2d(8, 1), source),
                (f"both{i}", Concat(), (f"relu_left{i}", f"right{i}")),
            ]
            channels = 16
    return table


@pytest.mark.parametrize("seed", range(25))
def test_random_networks_sizes_and_taps(seed):
    rng = np.random.default_rng(seed)
    table = random_network(rng)
    size = tuple(int(n) for n in rng.integers(26, 45, 2))
    net = Network(table, {}, (3, *size))
    net.params = build.random_params(net.param_shapes(), seed, "float64")
    taps = rng.choice(net.layers, min(3, len(net.layers)), replace=False)
    agree(net, sorted(taps, key=net.layers.index), (int(rng.integers(1, 4)), 3, *size), rng)


def peaks_on_the_way(net, taps, xs):
    """Check the column peaks of taps by several crews; return how many were taken on the way."""
    replay, taken = Replay(FrozenNetwork(net), Crew(1), peaks=taps), 0
    for x, threads in zip(xs, (1, 4, 2), strict=True):
        replay._crew = Crew(threads)  # whose programs take the place of those before
        acts = replay.forward(x, taps, keep=False)
        taken = sum(replay.plan.peaks[name].gathered() is not None for name in taps)
        for name, y in acts.items():
            for found, expected in zip(replay.column_peaks(name, y), column_peaks(y), strict=True):
                np.testing.assert_array_equal(found, expected)
    return taken


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(8))
def test_column_peaks_are_those_of_what_is_written(seed, dtype):
    rng = np.random.default_rng(seed)
    table = random_network(rng)
    net = Network(table, {}, (3, 40, 44))
    net.params = build.random_params(net.param_shapes(), seed, dtype)
    names = [name for name, *_ in table]
    taps = sorted(set(rng.choice(names, 3)), key=names.index)
    peaks_on_the_way(net, taps, rng.standard_normal((3, 3, 3, 40, 44)).astype(dtype))


def test_column_peaks_are_taken_on_the_way_of_convolutions_and_what_holds_none_but_such(rng):
    table = [
        ("one", Conv2d(8, 3, padding=1)),
        ("left", Conv2d(64, 3, padding=1)),
        ("relu_left", ReLU()),
        ("right", Conv2d(16, 1), ("one",)),
        ("both", Concat(), ("relu_left", "right")),
        ("pool", MaxPool2d(2, 2)),
        ("more", Conv2d(8, 1)),
        ("with_pool", Concat(), ("pool", "more")),
    ]
    net = Network(table, {}, (3, 150, 131))
    net.params = build.random_params(net.param_shapes(), 0, "float32")
    xs = rng.standard_normal((3, 2, 3, 150, 131)).astype(np.float32)
    assert peaks_on_the_way(net, ["one", "both"], xs) == 2
    assert peaks_on_the_way(net, ["both", "pool", "more", "with_pool"], xs) == 2


def test_readers_of_the_picture_have_a_gradient_each_and_noted_calls_stay(rng):
    table = [
        ("left", Conv2d(4, 1), ("input",)),
        ("right", Conv2d(5, 1), ("input",)),
        ("pool", MaxPool2d(3, 1), ("input",)),
        ("both", Concat(), ("left", "right")),
    ]
    net = Network(table, {}, (3, 9, 8))
    net.params = build.random_params(net.param_shapes(), 0, "float64")
    agree(net, ["both", "pool"], (2, 3, 9, 8), rng)
    replay = FastEvaluator(net).replay()
    programs = []
    for _ in range(2):
        acts = replay.forward(rng.standard_normal((2, 3, 9, 8)), ["both", "pool"])
        replay.backward({name: a.copy() for name, a in acts.items()})
        programs.append(dict(replay.plan.programs))
    assert programs[0].keys() == programs[1].keys()
    assert all(programs[1][key] is program for key, program in programs[0].items())


def test_the_number_of_threads_does_not_change_a_bit(rng):
    taps = ["relu1_1", "relu4_1"]
    net = cut("vgg19", taps, dtype="float32")
    x = rng.standard_normal((1, 3, 70, 66)).astype(np.float32)
    found = []
    for threads in (1, 2, 3):
        replay = FastEvaluator(net, threads).replay()
        acts = replay.forward(x, taps)
        found.append([a.copy() for a in acts.values()] + [replay.backward(acts)])
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_forward_alone_gives_the_same_and_its_arrays_stay(rng):
    net = minicnn.build("minivgg", dtype="float64")
    evaluator, taps = FastEvaluator(net), ["relu2_2", "pool2"]
    first, second = rng.standard_normal((2, 1, 3, 33, 40))
    acts = evaluator.forward(first, taps, keep=False)
    kept = {name: a.copy() for name, a in acts.items()}
    evaluator.forward(second, taps, keep=False)
    for name, a in net.forward(first, taps).items():
        assert relative(acts[name], a) < 1e-10
        assert np.array_equal(acts[name], kept[name])


def test_other_sizes_and_taps_follow_each_other(rng):
    net = minicnn.build("minivgg", dtype="float64")
    replay = FastEvaluator(net).replay()
    for shape, taps in (((1, 3, 20, 20), ["relu1_1"]), ((1, 3, 31, 24), ["relu2_1", "relu1_2"])):
        x = rng.standard_normal(shape)
        wanted = net.forward(x, taps)
        found = replay.forward(x, taps)
        assert all(relative(found[name], wanted[name]) < 1e-10 for name in taps)
        assert relative(replay.backward(found), net.backward(wanted)) < 1e-10


def test_a_pass_ahead_stands_for_the_next_one_of_the_same_picture(rng, monkeypatch):
    passes, forward = [], Plan.forward
    monkeypatch.setattr(Plan, "forward", lambda *args: passes.append(args) or forward(*args))
    net, taps = build.build("minivgg", seed=1), ["relu1_1", "relu2_1"]
    replay = FastEvaluator(net, threads=2).replay(only_grams=["relu1_1"])
    x, other = rng.standard_normal((2, 1, 3, 32, 40), dtype=np.float32)

    def evaluated(x):
        """Return copies of what is computed of x, and whether it walked forward for it."""
        before, acts = len(passes), replay.forward(x, taps)
        gradient = replay.backward({name: ChannelProduct(matrix(f), f) for name, f in acts.items()})
        found = [*(replay.mean_gram(f).copy() for f in acts.values()), gradient.copy()]
        return found, len(passes) > before

    def matrix(f):
        return np.eye(f.shape[1], dtype=f.dtype)[None]

    right, walked = evaluated(x)
    assert walked
    replay.ahead(x, taps)
    for walks in (False, True):  # it stands for one pass alone
        found, walked = evaluated(x)
        assert walked == walks
        assert all(np.array_equal(a, b) for a, b in zip(found, right, strict=True))
    replay.ahead(other, taps)
    assert evaluated(x)[1]
    assert evaluated(other)[1]
    replay.ahead(x, taps)
    x += 1  # in place
    found, walked = evaluated(x)
    assert walked
    assert not np.array_equal(found[-1], right[-1])
    replay.ahead(x, taps)
    assert list(replay.forward(x, taps[:1])) == taps[:1]


def test_a_product_of_channels_is_the_gradient_it_stands_for(rng):
    net = minicnn.build("minivgg", dtype="float64")
    replay, taps = FastEvaluator(net).replay(), ["relu1_1", "relu2_2", "pool2"]
    acts = replay.forward(rng.standard_normal((2, 3, 30, 22)), taps)
    products = {
        name: ChannelProduct(rng.standard_normal((2, f.shape[1], f.shape[1])), f)
        for name, f in acts.items()
    }
    wanted = replay.backward({name: product.dense() for name, product in products.items()})
    assert relative(replay.backward(products), wanted) < 1e-12


def test_what_was_played_once_is_played_again_without_the_units(rng):
    net = cut("squeezenet", ["fire3/concat", "relu_conv1"])
    replay, taps, shape = FastEvaluator(net, 2).replay(), ["relu_conv1", "fire3/concat"], (67, 80)
    walks = []
    for form in ("arrays", "arrays", "products", "arrays", "arrays"):
        x = rng.standard_normal((1, 3, *shape))
        wanted, found = net.forward(x, taps), replay.forward(x, taps)
        S = {name: rng.standard_normal((1, f.shape[1], f.shape[1])) for name, f in found.items()}
        theirs = {name: ChannelProduct(S[name], f).dense() for name, f in wanted.items()}
        ours = {name: ChannelProduct(S[name], f) for name, f in found.items()}
        backward = replay.backward(theirs if form == "arrays" else ours)
        assert all(relative(found[name], wanted[name]) < 1e-10 for name in taps)
        assert relative(backward, net.backward(theirs)) < 1e-10
        walks.append([replay.plan.passes[name][2] for name in ("forward", "backward")])
    assert all(walk[0] is walks[0][0] for walk in walks)
    same = [walk[1] is before[1] for before, walk in pairwise(walks)]
    assert same == [True, False, False, True]


@pytest.mark.parametrize("threads", [1, 2])
def test_layers_without_a_fast_form_are_played_too(rng, threads):
    """One reads the picture twice, one makes a view, and one has what it read in its cache."""
    layers = [
        ("twice", Add(), ("input", "input")),
        ("conv", Conv2d(16, 3, padding=1)),
        ("relu", ReLU()),
        ("norm", LRN()),
        ("pool", MaxPool2d(3, 2)),
        ("drop", Dropout(0.5)),
        ("sum", Add(), ("pool", "drop")),
        ("fc", Linear(7)),
        ("prob", Softmax()),
    ]
    net = Network(layers, {}, (3, 20, 22))
    net.params = build.random_params(net.param_shapes(), 0, "float64")
    taps = ["drop", "fc", "prob"]
    replay = agree(net, taps, (2, 3, 20, 22), rng, threads=threads)
    before = {name: replay.plan.passes[name][2] for name in ("forward", "backward")}
    for _ in range(3):
        x = rng.standard_normal((2, 3, 20, 22))
        wanted, found = net.forward(x, taps), replay.forward(x, taps)
        assert all(relative(found[name], wanted[name]) < 1e-10 for name in taps)
        assert relative(replay.backward(wanted), net.backward(wanted)) < 1e-10
    assert all(replay.plan.passes[name][2] is program for name, program in before.items())


def test_units_that_read_the_same_are_one_stage(rng):
    def layer(kernel):
        return Conv2d(8, kernel, padding=kernel // 2)

    layers = [
        ("conv0", layer(3)),
        ("one", layer(1), ("conv0",)),
        ("three", layer(3), ("conv0",)),
        ("five", layer(5), ("conv0",)),
        ("behind", layer(1), ("five",)),
        ("concat", Concat(), ("one", "three", "five", "behind")),
    ]
    net = Network(layers, {}, (8, 16, 16))
    net.params = build.random_params(net.param_shapes(), seed=0, dtype=np.float64)
    replay = FastEvaluator(net, 2).replay()
    for _ in range(3):
        x, dy = rng.standard_normal((1, 8, 40, 36)), rng.standard_normal((1, 32, 40, 36))
        wanted, found = net.forward(x, ["concat"]), replay.forward(x, ["concat"])
        assert relative(found["concat"], wanted["concat"]) < 1e-13
        assert relative(replay.backward({"concat": dy}), net.backward({"concat": dy})) < 1e-12
    programs = replay.plan.programs
    alone = sum(len(programs[name, "forward"][1]) for name in ("one", "three", "behind"))
    stages = sum(len(program) for (_, what), (_, program) in programs.items() if what == "forward")
    assert alone == 3
    assert len(replay.plan.passes["forward"][2]) == stages - 1  # the frame of "five" is a stage


def test_a_unit_does_not_write_where_one_of_the_same_stage_reads(rng):
    layers = [("conv0", Conv2d(16, 3, padding=1))]
    for name, source in (
        ("one", "conv0"),
        ("two", "conv0"),
        ("behind1", "one"),
        ("behind2", "two"),
    ):
        layers += [(name, Conv2d(16, 3, padding=1), (source,))]
    net = Network([*layers, ("concat", Concat(), ("behind1", "behind2"))], {}, (8, 16, 16))
    net.params = build.random_params(net.param_shapes(), seed=0, dtype=np.float64)
    replay = FastEvaluator(net, 2).replay()
    for _ in range(10):
        x, dy = rng.standard_normal((1, 8, 96, 90)), rng.standard_normal((1, 32, 96, 90))
        net.forward(x, ["concat"])
        replay.forward(x, ["concat"])
        assert relative(replay.backward({"concat": dy}), net.backward({"concat": dy})) < 1e-12
    plan = replay.plan
    (one,), (two,) = (plan.programs[name, "backward"][1] for name in ("one", "two"))
    assert any(stage is one for stage in plan.passes["backward"][2])
    assert any(stage is two for stage in plan.passes["backward"][2])


def test_gradients_of_one_layer_are_added_whatever_their_form(rng):
    net = minicnn.build("minivgg", dtype="float64")
    replay, taps = FastEvaluator(net).replay(), ["relu1_1", "relu2_2"]
    acts = replay.forward(rng.standard_normal((1, 3, 22, 30)), taps)
    wanted, sums = {}, {}
    for name, f in acts.items():
        one, two = (
            ChannelProduct(rng.standard_normal((1, f.shape[1], f.shape[1])), f) for _ in "ab"
        )
        array = rng.standard_normal(f.shape)
        wanted[name] = one.dense() + two.dense() + 2 * array
        sums[name] = (one + array) + (two + array)
    plain = replay.backward(wanted)
    assert relative(replay.backward(sums), plain) < 1e-12
    assert relative(replay.backward(wanted), plain) < 1e-12  # the program follows the form


def test_a_layer_of_content_and_style_is_evaluated_as_the_explicit_one(rng):
    net = minicnn.build("minivgg", dtype="float64")
    content, style, x = (rng.standard_normal((1, 3, 24, 20)) for _ in range(3))
    how = {"content_layers": ["relu2_1"], "style_layers": ["relu1_1", "relu2_1"]}
    how |= {"content_weight": 1.0, "style_weight": 10.0, "tv_weight": 0.1}
    (value, dx), (wanted, dy) = (
        minicnn.style_objective(net, content, style, engine=engine, **how)(x)
        for engine in ("fast", "explicit")
    )
    assert value == pytest.approx(wanted, rel=1e-10)
    assert relative(dx, dy) < 1e-10


def test_one_objective_in_several_engines_one_after_another(rng):
    """Whoever evaluates an objective leaves it as it was."""
    net = minicnn.build("minivgg", pool="average")
    x, style = (rng.standard_normal((1, 3, *s)).astype("f4") for s in ((32, 40), (36, 30)))
    grams = style_targets(net.forward(style, ["relu1_1", "relu2_1"]))
    content = {"relu2_1": net.forward(0.5 * x, ["relu2_1"])["relu2_1"]}
    engines = {"explicit": None, "fast": None, "low-memory": None, "auto": 16}

    def objective():
        losses = {"content": (1.0, ContentLoss(content)), "style": (9.0, GramStyleLoss(grams))}
        return WeightedSum(losses, {"tv": (0.1, tv)})

    def evaluated(shared, engine, tile):
        return image_function(shared, evaluator_of(net, Evaluation(engine, 1, tile)), 1)(x)

    def state(shared):
        return [dict(vars(loss)) for _, loss in shared.objectives.values()]

    alone = {name: evaluated(objective(), name, tile) for name, tile in engines.items()}
    shared = objective()
    before = state(shared)
    for name, tile in [*engines.items(), *reversed(engines.items())]:
        value, dx = evaluated(shared, name, tile)
        assert value == alone[name][0]
        assert np.array_equal(dx, alone[name][1])
        assert state(shared) == before


def test_the_options_of_an_evaluation_come_as_one_or_by_their_old_keywords(rng):
    net = minicnn.build("minivgg", pool="average")
    content, style, x = (rng.standard_normal((1, 3, 24, 20)).astype("f4") for _ in "csx")
    how = {"content_layers": ["relu2_1"], "style_layers": ["relu1_1"], "tv_weight": 0.1}
    how |= {"content_weight": 1.0, "style_weight": 9.0}
    explicit = Evaluation("explicit", threads=1)
    for make in (
        lambda **given: minicnn.style_objective(net, content, style, **how, **given),
        lambda **given: texture_objective(net, style, layers=["relu1_1"], **given),
    ):
        as_one, by_keywords, both = (
            make(**given)(x)
            for given in (
                {"evaluation": explicit},
                {"engine": "explicit", "threads": 1},
                {"evaluation": Evaluation(threads=1), "engine": "explicit"},
            )
        )
        for value, dx in (by_keywords, both):
            assert value == as_one[0]
            assert np.array_equal(dx, as_one[1])
        for given in ({"engine": "steam"}, {"evaluation": Evaluation("steam")}):
            with pytest.raises(MinicnnError, match="no engine 'steam'"):
                make(**given)
        with pytest.raises(TypeError, match="unexpected keyword argument 'motor'"):
            make(motor="steam")


@pytest.mark.parametrize("shape", [(1, 8, 21, 13), (2, 16, 3, 4), (1, 5, 1, 1)])
def test_gram_matrices_of_the_crew(shape, rng):
    f = rng.standard_normal(shape)
    found = [FastEvaluator(minicnn.build("minivgg"), n).replay().mean_gram(f) for n in (1, 2, 3)]
    assert relative(found[0], mean_gram(f)) < 1e-13
    assert all(np.array_equal(found[0], other) for other in found[1:])


def test_what_does_not_belong_to_the_last_forward_pass_is_refused(rng):
    net = minicnn.build("minivgg", dtype="float64")
    evaluator, x = FastEvaluator(net), rng.standard_normal((1, 3, 20, 22))
    replay = evaluator.replay()
    acts = replay.forward(x, ["relu1_2"])
    with pytest.raises(MinicnnError, match="no tap 'relu1_1'; the taps are relu1_2"):
        replay.backward({"relu1_1": acts["relu1_2"]})
    with pytest.raises(MinicnnError, match="layer relu1_2: the gradient is"):
        replay.backward({"relu1_2": acts["relu1_2"][:, :, 1:]})
    with pytest.raises(MinicnnError, match="layer pool2: a window of 2 px does not fit"):
        replay.forward(x[:, :, :3, :3], ["relu4_1"])
    wanted = net.forward(x, ["relu1_2"])["relu1_2"]
    assert relative(replay.forward(x, ["relu1_2"])["relu1_2"], wanted) < 1e-10  # goes on
    evaluator.forward(x, ["relu1_2"])
    evaluator.forward(x, ["relu1_2"], keep=False)
    with pytest.raises(MinicnnError, match="no forward pass with keep=True"):
        evaluator.backward(acts)


def test_pictures_of_another_precision_are_taken_in_that_of_the_network(rng):
    net = minicnn.build("minivgg")
    x = rng.standard_normal((1, 3, 20, 22))
    acts = FastEvaluator(net).replay().forward(x, ["relu2_1"])
    assert acts["relu2_1"].dtype == np.float32
    assert (
        relative(acts["relu2_1"], net.forward(x.astype(np.float32), ["relu2_1"])["relu2_1"]) < 1e-5
    )


@pytest.mark.smoke
def test_the_arena_hands_out_what_was_given_back():
    arena = Arena("float32", 100)
    a, b = arena.take((10, 10)), arena.take((3,))
    a[...], b[...] = 1, 2
    assert (a == 1).all()  # two arrays share nothing
    assert (b == 2).all()
    arena.give(a)
    arena.give(None)
    assert arena.take((5, 5)).base is a.base  # it has been written far enough
    arena.reset()
    assert arena.take((2,)).base is b.base  # not farther than need be


def test_gradcheck_covers_the_fast_path_and_would_see_an_error(monkeypatch):
    assert all(result.ok for result in checks.run(cases=gradcheck_engine.CASES))
    exact = units.Convolution.mask

    def wrong(unit, calls, part, *where):
        exact(unit, calls, part, *where)
        calls.add(np.multiply, part, 1.001, out=part)

    monkeypatch.setattr(units.Convolution, "mask", wrong)
    assert not any(result.ok for result in checks.run("engine.plan", gradcheck_engine.CASES))


def test_weights_that_nobody_holds_are_let_go_once_they_are_transformed(rng):
    net, taps = cut("vgg19", ["relu3_2"]), ["relu3_2"]
    x, held = rng.standard_normal((1, 3, 20, 18)), weakref.ref(net.params["conv3_2.weight"])
    wanted, dy = net.forward(x, taps)["relu3_2"], rng.standard_normal((1, 256, 5, 4))
    gradient, evaluator = net.backward({"relu3_2": dy}), FastEvaluator(net, 1)
    before = dict(net.params)
    evaluator.forward(x, taps, keep=False)
    evaluator.mean_grams(x, taps)
    replay = evaluator.replay()
    replay.forward(x, taps)
    assert net.params.keys() == before.keys()
    assert all(net.params[name] is array for name, array in before.items())
    assert held() is not None, "the caller's network keeps its own"
    del net, before
    assert held() is None
    for again in (evaluator, replay):
        assert relative(again.forward(x, taps)["relu3_2"], wanted) < 1e-10
        assert relative(again.backward({"relu3_2": dy}), gradient) < 1e-10


def test_the_memory_of_one_size_is_free_before_the_next_one_needs_some(rng):
    net, taps = cut("minialexnet", ["relu2", "conv3"], "max"), ["relu2", "conv3"]
    for layers in (taps, ["conv1"]):
        replay = FastEvaluator(net, 1).replay()
        gc.disable()
        try:
            for _ in range(2):
                acts = replay.forward(rng.standard_normal((1, 3, 64, 48)), layers)
                replay.backward({name: array.copy() for name, array in acts.items()})
            plan = weakref.ref(replay.plan)
            del acts
            replay.forward(rng.standard_normal((1, 3, 48, 64)), layers)
            assert plan() is None
        finally:
            gc.enable()
