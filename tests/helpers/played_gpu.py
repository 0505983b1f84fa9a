"""A machine with CUDA devices, played by the stand-in for CuPy in the folder `stand_in`."""

import importlib
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import pytest
from cuda_on_cpu.module import COMPILER

from minicnn import backend
from minicnn.engine.gpu import compiled_objective, convolution_step, cuda, terms
from minicnn.engine.gpu.ways import COLUMNS
from minicnn.kernels import launch, loader

FOLDER = Path(__file__).parent / "stand_in"
NAMES = ("cupy", "cupyx", "cuda")
CACHES = (loader.module, backend._count, backend._check)
SUM_BLOCKS = 3  # a thread of a kernel with barriers is dear on the CPU


@contextmanager
def played(count=2):
    """Context in which CuPy is the stand-in, with so many equal devices; returns it."""
    if COMPILER is None:
        pytest.skip("no g++ to build the kernels with")

    def ours():
        return {name for name in sys.modules if name.partition(".")[0] in NAMES}

    others = {name: sys.modules.pop(name) for name in ours()}
    sys.path.insert(0, str(FOLDER))
    _forget()
    try:
        cupy = importlib.import_module("cupy")
        cupy.cuda.reset(count)
        with ExitStack() as stack:
            for part in (launch, terms, compiled_objective, convolution_step):
                stack.enter_context(mock.patch.object(part, "SUM_BLOCKS", SUM_BLOCKS))
            stack.enter_context(mock.patch.object(launch, "SHARE", SUM_BLOCKS))
            # each other way costs time: a test that wants one says so
            stack.enter_context(mock.patch.object(cuda, "ALLOWED", (COLUMNS,)))
            yield cupy
    finally:
        sys.path.remove(str(FOLDER))
        for name in ours():
            del sys.modules[name]
        sys.modules.update(others)
        _forget()


def _forget():
    """Let go of what is known of devices and kernels."""
    for cached in CACHES:
        cached.cache_clear()


@pytest.fixture
def gpus():
    """Return the stand-in for CuPy, in its place, with two devices."""
    with played() as cupy:
        yield cupy
