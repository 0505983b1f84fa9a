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
from minicnn.errors import MinicnnError
from minicnn.kernels import launch, loader, strips

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
        if "cuda.pathfinder" in sys.modules:
            sys.modules["cuda.pathfinder"].forget()
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


def straight_and_short(gpus, compute, every=1):
    """Compute, then again with memory that runs out at an allocation, once and for good.

    This is done for `every` so many allocations. Errors are yielded; what does not fail gives the
    same, and afterwards all is as before.
    """
    pool = gpus.cuda.pool
    pool.reset()
    expected = compute()
    count = pool.count
    assert count > 10
    for k in range(1, count + 1, every):
        for failing in ((k,), range(k, 1 << 60)):
            pool.count, pool.failing = 0, failing
            try:
                assert compute() == expected
            except (MinicnnError, MemoryError) as error:
                yield error
            assert strips.strip_bytes() == strips.LARGEST
    pool.failing = ()
    assert compute() == expected
