"""The compiled evaluation, on the CPU (kernels by g++, products by NumPy), equals the network."""

import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from compiled_testing import (
    STRIP,
    compile_on,
    cosine,
    drawn,
    drawn_function,
    network,
)
from compiled_testing import few_blocks as few_blocks
from cuda_on_cpu.host_machine import HostMachine
from cuda_on_cpu.module import needs_compiler

from minicnn.engine import select
from minicnn.engine.gpu import compiled_objective as compiled
from minicnn.engine.gpu.convolution_step import Convolution
from minicnn.engine.gpu.cuda import Cuda
from minicnn.engine.gpu.steps import Form
from minicnn.engine.gpu.ways import WAYS
from minicnn.errors import MinicnnError
from minicnn.kernels import strips
from minicnn.network import build
from minicnn.network.layers import AvgPool2d, Conv2d, MaxPool2d
from minicnn.objectives.class_score import ClassScore
from minicnn.objectives.weighted_sum import WeightedSum
from minicnn.optimizers import minimize


@needs_compiler
@pytest.mark.parametrize("pool", [MaxPool2d, AvgPool2d])
@pytest.mark.parametrize("strip", [1, STRIP, 1 << 30])
def test_the_plan_equals_the_explicit_network(pool, strip):
    net = network(pool)
    explicit, objective, x = drawn(net)
    fun = compile_on(HostMachine(), net, objective, x, strip)
    for picture in (x, 0.5 * x, x):  # nothing is left over from the picture before
        value, gradient = explicit(picture)
        found, dx = fun(picture)
        assert found == pytest.approx(value, rel=2e-6)
        assert np.linalg.norm(dx - gradient) < 2e-6 * np.linalg.norm(gradient)
        assert list(fun.terms) == list(explicit.terms)
        for name, term in explicit.terms.items():
            assert fun.terms[name] == pytest.approx(term, rel=1e-5)


@needs_compiler
@pytest.mark.parametrize("precision", ["tf32", "fp16"])
@pytest.mark.parametrize("strip", [STRIP, 1 << 30])
@pytest.mark.parametrize("ways", [WAYS[1:2], WAYS[2:]], ids=lambda ways: ways[0])
def test_the_plan_without_columns(monkeypatch, precision, strip, ways):
    net = network(AvgPool2d, channels=(16, 16, 24))
    explicit, objective, x = drawn(net)
    value, gradient = explicit(x)
    machine, launched = HostMachine(precision, ways=ways), []
    fun, tiles = compile_on(machine, net, objective, x, strip), machine.kernels.tiles
    steps = fun._arrays.trunk.steps
    gone = [step.ways for step in steps if isinstance(step, Convolution)]
    assert gone == [["columns"], [*ways, *ways], [*ways, *ways]]  # the first is that of the picture

    def counted(way, *given):
        launched.append(way)
        tiles(way, *given)

    monkeypatch.setattr(machine.kernels, "tiles", counted)
    found, dx = fun(x)
    assert set(launched) == set(ways)
    assert found == pytest.approx(value, rel=5e-3)
    assert np.linalg.norm(dx - gradient) < 1.5e-2 * np.linalg.norm(gradient)
    with_columns = compile_on(HostMachine(precision), net, objective, x, strip)
    assert fun.bytes < with_columns.bytes or strip == STRIP
    expected, dx_expected = with_columns(x)  # the same rounded numbers, added in another order
    assert found == pytest.approx(expected, rel=1e-4)
    assert np.linalg.norm(dx - dx_expected) < 1e-3 * np.linalg.norm(dx_expected)


@pytest.mark.smoke
@needs_compiler
@pytest.mark.parametrize(
    "options",
    [
        {"tv_weight": 0.0},
        {"content_weight": 0.0},
        {"style_weight": 0.0},
        {"content_layers": ["relu1_1", "pool1"], "gram": "gatys", "content_loss": "sum"},
    ],
    ids=["no-tv", "no-content", "no-style", "other-factors"],
)
def test_terms_that_are_not_there(options):
    net = network()
    explicit, objective, x = drawn(net, **options)
    value, gradient = explicit(x)
    found, dx = compile_on(HostMachine(), net, objective, x)(x)
    assert found == pytest.approx(value, rel=2e-6)
    assert np.linalg.norm(dx - gradient) < 2e-6 * np.linalg.norm(gradient)


