"""Every kernel compiles for the GPUs that we promise, and keeps its numbers in registers."""

import re
from functools import cache

import nvrtc
import pytest

from minicnn.kernels import loader

ARCHITECTURES = ("sm_75", "sm_80", "sm_90", "sm_120")
BUILDS = [("float32", False), ("float32", True), ("float64", False)]
# those of CuPy's RawModule, and the assembler's report on registers and memory
OPTIONS = ("-std=c++17", "-ftz=true", "--ptxas-options=-v", "-default-device")


@cache
def compiler():
    path = nvrtc.find()
    return path and nvrtc.Compiler(path)


@pytest.fixture(autouse=True)
def has_compiler():
    if compiler() is None:
        pytest.skip("no NVRTC: pip install nvidia-cuda-nvrtc")


def resources(log):
    """Return {kernel: {"spills", "registers", "shared"}} of the assembler's log."""
    found = {}
    for name, block in re.findall(
        r"Compiling entry function '(\w+)'(.*?)(?=Compiling|\Z)", log, re.S
    ):
        stored, loaded = re.search(
            r"(\d+) bytes spill stores, (\d+) bytes spill loads", block
        ).groups()
        shared = re.search(r"(\d+) bytes smem", block)
        found[name] = {
            "spills": int(stored) + int(loaded),
            "registers": int(re.search(r"Used (\d+) registers", block)[1]),
            "shared": int(shared[1]) if shared else 0,
        }
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("dtype", "half"), BUILDS, ids=["float", "half-columns", "double"])
def test_kernels_compile_without_spills(dtype, half, architecture):
    options = (*OPTIONS, f"-arch={architecture}", *loader.definitions(dtype, half))
    cubin, log = compiler().compile(loader.source(), options)
    assert cubin.startswith(b"\x7fELF")
    found = resources(log)
    assert set(found) == set(loader.signatures(loader.source(), dtype, half))
    for name, used in found.items():
        assert used["spills"] == 0, name
        tiled = name.startswith("convolve")
        threads, at_a_time = (loader.TILE_THREADS, 3) if tiled else (loader.THREADS, 4)
        assert used["registers"] * threads <= 65536 // at_a_time, name
        shared = (sum(loader.TILE) * 20 * 4,) if tiled else (0, 4, 8 * loader.THREADS)
        assert used["shared"] in shared, name


def test_a_spill_would_be_seen():
    source = """
    extern "C" __global__ void greedy(float* x) {
        float a[96];
        #pragma unroll
        for (int i = 0; i < 96; ++i) a[i] = x[i * 1024 + threadIdx.x];
        __syncthreads();
        #pragma unroll
        for (int i = 0; i < 96; ++i) x[i * 1024 + threadIdx.x] = a[95 - i] * a[i];
    }"""
    options = (*OPTIONS, "-arch=sm_80", "-maxrregcount=32")
    assert resources(compiler().compile(source, options)[1])["greedy"]["spills"] > 0


def test_an_error_names_file_and_line():
    source = loader.source().replace("sums[0];", "sum[0];")
    options = (*OPTIONS, "-arch=sm_80", *loader.definitions("float32"))
    with pytest.raises(nvrtc.CompileError, match=r'sums\.cu\(\d+\): error: identifier "sum"'):
        compiler().compile(source, options)
