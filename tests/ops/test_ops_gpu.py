"""Every operation gives the same on a CUDA device as on the host."""

import numpy as np
import pytest
from op_cases import OPS, results
from played_gpu import gpus as gpus

from minicnn.backend import array_module, resolve_device, to_device, to_host
from minicnn.errors import MinicnnError


@pytest.fixture(params=[pytest.param("real", marks=pytest.mark.gpu), "played"])
def device(request):
    if request.param == "played":
        request.getfixturevalue("gpus")
    try:
        return resolve_device("cuda")
    except MinicnnError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", OPS)
def test_device_and_host_agree(device, op, dtype):
    on_host = results(op, dtype, np.asarray)
    on_device = results(op, dtype, lambda x: to_device(x, device))
    for expected, found in zip(on_host, on_device, strict=True):
        assert array_module(found).__name__ == "cupy"
        assert found.dtype == expected.dtype
        tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
        np.testing.assert_allclose(to_host(found), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("op", OPS)
def test_these_cases_run_on_the_host(op):
    for single, double in zip(
        results(op, "float32", np.asarray), results(op, "float64", np.asarray), strict=True
    ):
        assert single.dtype in (np.float32, np.uint8)
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-5)