@needs_compiler
def test_the_embedded_network():
    net = build.build("minivgg", seed=3, pool="average")
    net.input_shape = (3, 24, 32)
    layers = {"content_layers": ["relu3_2"], "style_layers": ["relu1_1", "relu2_1", "relu4_1"]}
    explicit, objective, x = drawn(net, **layers)
    value, gradient = explicit(x)
    found, dx = compile_on(HostMachine(), net, objective, x)(x)
    assert found == pytest.approx(value, rel=1e-5)
    assert np.linalg.norm(dx - gradient) < 1e-5 * np.linalg.norm(gradient)


@needs_compiler
@pytest.mark.parametrize("precision", ["tf32", "fp16"])
def test_lower_precision_keeps_the_direction(precision):
    net = network(AvgPool2d)
    net.params = {k: (v * 1e-3 if k == "conv2_1.weight" else v) for k, v in net.params.items()}
    explicit, objective, x = drawn(net)  # gradients of many magnitudes
    value, gradient = explicit(x)
    found, dx = compile_on(HostMachine(precision), net, objective, x)(x)
    assert found == pytest.approx(value, rel=5e-3)
    assert found != value
    assert cosine(dx, gradient) > 1 - 1e-4  # ten bits


@needs_compiler
def test_half_precision_has_no_range_of_its_own():
    """A gradient and a picture far beyond float16 give the same, scaled."""
    net = network(AvgPool2d)
    options = {"tv_weight": 0.0, "style_weight": 0.0}
    _, objective, x = drawn(net, **options)
    _, dx = compile_on(HostMachine("fp16"), net, objective, x)(x)
    dx = dx.copy()
    (weight, loss) = objective.objectives["content"]
    objective.objectives["content"] = (weight * 2.0**40, loss)
    _, larger = compile_on(HostMachine("fp16"), net, objective, x)(x)
    np.testing.assert_array_equal(larger, dx * np.float32(2.0**40))


@needs_compiler
def test_the_same_picture_gives_the_same_bits():
    net = network()
    _, objective, x = drawn(net)
    one, other = (compile_on(HostMachine(), net, objective, x) for _ in range(2))
    for _ in range(2):
        (value, dx), (again, dx_again) = one(x), other(x)
        assert value == again
        np.testing.assert_array_equal(dx, dx_again)


@needs_compiler
def test_capture_comes_after_the_first_evaluation():
    net = network()
    _, objective, x = drawn(net)
    machine = HostMachine()
    fun = compile_on(machine, net, objective, x)
    fun(x)
    assert machine.captures == 0
    for _ in range(3):
        fun(x)
    assert machine.captures == 1
    assert fun.refusal == "there are no graphs on a CPU"


@needs_compiler
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_bytes_are_counted_before_they_are_taken(precision):
    net = network()
    _, objective, x = drawn(net)
    machine = HostMachine(precision)
    fun = compile_on(machine, net, objective, x)
    counted = compiled.bytes_needed(net, objective, x.shape, Form(precision, strip_bytes=STRIP))
    assert counted == fun.bytes == machine.xp.taken


@needs_compiler
def test_memory_that_is_short_is_answered_by_smaller_strips():
    net = network()
    net.input_shape = (3, 200, 200)
    _, objective, x = drawn(net)
    needed = [
        compiled.bytes_needed(net, objective, x.shape, Form(strip_bytes=strip))
        for strip in (strips.LARGEST, 16 << 20, 4 << 20, strips.SMALLEST)
    ]
    assert sorted(needed, reverse=True) == needed
    machine = HostMachine(memory=needed[2])
    fun = compiled.compile_objective(net, objective, x.shape, machine)
    assert fun.bytes <= needed[2]
    assert machine.released == needed.index(fun.bytes)
    machine = HostMachine(memory=needed[3] - 1)
    with pytest.raises(
        MinicnnError, match=r"not enough GPU memory: this takes at least 0\.\d\d GB"
    ):
        compiled.compile_objective(net, objective, x.shape, machine)


