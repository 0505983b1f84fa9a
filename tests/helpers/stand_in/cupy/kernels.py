"""The kernels of the stand-in: the same source, built by g++."""

import threading
from functools import cache

import numpy as np
from cuda_on_cpu.module import CpuModule

from cupy import cuda
from cupy.arrays import _here, ndarray
from minicnn.kernels import loader

LAUNCHED = []  # (kernel, number of the device)
cpu_module = cache(CpuModule)
_one_at_a_time = threading.Lock()  # the shim has one index of a thread and a block
DTYPES = {f"-DREAL={real}": dtype for dtype, real in loader.REAL.items()}


class RawModule:
    """A source that is compiled when it is first used."""

    def __init__(self, *, code, options=()):
        dtype = next(DTYPES[option] for option in options if option in DTYPES)
        assert code == loader.source(loader.files(dtype))
        self._module = cpu_module(dtype, "-DHALF_COLUMNS" in options)

    def get_function(self, name):
        def function(grid, block, args):
            for value in args:
                assert not isinstance(value, np.ndarray), f"{name}: an array of the host"
                if isinstance(value, ndarray):
                    _here(value)
            LAUNCHED.append((name, cuda.current()))
            (blocks,) = grid
            threads = {"threads": block[0]} if name in loader.TILES else {}
            cuda.launch(lambda: self._run(name, blocks, args, **threads))

        return function

    def _run(self, name, blocks, args, **threads):
        with _one_at_a_time:
            self._module.blocks(name, blocks, *map(_value, args), **threads)


def _value(value):
    if isinstance(value, ndarray):
        return value._host
    return None if isinstance(value, np.uint64) and not value else value
