"""Products in pieces and products left whole are the same, whichever the processor wants."""

import numpy as np
import pytest

from minicnn.engine.cpu import products, threads
from minicnn.engine.cpu.conv2d import FastConvolution
from minicnn.engine.cpu.filters import tile_size
from minicnn.engine.cpu.recorded_calls import Calls
from minicnn.ops import conv2d


@pytest.fixture(params=[True, False], ids=["pieces", "whole"])
def pieces(request, monkeypatch):
    monkeypatch.setattr(products, "in_pieces", lambda: request.param)
    return request.param


@pytest.mark.parametrize(
    "shape", [(2, 37, 5, 7), (3, 40, 64, 128), (1, 300, 80, 96), (1, 33, 300, 256)]
)
@pytest.mark.parametrize("exchanged", [False, True])
def test_by(rng, pieces, shape, exchanged):
    F, T, C, K = shape
    V, U, M = rng.random((F, T, C)), rng.random((F, C, K)), np.empty((F, T, K))
    factor = np.ascontiguousarray(U.transpose(0, 2, 1)).transpose(0, 2, 1) if exchanged else U
    if products.wants_panels(U.shape):
        factor = products.panels(factor)
    calls = Calls()
    products.by(calls, V, factor, M)
    calls()
    np.testing.assert_allclose(M, V @ U, rtol=1e-13)


def test_of_small(rng, pieces):
    L, x, out = rng.random((4, 6)), rng.random((3, 6, 90_000)), np.empty((3, 4, 90_000))
    calls = Calls()
    products.of_small(calls, L, x, out)
    calls()
    np.testing.assert_allclose(out, L @ x, rtol=1e-13)


@pytest.mark.parametrize(
    ("C", "K", "H", "W", "tile"),
    [(64, 128, 9, 9, 4), (16, 24, 72, 75, 6), (130, 128, 72, 75, 4), (8, 300, 8, 9, 4)],
)
def test_a_frozen_layer(rng, pieces, C, K, H, W, tile):
    x, w = rng.standard_normal((1, C, H, W)), rng.standard_normal((K, C, 3, 3))
    fast, dy = FastConvolution(frozen=True), rng.standard_normal((1, K, H, W))
    assert tile_size(w.shape, H, W) == tile
    y, dx = fast.forward(x, w, padding=1)[0], fast.backward_data(dy, w, x.shape, padding=1)
    for got, wanted in (
        (y, conv2d.forward(x, w, padding=1)[0]),
        (dx, conv2d.backward_data(dy, w, x.shape, padding=1)),
    ):
        assert np.linalg.norm(got - wanted) < 1e-13 * np.linalg.norm(wanted)


@pytest.mark.parametrize(
    ("C", "K", "H", "W"), [(64, 128, 9, 9), (130, 128, 12, 13), (64, 192, 25, 6), (8, 300, 8, 9)]
)
def test_a_layer_in_training(rng, pieces, C, K, H, W):
    x, w = rng.standard_normal((3, C, H, W)), rng.standard_normal((K, C, 3, 3))
    b, dy = rng.standard_normal(K), rng.standard_normal((3, K, H, W))
    found = [
        (
            convolution.forward(x, w, b, padding=1)[0],
            convolution.backward_data(dy, w, x.shape, padding=1),
            *convolution.backward_params(dy, x, w.shape, padding=1),
        )
        for convolution in (FastConvolution(), conv2d)
    ]
    for got, wanted in zip(*found, strict=True):
        assert np.linalg.norm(got - wanted) < 1e-12 * np.linalg.norm(wanted)


@pytest.mark.parametrize(("processor", "wanted"), [("SkylakeX", True), ("Haswell", False)])
def test_the_processor_decides(monkeypatch, processor, wanted):
    libraries = [{"user_api": "blas", "architecture": processor}]
    monkeypatch.setattr(products, "blas_libraries", lambda: libraries)
    assert products.in_pieces.__wrapped__() == wanted


def test_libraries_are_told():
    assert all(library["user_api"] == "blas" for library in threads.blas_libraries())
    assert threads.blas_libraries()
