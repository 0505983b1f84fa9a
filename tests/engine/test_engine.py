"""The fast convolution must be the explicit one to rounding, whatever the size."""

import numpy as np
import pytest

from minicnn.engine.cpu import columns, transforms, winograd
from minicnn.engine.cpu.conv2d import FastConvolution
from minicnn.engine.cpu.evaluator import FastEvaluator
from minicnn.engine.cpu.threads import Crew, thread_count
from minicnn.errors import MinicnnError
from minicnn.network import build
from minicnn.network.layers import ReLU
from minicnn.ops import conv2d
from minicnn.ops.shapes import pair

CASES = {
    "tile of 4": (1, 8, 8, 4, 4, 1),
    "tile of 6, batch": (5, 8, 12, 12, 6, 1),
    "odd size": (2, 9, 5, 13, 7, 1),
    "no padding": (1, 8, 8, 7, 5, 0),
    "full padding": (2, 8, 3, 6, 6, 2),
    "one output pixel": (1, 8, 8, 3, 3, 0),
    "wide": (1, 8, 8, 5, 61, 1),
    "several strips": (1, 16, 16, 90, 90, 1),
}


def relative(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def draw(rng, case, dtype):
    N, C, K, H, W, padding = CASES[case]
    x = rng.standard_normal((N, C, H, W)).astype(dtype)
    w = (rng.standard_normal((K, C, 3, 3)) / C).astype(dtype)
    b = rng.standard_normal(K).astype(dtype)
    return x, w, b, padding


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 1e-5)])
def test_equals_the_explicit_convolution(rng, case, dtype, tolerance, frozen):
    x, w, b, padding = draw(rng, case, dtype)
    fast = FastConvolution(frozen=frozen)
    y, _ = conv2d.forward(x, w, b, padding=padding)
    dy = rng.standard_normal(y.shape).astype(dtype)
    for _ in range(2):
        got, cache = fast.forward(x, w, b, padding=padding)
        assert got.dtype == x.dtype
        assert got.shape == y.shape
        assert relative(got, y) < tolerance
        dx = fast.backward_data(dy, w, x.shape, padding=padding)
        assert relative(dx, conv2d.backward_data(dy, w, x.shape, padding=padding)) < tolerance
        dw, db = fast.backward_params(dy, cache, w.shape, padding=padding)
        expected = conv2d.backward_params(dy, x, w.shape, padding=padding)
        assert relative(dw, expected[0]) < tolerance
        assert relative(db, expected[1]) < tolerance


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("shape", "geometry"),
    [
        ((6, 3, 3, 3), {"padding": 1}),
        ((6, 8, 5, 3), {"stride": (2, 1), "padding": (0, 2)}),
        ((6, 4, 3, 3), {"padding": 1, "groups": 2}),
        ((4, 8, 3, 3), {"dilation": 2}),
        ((4, 8, 1, 1), {}),
    ],
)
def test_other_geometries(rng, shape, geometry):
    x = rng.standard_normal((2, shape[1] * geometry.get("groups", 1), 11, 9))
    w, fast = rng.standard_normal(shape), FastConvolution()
    y, _ = conv2d.forward(x, w, None, **geometry)
    dy = rng.standard_normal(y.shape)
    assert relative(fast.forward(x, w, None, **geometry)[0], y) < 1e-13
    dx = conv2d.backward_data(dy, w, x.shape, **geometry)
    assert relative(fast.backward_data(dy, w, x.shape, **geometry), dx) < 1e-13
    dw, db = conv2d.backward_params(dy, x, w.shape, **geometry)
    got = fast.backward_params(dy, x, w.shape, **geometry)
    assert relative(got[0], dw) < 1e-13
    assert relative(got[1], db) < 1e-13


@pytest.mark.parametrize(
    ("kernel", "geometry"),
    [
        ((3, 3), {"padding": 1}),
        ((7, 7), {"stride": 2}),
        ((5, 2), {"stride": (2, 1), "padding": (0, 2)}),
        ((3, 5), {"dilation": (1, 2)}),
    ],
)
def test_overlapping_columns(rng, monkeypatch, kernel, geometry):
    monkeypatch.setattr(columns, "STRIP_BYTES", 20_000)  # several strips
    x, b = rng.standard_normal((2, 3, 23, 60)), rng.standard_normal(4)
    w = rng.standard_normal((4, 3, *kernel))
    y, _ = conv2d.forward(x, w, b, **geometry)
    for count in (1, 2):
        with Crew(count).at_work():
            assert relative(FastConvolution().forward(x, w, b, **geometry)[0], y) < 1e-13


