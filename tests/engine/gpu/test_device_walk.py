"""Textures, inversions and class scores on the device's layers, run on the CPU."""

import numpy as np
import pytest
from compiled_testing import cosine, drawn, drawn_function, network
from compiled_testing import few_blocks as few_blocks
from cuda_on_cpu.host_machine import HostMachine
from cuda_on_cpu.module import needs_compiler

from minicnn.engine import select
from minicnn.engine.gpu.compiled_objective import CompiledObjective
from minicnn.engine.gpu.evaluator import DeviceEvaluator, DeviceReplay, bytes_needed
from minicnn.errors import MinicnnError
from minicnn.kernels import strips
from minicnn.methods.inversion import energy
from minicnn.methods.inversion.run import InvertJob
from minicnn.methods.inversion.settings import InvertSettings
from minicnn.methods.texture.loss import texture_objective
from minicnn.network.layers import AvgPool2d
from minicnn.objectives.content import ContentLoss

pytestmark = needs_compiler
PREPROCESS = {"channel_order": "RGB", "mean": [100.0] * 3, "std": [50.0] * 3, "scale": 1.0}


@pytest.fixture
def on_device(monkeypatch):
    """As if arrays were CuPy's and there was a GPU; a list of the machines that were asked for."""
    made = []

    def machine(precision):
        made.append((precision, HostMachine("fp32" if precision == "auto" else precision)))
        return made[-1][1]

    monkeypatch.setattr(select, "array_module", lambda x: None)
    monkeypatch.setattr(select, "Cuda", machine)
    return made


