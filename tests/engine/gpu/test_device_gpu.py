"""The compiled evaluation on a CUDA device: equal to the network, to itself, and to a CPU's run."""

import numpy as np
import pytest
from compiled_testing import cosine, network
from features_testing import LAYERS as FEATURES
from features_testing import small_network, write_set
from test_train import data as data
from test_train import settings

from minicnn.backend import array_module, resolve_device, to_device, to_host
from minicnn.data.picture_set import PictureSet
from minicnn.engine.gpu import cuda
from minicnn.engine.gpu.buffers import Buffers
from minicnn.engine.gpu.compiled_objective import CompiledObjective, bytes_needed, compile_objective
from minicnn.engine.gpu.cublaslt import WORKSPACE
from minicnn.engine.gpu.cuda import Cuda
from minicnn.engine.gpu.evaluator import DeviceReplay
from minicnn.engine.gpu.steps import Form
from minicnn.engine.gpu.ways import WAYS
from minicnn.errors import MinicnnError
from minicnn.kernels import strips
from minicnn.methods.features import scan as features_scan
from minicnn.methods.style.loss import style_objective
from minicnn.methods.texture.loss import texture_objective
from minicnn.methods.training import training
from minicnn.optimizers import minimize

pytestmark = pytest.mark.gpu
LAYERS = {"content_layers": ["relu2_1"], "style_layers": ["relu1_1", "relu2_1"]}
WEIGHTS = {"content_weight": 1.0, "style_weight": 1e3, "tv_weight": 0.1}


@pytest.fixture
def device():
    try:
        return resolve_device("cuda")
    except MinicnnError as error:
        pytest.skip(str(error))


def objective_on(device, **options):
    """Return the style objective with everything on a device, and where to start."""
    net = network(channels=(16, 16, 24))  # all but the first can go without columns
    net.params = {name: to_device(value, device) for name, value in net.params.items()}
    rng = np.random.default_rng(1)
    x, content, style = (
        to_device((40 * rng.standard_normal((1, 3, 64, 48))).astype("f4"), device) for _ in range(3)
    )
    return style_objective(net, content, style, **LAYERS, **WEIGHTS, **options), x


@pytest.mark.parametrize("ways", [WAYS, *((way,) for way in WAYS)], ids=",".join)
@pytest.mark.parametrize("precision", ["fp32", "auto", "fp16"])
def test_the_plan_equals_the_network(device, precision, ways, monkeypatch):
    monkeypatch.setattr(cuda, "ALLOWED", ways)
    explicit, x = objective_on("cpu", engine="explicit")
    fun, x_device = objective_on(device, precision=precision)
    assert isinstance(fun, CompiledObjective)
    value, gradient = explicit(x)
    least = 1 - 1e-9 if precision == "fp32" else 1 - 1e-2
    for _ in range(4):  # step by step, then as a graph
        found, dx = fun(x_device)
        assert array_module(dx).__name__ == "cupy"
        assert found == pytest.approx(value, rel=1e-5 if precision == "fp32" else 1e-2)
        assert cosine(to_host(dx), gradient) > least


@pytest.mark.parametrize("way", WAYS)
def test_capture_works(device, way, monkeypatch):
    monkeypatch.setattr(cuda, "ALLOWED", (way,))
    fun, x = objective_on(device)
    fun(x)
    graph, refusal = Cuda("fp32").captured(fun._step_by_step)
    assert graph, refusal


@pytest.mark.parametrize("precision", ["fp32", "auto", "fp16"])
@pytest.mark.parametrize("scaled", [False, True])
def test_products_do_not_read_what_their_output_holds(device, precision, scaled):
    machine = Cuda(precision)
    xp, dtype = machine.xp, cuda.column_dtype(machine.half)
    multiply = machine.products(Buffers(xp))
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(dtype) for shape in ((24, 40), (40, 16)))
    alpha = xp.full(1, 0.5, np.float32) if scaled else None
    exact = a.astype("f8") @ b.astype("f8") * (0.5 if scaled else 1)
    for bias in (None, xp.zeros(16, np.float32)):
        out = xp.full((24, 16), np.nan, np.float32)
        multiply(xp.asarray(a), xp.asarray(b), out, alpha=alpha, bias=bias)
        expected = exact if bias is None else np.maximum(exact, 0)
        np.testing.assert_allclose(to_host(out), expected, rtol=0, atol=2e-2)


def test_the_same_picture_gives_the_same_bits(device):
    results = []
    for _ in range(2):
        fun, x = objective_on(device)
        for _ in range(3):
            value, dx = fun(x)
            results.append((value, to_host(dx).copy()))
    for value, dx in results:
        assert value == results[0][0]
        np.testing.assert_array_equal(dx, results[0][1])


