"""A trace is the two passes, told layer by layer."""

import numpy as np
import pytest

from minicnn.network import Network, layers, tracing
from minicnn.network.layer import Layer
from minicnn.network.layers import Conv2d, GlobalAvgPool2d, MaxPool2d, ReLU


class Halved(Layer):
    """A layer of one's own."""

    formulas = ("y = x / 2", "dx = dy / 2")

    def forward(self, x, params, mode):
        return x / 2, None

    def backward(self, dy, cache, params, rule):
        return dy / 2


@pytest.fixture
def net():
    table = [
        ("conv1", Conv2d(4, 3, padding=1)),
        ("relu1", ReLU()),
        ("half1", Halved()),
        ("pool1", MaxPool2d(2)),
        ("top", GlobalAvgPool2d()),
    ]
    made = Network(table, {}, (3, 6, 8))
    made.initialise(seed=0)
    return made


def test_rows_have_what_the_passes_have(net, rng):
    x = rng.standard_normal((2, 3, 6, 8)).astype(np.float32)
    acts = net.forward(x, net.layers)
    dy = rng.standard_normal(acts["top"].shape).astype(np.float32)
    wanted = net.backward({"top": dy})
    trace = net.trace(x, dy)
    assert np.array_equal(trace.dx, wanted)
    assert [row.layer for row in trace.rows] == ["input", *net.layers]
    for row in trace.rows[1:]:
        assert row.shape == acts[row.layer].shape
        assert row.bytes == acts[row.layer].nbytes
        assert row.norm == pytest.approx(float(np.linalg.norm(acts[row.layer])), rel=1e-6)
        below = net.gradient_at(row.layer, {"top": dy})
        assert row.gradient == pytest.approx(float(np.linalg.norm(below)), rel=1e-6)
    half = trace.rows[3]
    assert (half.forward, half.backward) == Halved.formulas
    assert half.gradient == pytest.approx(2 * trace.rows[2].gradient, rel=1e-6)


def test_gradients_that_enter_below_the_top_leave_the_rest_empty(net, rng):
    x = rng.standard_normal((1, 3, 6, 8)).astype(np.float32)
    dy = np.ones((1, 4, 6, 8), np.float32)
    trace = net.trace(x, {"relu1": dy}, "deconvnet")
    assert [row.layer for row in trace.rows if row.gradient is None] == ["half1", "pool1", "top"]
    net.forward(x, ["relu1"])
    assert np.array_equal(trace.dx, net.backward({"relu1": dy}, "deconvnet"))
    forward_alone = net.trace(x)
    assert forward_alone.dx is None
    assert all(row.gradient is None for row in forward_alone.rows)


def test_it_prints_as_a_table_and_as_html(net, rng):
    x = rng.standard_normal((1, 3, 6, 8)).astype(np.float32)
    trace = net.trace(x, np.ones((1, 4, 1, 1), np.float32))
    lines = repr(trace).splitlines()
    assert len(lines) == 7
    assert lines[0].split() == list(tracing.HEADS)
    assert lines[4].startswith("half1  Halved")
    assert "dx = dy (x > 0)" in lines[3]
    html = trace._repr_html_()
    assert html.count("<tr>") == 7
    assert "dx = dy (x &gt; 0)" in html


def test_every_layer_has_its_formulas():
    bases = {"Layer", "Mode", "Rule", "Pool2d"}
    assert set(tracing.FORMULAS) == set(layers.__all__) - bases
