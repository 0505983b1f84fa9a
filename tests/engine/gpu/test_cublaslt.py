"""Every call of cublaslt.py against a stand-in for the library; its numbers against the header."""

import ctypes
import importlib.util
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from compiled_testing import compile_on, drawn, network
from cuda_on_cpu import module
from cuda_on_cpu.host_machine import HostMachine
from cuda_on_cpu.module import needs_compiler

from minicnn.engine.gpu import compiled_objective, cublaslt, terms
from minicnn.engine.gpu.buffers import Buffers
from minicnn.errors import MinicnnError


@pytest.fixture(scope="module")
def library():
    return ctypes.CDLL(str(module.cublaslt()))


def products_of(library, buffers=None, tf32=True, stream=0x57):
    def bias_relu(y, bias):
        y[...] = np.maximum(y + bias, 0)

    given = {"tf32": tf32, "stream": lambda: stream, "bias_relu": bias_relu}
    return cublaslt.Products(library, buffers or Buffers(np), **given)


@pytest.fixture(params=[1, 0, 2], ids=["with-epilogues", "without", "called-invalid"])
def products(library, request):
    has = ctypes.c_int.in_dll(library, "has_epilogues")
    has.value = request.param
    yield products_of(library)
    has.value = 1


@needs_compiler
@pytest.mark.parametrize("transpose", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_products_of_rows(products, rng, transpose, dtype):
    a, b = rng.standard_normal((5, 8)).astype(dtype), rng.standard_normal((8, 4)).astype(dtype)
    out, bias = rng.standard_normal((2, 5, 4)).astype("f4"), np.array([1, -1, 0.5, 0], "f4")
    exact = a.astype("f8") @ b.astype("f8")
    stored = [np.ascontiguousarray(x.T) if t else x for x, t in zip((a, b), transpose, strict=True)]
    before = out[0].copy()
    for _ in range(2):  # from the second time on with what was kept
        products(*stored, out[1], transpose=transpose)
        np.testing.assert_allclose(out[1], exact, rtol=1e-6, atol=1e-6)
    products(*stored, out[0], transpose=transpose, add=True)
    np.testing.assert_allclose(out[0], exact + before, rtol=1e-6, atol=1e-6)
    alpha = np.array([0.25], "f4")
    products(*stored, out[0], transpose=transpose, alpha=alpha, bias=bias)
    expected = np.maximum(0.25 * exact + bias, 0)
    np.testing.assert_allclose(out[0], expected, rtol=1e-6, atol=1e-6)


@needs_compiler
def test_matrices_that_begin_anywhere(products, rng):
    """A part of an array is as good; what was found for one alignment is not used for less."""
    held = np.zeros(5 * 8 + 8, "f4")
    start = -(held.ctypes.data // 4) % 4  # the first number at a multiple of 16 bytes
    b, out = rng.standard_normal((8, 4)).astype("f4"), np.zeros((5, 4), "f4")
    for shift in (0, 1, 2, 3, 0):
        a = held[start + shift :][:40].reshape(5, 8)
        a[...] = rng.standard_normal((5, 8))
        products(a, b, out)
        np.testing.assert_allclose(out, a.astype("f8") @ b, rtol=1e-6, atol=1e-6)


@needs_compiler
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_plan_on_these_products(library, monkeypatch, precision):
    class Machine(HostMachine):
        def products(self, buffers):
            return products_of(library, buffers, tf32=False)

    for part in (terms, compiled_objective):
        monkeypatch.setattr(part, "SUM_BLOCKS", 3)
    net = network()
    explicit, objective, x = drawn(net)
    value, gradient = explicit(x)
    fun = compile_on(Machine(precision), net, objective, x)
    for _ in range(2):
        found, dx = fun(x)
        tolerance = {"fp32": 2e-6, "fp16": 2e-2}[precision]
        assert found == pytest.approx(value, rel=tolerance)
        assert np.linalg.norm(dx - gradient) < tolerance * np.linalg.norm(gradient)


@needs_compiler
def test_a_refusal_gets_one_line(library, rng):
    products = products_of(library, stream=0)
    a = rng.standard_normal((4, 4)).astype("f4")
    with pytest.raises(MinicnnError, match="cuBLASLt: Matmul ended with status 7"):
        products(a, a, np.empty((4, 4), "f4"))


def test_a_library_that_is_missing_gets_one_line():
    if importlib.util.find_spec("cuda") is not None:
        pytest.skip("cuda-pathfinder is installed here")
    with pytest.raises(MinicnnError, match=r"no cuBLASLt .* install the extra cuda12-ctk"):
        cublaslt.load()


@cache
def header():
    """Return the text of cublasLt.h of an installed wheel, or None."""
    spec = importlib.util.find_spec("nvidia")
    for root in spec.submodule_search_locations if spec else ():
        for path in sorted(Path(root).glob("*/include/cublasLt.h")):
            return path.read_text()
    return None


def test_the_numbers_are_those_of_the_header():
    if header() is None:
        pytest.skip("no cublasLt.h: pip install nvidia-cublas")
    named = dict(re.findall(r"\b(CUBLASLT_\w+) = (\d+),", header()))
    ours = {
        "CUBLASLT_MATMUL_DESC_POINTER_MODE": cublaslt.POINTER_MODE,
        "CUBLASLT_MATMUL_DESC_TRANSA": cublaslt.TRANSA,
        "CUBLASLT_MATMUL_DESC_TRANSB": cublaslt.TRANSB,
        "CUBLASLT_MATMUL_DESC_EPILOGUE": cublaslt.EPILOGUE,
        "CUBLASLT_MATMUL_DESC_BIAS_POINTER": cublaslt.BIAS_POINTER,
        "CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES": cublaslt.PREF_MAX_WORKSPACE_BYTES,
        "CUBLASLT_EPILOGUE_DEFAULT": cublaslt.EPILOGUE_DEFAULT,
    }
    ours |= {
        f"CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_{letter}_BYTES": number
        for letter, number in zip("ABCD", cublaslt.PREF_MIN_ALIGNMENT, strict=True)
    }
    assert {name: int(named[name]) for name in ours} == ours
    bias_relu = int(named["CUBLASLT_EPILOGUE_RELU"]) | int(named["CUBLASLT_EPILOGUE_BIAS"])
    assert bias_relu == cublaslt.EPILOGUE_RELU_BIAS