def test_what_cannot_be_compiled_says_why():
    net = network()
    _, objective, x = drawn(net)

    def reason(net=net, objective=objective, shape=x.shape):
        return compiled.obstacle(net, objective, shape)

    assert reason() is None
    assert "several pictures" in reason(shape=(2, 3, 21, 18))
    assert "ClassScore" in reason(objective=WeightedSum({"c": (1, ClassScore("relu1_1", 0))}))
    assert "total variation" in reason(objective=drawn(net, tv="neural-style")[1])
    raw = {"content_layers": ["conv1_2"], "style_weight": 0}
    assert "conv1_2 is wanted without the ReLU" in reason(objective=drawn(net, **raw)[1])
    stride = network()
    stride.nodes[5] = stride.nodes[5]._replace(layer=Conv2d(16, stride=2, padding=1))
    assert "conv2_1 is not a convolution of stride 1" in reason(net=stride)
    fork = network()
    fork.nodes[4] = fork.nodes[4]._replace(inputs=("relu1_1",))
    assert "pool1 does not follow on the one before it" in reason(net=fork)
    net.params = {name: value.astype("f8") for name, value in net.params.items()}
    assert "float64" in reason()


@needs_compiler
def test_a_plan_is_freed_when_it_is_not_needed_any_more():
    net = network()
    _, objective, x = drawn(net)
    fun = compile_on(HostMachine(), net, objective, x)
    fun(x)
    fun(x)
    seen = weakref.ref(fun)
    gc.disable()
    try:
        del fun
        assert seen() is None, "a cycle keeps its memory until the next collection"
    finally:
        gc.enable()


@needs_compiler
def test_style_on_a_device_is_compiled(monkeypatch):
    net = network()
    explicit, _, x = drawn(net)
    monkeypatch.setattr(select, "array_module", lambda x: None)  # as if arrays were CuPy's
    monkeypatch.setattr(select, "Cuda", lambda precision: HostMachine("fp32"))
    fun = drawn_function(net)
    assert isinstance(fun, compiled.CompiledObjective)
    assert not isinstance(drawn_function(net, engine="explicit"), compiled.CompiledObjective)
    assert not isinstance(drawn_function(net, tv="absolute"), compiled.CompiledObjective)
    with pytest.raises(MinicnnError, match="cannot be computed in fp16: its prior is not"):
        drawn_function(net, tv="absolute", precision="fp16")
    with pytest.raises(MinicnnError, match="no precision 'fp8'; use auto, fp32, tf32, fp16"):
        drawn_function(net, precision="fp8")
    ours = minimize("lbfgs-device", fun, x, iterations=12)
    theirs = minimize("lbfgs-device", explicit, x, iterations=12)
    assert ours.value < 0.5 * fun(x)[0]
    assert ours.value == pytest.approx(theirs.value, rel=0.02)


class Stream:
    """CuPy's, as far as a capture needs it."""

    def __init__(self, fails=None):
        self.did, self.fails = [], fails

    def __enter__(self):
        self.did.append("enter")

    def __exit__(self, *error):
        self.did.append("exit")

    def begin_capture(self):
        self.did.append("begin")

    def end_capture(self):
        self.did.append("end")
        if self.fails:
            raise RuntimeError("the capture was invalidated")
        return SimpleNamespace(launch=lambda stream: stream.did.append("launch"))


@pytest.mark.parametrize("fails", [False, True])
def test_capture_and_its_failure(fails):
    stream, machine = Stream(fails), Cuda.__new__(Cuda)
    machine.xp = SimpleNamespace(cuda=SimpleNamespace(Stream=lambda: stream))

    def run():
        stream.did.append("run")
        if fails:
            raise NotImplementedError("cuBLAS is called in a capture")

    launch, refusal = machine.captured(run)
    assert stream.did == ["enter", "begin", "run", "end", "exit"]
    if fails:
        assert launch is None
        assert refusal == "NotImplementedError: cuBLAS is called in a capture"
    else:
        assert refusal == ""
        launch()
        assert stream.did[-1] == "launch"