def picture(*shape, seed=1):
    return (40 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


@pytest.mark.smoke
@pytest.mark.parametrize("fed", [["relu1_1", "relu2_1"], ["relu2_1"], ["relu1_1"]])
def test_a_replay_equals_the_network(fed):
    net, taps = network(AvgPool2d), ["relu1_1", "relu2_1"]
    replay = DeviceReplay(net, HostMachine)
    for shape in ((1, 3, 21, 18), (1, 3, 16, 20), (1, 3, 21, 18)):
        for seed in (0, 1):  # nothing is left over from the picture before
            x = picture(*shape, seed=seed)
            expected, found = net.forward(x, taps), replay.forward(x, taps)
            assert list(found) == taps
            dys = {name: picture(*expected[name].shape) for name in fed}
            dx = replay.backward(dys)
            for name, y in expected.items():
                np.testing.assert_allclose(found[name], y, rtol=1e-4, atol=1e-5 * abs(y).max())
            exact = net.backward(dys)
            assert np.linalg.norm(dx - exact) < 2e-6 * np.linalg.norm(exact)


def test_what_cannot_be_compiled_goes_through_the_network():
    net = network()
    replay = DeviceReplay(net, lambda: pytest.fail("there is nothing to compile"))
    for taps, count in ((["conv1_2"], 1), (["relu1_1"], 2)):
        x = picture(count, 3, 21, 18)
        expected = net.forward(x, taps)[taps[0]]
        found = replay.forward(x, taps)[taps[0]]
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(
            replay.backward({taps[0]: found}), net.backward({taps[0]: found})
        )


def test_an_evaluator_is_the_network_until_it_is_replayed():
    net, x = network(), picture(1, 3, 21, 18)
    evaluator = DeviceEvaluator(net, HostMachine)
    np.testing.assert_array_equal(
        evaluator.forward(x, ["pool1"])["pool1"], net.forward(x, ["pool1"])["pool1"]
    )
    assert evaluator.switches().keys() == {"pool1"}
    assert isinstance(evaluator.replay(), DeviceReplay)


def test_an_evaluator_without_memory_is_begun_again(monkeypatch):
    monkeypatch.setattr("minicnn.kernels.launch.release", lambda: None)
    net, seen = network(), []
    forward = net.forward

    def short(*args, **options):
        seen.append(strips.strip_bytes())
        if len(seen) < 3:
            raise MemoryError
        return forward(*args, **options)

    monkeypatch.setattr(net, "forward", short)
    evaluator = DeviceEvaluator(net, HostMachine)
    evaluator.forward(picture(1, 3, 21, 18), ["pool1"])
    assert seen == [64 << 20, 16 << 20, 4 << 20]
    backward = net.backward
    monkeypatch.setattr(
        net, "backward", lambda *a, **k: seen.append(strips.strip_bytes()) or backward(*a, **k)
    )
    evaluator.backward({"pool1": picture(1, 12, 9, 8)})
    evaluator.forward(picture(1, 3, 21, 18), ["pool1"])
    assert seen[3:] == [4 << 20, 4 << 20], "the evaluator goes on with what did"
    DeviceEvaluator(net, HostMachine).forward(picture(1, 3, 21, 18), ["pool1"])
    assert seen[5:] == [64 << 20], "another one has strips of its own"
    assert strips.strip_bytes() == strips.LARGEST


def test_memory_that_is_short():
    net, taps, shape = network(), ("relu2_1",), (1, 3, 200, 200)
    needed = bytes_needed(net, taps, shape, HostMachine())
    machine = HostMachine(memory=needed)
    DeviceReplay(net, lambda: machine).forward(picture(*shape), list(taps))
    assert machine.released == 3, "64, 16, 4, 1 MB"
    assert strips.strip_bytes() == strips.LARGEST
    replay = DeviceReplay(net, lambda: HostMachine(memory=needed - 1))
    with pytest.raises(MinicnnError, match="not enough GPU memory: this takes at least 0"):
        replay.forward(picture(*shape), list(taps))


@pytest.mark.parametrize("tv", ["neural-style", "absolute"])
def test_a_style_with_another_prior(on_device, tv):
    net = network(AvgPool2d)
    explicit, _, x = drawn(net, tv=tv)
    fun = drawn_function(net, tv=tv, precision="fp32")
    assert not isinstance(fun, CompiledObjective)
    for _ in range(2):
        value, gradient = explicit(x)
        found, dx = fun(x)
        assert found == pytest.approx(value, rel=2e-6)
        assert np.linalg.norm(dx - gradient) < 2e-6 * np.linalg.norm(gradient)
    assert [precision for precision, _ in on_device] == ["fp32"], "compiled once, as was asked"


@pytest.mark.parametrize(
    ("options", "compiled"),
    [
        ({"tv_weight": 0.1}, True),
        ({"relative": True}, True),
        ({"seamless": True}, False),
        ({"engine": "explicit"}, False),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_a_texture(on_device, options, compiled):
    net, source, x = network(AvgPool2d), picture(1, 3, 24, 32), picture(1, 3, 16, 20, seed=2)
    layers = {"relu1_1": 1.0, "pool1": 0.5}
    given = {"layers": layers, "gram": "gatys", **options}
    fun = texture_objective(net, source, shape=x.shape, **given)
    assert isinstance(fun, CompiledObjective) is compiled
    value, gradient = texture_objective(net, source, **given | {"engine": "explicit"})(x)
    found, dx = fun(x)
    assert found == pytest.approx(value, rel=1e-5)
    assert cosine(dx, gradient) > 1 - 1e-9
    assert fun.terms["style"] == pytest.approx(value - fun.terms.get("tv", 0), rel=1e-5)


@pytest.mark.parametrize("preset", ["lbfgs", "ijcv16"])
def test_an_inversion(on_device, preset):
    net = network(AvgPool2d)
    net.attrs["preprocess"] = PREPROCESS
    x = picture(1, 3, 21, 18) / 50
    settings = InvertSettings("i", layers=["relu2_1"], preset=preset, iterations=6)
    done = {}
    for engine in ("auto", "explicit"):
        own = InvertSettings(**{**vars(settings), "engine": engine})
        job = InvertJob(settings=own, net=net, x=x, picture=np.zeros((21, 18, 3), np.uint8))
        done[engine] = job.run()
    assert len(on_device) == 1, "a size is compiled once"
    ours, theirs = (done[engine].result for engine in ("auto", "explicit"))
    assert ours.iterations == theirs.iterations == 6
    assert ours.value == pytest.approx(theirs.value, rel=1e-3)


def test_an_energy_and_its_gradient():
    net = network(AvgPool2d)
    x = picture(1, 3, 21, 18)
    target = net.forward(picture(1, 3, 21, 18, seed=3), ["relu2_1"])["relu2_1"]
    terms = energy.energy_terms("ijcv16", target, "relu2_1", energy.Strengths(300, 1e-9, 0.1))
    assert isinstance(terms.objectives["data"][1], ContentLoss)
    scale = np.full((1, 3, 1, 1), 0.5, np.float32)
    value, gradient = energy.Energy(terms, net, scale)(x)
    found, dx = energy.Energy(terms, DeviceReplay(net, HostMachine), scale)(x)
    assert found == pytest.approx(value, rel=1e-5)
    assert np.linalg.norm(dx - gradient) < 1e-5 * np.linalg.norm(gradient)
