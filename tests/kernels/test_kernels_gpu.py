"""The cases of the kernels on a CUDA device: what `test_kernels.py` runs on the CPU."""

from functools import cache

import numpy as np
import pytest
from cuda_on_cpu.kernel_cases import CASES, vectors_by_address

from minicnn.backend import resolve_device
from minicnn.errors import MinicnnError
from minicnn.kernels import loader


@pytest.fixture
def device():
    try:
        return resolve_device("cuda")
    except MinicnnError as error:
        pytest.skip(str(error))


class OnDevice:
    """A module of kernels for arrays of the host: they go there and come back.

    Parameters
    ----------
    module : loader.Module
    xp : module, cupy
    """

    def __init__(self, module, xp):
        self._module, self._xp = module, xp

    def each(self, name, n, *given):
        self._there_and_back(self._module.each, name, (n,), given)

    def tiles(self, name, rows, columns, *given):
        self._there_and_back(self._module.tiles, name, (rows, columns), given)

    def blocks(self, name, count, *given):
        self._there_and_back(self._module.blocks, name, (count,), given)

    def _there_and_back(self, run, name, sizes, given):
        there = [self._xp.asarray(v) if isinstance(v, np.ndarray) else v for v in given]
        run(name, *sizes, *there)
        for host, array in zip(given, there, strict=True):
            if isinstance(host, np.ndarray):
                host[...] = array.get()


@pytest.mark.gpu
def test_vectors_are_found_by_their_addresses(device):
    import cupy

    vectors_by_address(cupy.asarray)


@pytest.mark.gpu
@pytest.mark.parametrize("case", sorted(set(CASES) - {"products_at_once"}))  # that one, above
def test_kernels_equal_their_numpy_twins(device, case):
    import cupy

    CASES[case](cache(lambda *given: OnDevice(loader.module(*given), cupy)))


@pytest.mark.parametrize("case", ["bias_and_relu", "content", "convolution_by_tensor_cores"])
def test_arrays_come_back(case):
    """The way there and back, with the CPU as the device."""
    cpu = pytest.importorskip("cuda_on_cpu.module")
    if cpu.COMPILER is None:
        pytest.skip("no g++ to build the kernels with")

    class Copies:
        @staticmethod
        def asarray(x):
            class There(np.ndarray):
                def get(self):
                    return self.view(np.ndarray)

            return x.copy().view(There)

    CASES[case](cache(lambda *given: OnDevice(cpu.CpuModule(*given), Copies)))