def test_device_and_host_reach_the_same_loss(device):
    """Two searches part at the first rounding; after 100 iterations they are equally far."""
    values = []
    for place in ("cpu", device):
        fun, x = objective_on(place, precision="auto" if place == "cpu" else "fp32")
        values.append(minimize("lbfgs-device", fun, x, iterations=100).value)
    assert values[1] == pytest.approx(values[0], rel=0.05)


def test_the_explicit_network_on_the_device(device):
    fun, x = objective_on(device, engine="explicit")
    host, x_host = objective_on("cpu", engine="explicit")
    value, gradient = host(x_host)
    found, dx = fun(x)
    assert found == pytest.approx(value, rel=1e-5)
    assert cosine(to_host(dx), gradient) > 1 - 1e-6


def test_layers_compiled_for_other_objectives(device):
    net, taps = network(), ["relu1_1", "relu2_1"]
    x = (40 * np.random.default_rng(1).standard_normal((1, 3, 64, 48))).astype("f4")
    expected = net.forward(x, taps)
    exact = net.backward(expected)
    net.params = {name: to_device(value, device) for name, value in net.params.items()}
    replay = DeviceReplay(net, lambda: Cuda("fp32"))
    for _ in range(2):
        found = replay.forward(to_device(x, device), taps)
        dx = replay.backward(found)
        for name in taps:
            assert cosine(to_host(found[name]), expected[name]) > 1 - 1e-9
        assert cosine(to_host(dx), exact) > 1 - 1e-6


def test_a_texture(device):
    net = network()
    source = (40 * np.random.default_rng(1).standard_normal((1, 3, 48, 40))).astype("f4")
    x, layers = source[:, :, ::-1, :32].copy(), {"relu1_1": 1.0, "pool1": 0.5}
    value, gradient = texture_objective(net, source, layers=layers, engine="explicit")(x)
    net.params = {name: to_device(array, device) for name, array in net.params.items()}
    source, there = to_device(source, device), to_device(x, device)
    fun = texture_objective(net, source, layers=layers, shape=x.shape, precision="fp32")
    assert isinstance(fun, CompiledObjective)
    found, dx = fun(there)
    assert found == pytest.approx(value, rel=1e-5)
    assert cosine(to_host(dx), gradient) > 1 - 1e-6


def test_scipys_driver_and_ours_go_down_together(device):
    fun, x = objective_on(device, precision="fp32")
    values = [minimize(name, fun, x, iterations=30).value for name in ("lbfgs", "lbfgs-device")]
    assert values[0] < 0.5 * fun(x)[0]
    assert values[1] == pytest.approx(values[0], rel=0.05)


def test_memory_that_is_short_is_answered_by_smaller_strips(device):
    import cupy

    pool, net = cupy.get_default_memory_pool(), network()
    net.params = {name: to_device(value, device) for name, value in net.params.items()}
    rng = np.random.default_rng(1)
    x = to_device((40 * rng.standard_normal((1, 3, 640, 640))).astype("f4"), device)
    explicit = style_objective(net, x, x[:, :, ::-1], **LAYERS, **WEIGHTS, engine="explicit")
    value, _ = explicit(x)
    pool.free_all_blocks()
    form = Form(strip_bytes=strips.SMALLEST)
    needed = bytes_needed(net, explicit.objective, x.shape, form) + WORKSPACE
    before = pool.get_limit()
    pool.set_limit(size=pool.total_bytes() + needed + (8 << 20))  # blocks that are split stay
    try:
        fun = compile_objective(net, explicit.objective, x.shape, Cuda("fp32"))
        assert fun.bytes < bytes_needed(net, explicit.objective, x.shape, Form())
        assert fun(x)[0] == pytest.approx(value, rel=1e-5)
    finally:
        pool.set_limit(size=before)


def test_training(device, data, tmp_path):
    given = {"epochs": 1, "limit": 16, "max_rms": 0.2, "precision": "fp32"}
    here = training.run(settings(data, tmp_path / "here", **given))
    there = [
        training.run(settings(data, tmp_path / f"there{i}", device=device, **given)) for i in (0, 1)
    ]
    for name, array in here.params.items():
        one, other = (to_host(net.params[name]) for net in there)
        np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(one, array, rtol=0, atol=1e-3 * (abs(array).max() or 1))


def test_a_scan(device, tmp_path, rng):
    net, pictures = small_network(), PictureSet(write_set(tmp_path / "set.h5", rng))
    found = []
    for place in ("cpu", device, device):
        scan = features_scan.settings_for(net, pictures, FEATURES, top=4)
        features = features_scan.begin(net, scan)
        features_scan.scan(features, net, pictures, device=place)
        found.append(features)
    for name, records in found[0].layers.items():
        there, again = (features.layers[name] for features in found[1:])
        np.testing.assert_array_equal(there.value, again.value)
        np.testing.assert_allclose(there.value, records.value, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(there.picture, records.picture)
