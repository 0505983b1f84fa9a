"""The compiled evaluation on a CUDA device: equal to the network, to itself, and to a CPU's run."""

import numpy as np
import pytest
from test_device_plan import cosine, network

from minicnn.backend import array_module, resolve_device, to_device, to_host
from minicnn.device.machine import Cuda
from minicnn.device.plan import Plan
from minicnn.errors import MinicnnError
from minicnn.optimizers import minimize
from minicnn.tasks.style_loss import style_objective

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
    net = network()
    net.params = {name: to_device(value, device) for name, value in net.params.items()}
    rng = np.random.default_rng(1)
    x, content, style = (
        to_device((40 * rng.standard_normal((1, 3, 64, 48))).astype("f4"), device) for _ in range(3)
    )
    return style_objective(net, content, style, **LAYERS, **WEIGHTS, **options), x


@pytest.mark.parametrize("precision", ["fp32", "auto", "fp16"])
def test_the_plan_equals_the_network(device, precision):
    explicit, x = objective_on("cpu", engine="explicit")
    fun, x_device = objective_on(device, precision=precision)
    assert isinstance(fun, Plan)
    value, gradient = explicit(x)
    least = 1 - 1e-9 if precision == "fp32" else 1 - 1e-2
    for _ in range(4):  # step by step, then as a graph
        found, dx = fun(x_device)
        assert array_module(dx).__name__ == "cupy"
        assert found == pytest.approx(value, rel=1e-5 if precision == "fp32" else 1e-2)
        assert cosine(to_host(dx), gradient) > least


def test_capture_works(device):
    machine = Cuda("fp32")
    fun, x = objective_on(device)
    fun(x)
    assert machine.captured(fun._step_by_step), "CuPy has not captured the evaluation"


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