def amid_nan(x):
    """Return a contiguous copy with NaN before and behind it: what is read there shows."""
    memory = np.full(10 * x.size, np.nan)
    memory[4 * x.size : 5 * x.size] = x.ravel()
    return memory[4 * x.size : 5 * x.size].reshape(x.shape)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(
    ("C", "K", "kernel", "geometry"),
    [
        (1, 3, 3, {}),
        (1, 1, 3, {}),
        (8, 1, 3, {}),
        (8, 1, 3, {"padding": 1}),
        (1, 8, 3, {"padding": 1}),
        (1, 4, (5, 2), {"stride": (3, 1)}),
        (1, 1, 3, {"dilation": 2}),
        (3, 1, 3, {"stride": 2, "padding": 1}),
        (1, 1, 1, {}),
    ],
)
def test_one_channel_in_or_out(rng, C, K, kernel, geometry, frozen):
    # NumPy gives an axis of length 1 any stride
    x = amid_nan(rng.standard_normal((2, C, 9, 11)))
    w, fast = rng.standard_normal((K, C, *pair(kernel))), FastConvolution(frozen=frozen)
    y, _ = conv2d.forward(x, w, None, **geometry)
    dy = amid_nan(rng.standard_normal(y.shape))
    assert relative(fast.forward(x, w, None, **geometry)[0], y) < 1e-13
    dx = conv2d.backward_data(dy, w, x.shape, **geometry)
    assert relative(fast.backward_data(dy, w, x.shape, **geometry), dx) < 1e-13
    dw, _ = conv2d.backward_params(dy, x, w.shape, **geometry)
    assert relative(fast.backward_params(dy, x, w.shape, **geometry)[0], dw) < 1e-13


def test_a_strided_picture_is_taken_as_it_is(rng):
    x = rng.standard_normal((2, 16, 10, 24))[:, ::2, :, ::2]
    w = rng.standard_normal((4, 8, 3, 3))
    assert relative(FastConvolution().forward(x, w)[0], conv2d.forward(x, w)[0]) < 1e-13


@pytest.mark.parametrize("count", [1, 2, 3])
def test_threads_do_not_change_the_result(rng, count):
    x, w, b, padding = draw(rng, "several strips", "float32")
    alone = FastConvolution().forward(x, w, b, padding=padding)[0]
    with Crew(count).at_work():
        together = FastConvolution().forward(x, w, b, padding=padding)[0]
    assert np.array_equal(alone, together)


def test_frozen_filters_belong_to_their_weights(rng):
    x, w, b, padding = draw(rng, "odd size", "float64")
    fast = FastConvolution(frozen=True)
    fast.forward(x, w, b, padding=padding)
    other = w * 2
    assert (
        relative(
            fast.forward(x, other, b, padding=padding)[0],
            conv2d.forward(x, other, b, padding=padding)[0],
        )
        < 1e-13
    )


@pytest.mark.parametrize("m", winograd.TILES)
def test_one_dimensional_filtering(rng, m):
    AT, G, BT = transforms.matrices(m)
    d, g = rng.standard_normal(m + 2), rng.standard_normal(3)
    assert np.allclose(AT @ ((G @ g) * (BT @ d)), np.correlate(d, g, "valid"), atol=1e-12)


def test_a_planted_error_is_seen(rng, monkeypatch):
    x, w, _, padding = draw(rng, "odd size", "float64")
    AT, BT = transforms.data_matrices(winograd.tile_size(*x.shape[2:]), False)
    monkeypatch.setattr(winograd, "data_matrices", lambda m, flipped: (AT * 1.001, BT))
    got = FastConvolution().forward(x, w, None, padding=padding)[0]
    assert relative(got, conv2d.forward(x, w, None, padding=padding)[0]) > 1e-4


def test_thread_count(monkeypatch):
    monkeypatch.delenv("MINICNN_THREADS", raising=False)
    assert thread_count() >= 1
    assert thread_count(3) == 3
    monkeypatch.setenv("MINICNN_THREADS", "5")
    assert thread_count() == 5
    for bad in (0, 1_000_000, "two", -1):
        with pytest.raises(MinicnnError, match="from 1 to 256"):
            thread_count(bad)


@pytest.mark.parametrize("name", ["minivgg", "squeezenet1_1", "caffenet"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_fast_evaluator_is_the_networks_own(rng, name, threads):
    """Forward and image gradient of every kind of layer, gradients entering at two of them."""
    net = build.build(name, dtype="float64", classes=3)
    taps = [node.name for node in net.nodes if isinstance(node.layer, ReLU)][1:4:2]
    x = rng.standard_normal((2, 3, 66, 71))
    evaluator = FastEvaluator(net, threads)
    expected, acts = net.forward(x, taps), evaluator.forward(x, taps)
    dys = {tap: rng.standard_normal(acts[tap].shape) for tap in taps}
    for tap in taps:
        assert relative(acts[tap], expected[tap]) < 1e-13
    for rule in ("gradient", "deconvnet"):
        dx = net.backward(dys, rule)
        assert relative(evaluator.backward(dys, rule), dx) < 1e-12


def test_the_fast_evaluator_leaves_the_network_alone(rng):
    net = build.build("minivgg")
    before = vars(net).copy()
    FastEvaluator(net).forward(rng.standard_normal((1, 3, 32, 32)).astype("float32"), ["relu1_2"])
    assert all(vars(net)[name] is value for name, value in before.items())
    with pytest.raises(MinicnnError, match="no forward pass"):
        net.backward({"relu1_2": np.zeros((1, 32, 32, 32), "float32")})
