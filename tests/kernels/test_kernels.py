"""The CUDA kernels, run on the CPU, against their NumPy twins; broken kernels are noticed."""

import os
import re
import subprocess
import sys
from functools import cache, partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from cuda_on_cpu import sanitized as sanitized_script
from cuda_on_cpu.kernel_cases import CASES, files_of, operations_on
from cuda_on_cpu.module import COMPILER, CpuModule
from op_cases import OPS, results

from minicnn.errors import MinicnnError
from minicnn.kernels import launch as kernels_launch
from minicnn.kernels import loader, strips
from minicnn.objectives.class_score import ClassScore
from minicnn.objectives.weighted_sum import ImageFunction, WeightedSum

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no g++ to build the kernels with")
forward = cache(partial(CpuModule, backward=False))
backward = cache(partial(CpuModule, backward=True))
fused = cache(partial(CpuModule, fused=True))


@needs_compiler
@pytest.mark.parametrize(
    "make", [forward, backward, fused], ids=["first-thread-first", "last-first", "rounded-once"]
)
@pytest.mark.parametrize("case", CASES)
def test_kernels_equal_their_numpy_twins(case, make):
    about = Path("/proc/cpuinfo")
    if make is fused and not (about.exists() and " fma " in about.read_text()):
        pytest.skip("no processor that is known to round a b + c once")
    CASES[case](make)


@needs_compiler
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", OPS)
def test_operations_on_kernels_equal_those_without(op, dtype):
    expected = results(op, dtype, np.asarray)
    with operations_on(forward):
        found = results(op, dtype, np.asarray)
    tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
    for one, other in zip(expected, found, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(other, one, rtol=tolerance, atol=tolerance)


ADDING = "if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];"
# name: (what stands in the source, what a careless hand would write, the case that must notice)
PLANTED = {
    "rows-off-by-one": (
        "h < H && w >= 0",
        "h <= H && w >= 0",
        "average_pooling",
    ),
    "a-window-too-many": (
        "int q = w < S ? 0 : (w - S) / v + 1;",
        "int q = w < S ? 0 : (w - S) / v + 2;",
        "max_pooling",
    ),
    "the-last-of-equals": (
        "value.c[k] > best.c[k]",
        "value.c[k] >= best.c[k]",
        "max_pooling",
    ),
    "gradient-at-zero": (
        "gate.c[k] > 0",
        "gate.c[k] >= 0",
        "windows_as_rows",
    ),
    "no-barrier-after-writing": (
        "sums[threadIdx.x] = mine;\n    __syncthreads();",
        "sums[threadIdx.x] = mine;",
        "content",
    ),
    "no-barrier-in-the-loop": (
        f"{ADDING}\n        __syncthreads();",
        ADDING,
        "content",
    ),
    "a-barrier-for-some": (
        f"{ADDING}\n        __syncthreads();",
        ADDING.replace("half)", "half) {") + " __syncthreads(); }",
        "content",
    ),
    "a-part-that-another-warp-still-copies": (
        "wait_for_copies<STAGES - 2>();\n        __syncthreads();",
        "wait_for_copies<STAGES - 2>();",
        "convolution_by_tensor_cores",
    ),
    "a-copy-that-is-not-waited-for": (
        "wait_for_copies<STAGES - 2>",
        "wait_for_copies<STAGES - 1>",
        "convolution_by_tensor_cores",
    ),
    "the-last-part-is-left-out": (
        "(J + DEPTH - 1) / DEPTH",
        "J / DEPTH",
        "convolution_by_tensor_cores",
    ),
    "words-in-the-wrong-lane": (
        "(lane / 8 % 2 ^",
        "(lane / 16 ^",
        "convolution_by_tensor_cores",
    ),
    "the-wrong-row-of-the-picture": (
        "from += (W - S) * C",
        "from += W * C",
        "convolution_by_tensor_cores",
    ),
    "the-bit-of-a-neighbour": (
        "+ c % 8 / 2 + k / 2",
        "+ c % 8 / 2 + k % 2",
        "maps_for_tensor_cores",
    ),
    "half-of-the-block": (
        "half = blockDim.x / 2;",
        "half = blockDim.x / 4;",
        "style",
    ),
}
# what only reads or writes beside an array, with values that come out right
OVERRUNS = {
    "shared-memory": (
        "+= sums[threadIdx.x + half]",
        "+= sums[threadIdx.x + half] + 0 * sums[threadIdx.x + blockDim.x]",
        "style",
    ),
    "reads-behind-the-end": (
        "y[i] = c < C ? x[c * pixels + t] : 0.0f;",
        "y[i] = x[c * pixels + t] * (c < C);",
        "pictures_there_and_back",
    ),
    "results-behind-the-end": (
        "there = m < M &&",
        "there = m <= M &&",
        "convolution_by_tensor_cores",
    ),
    "runs-behind-the-row": (
        "left = min(RUN, Q - first)",
        "left = RUN",
        "windows_as_rows",
    ),
    "writes-behind-the-end": (
        "y[i] = value <= 0 ? 0.0f : value;",
        "y[i] = value <= 0 ? 0.0f : value; if (i + 1 == n) y[n] = value;",
        "bias_and_relu",
    ),
}


@needs_compiler
@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_caught(bug):
    old, new, case = PLANTED[bug]
    source = loader.source(files_of(case))
    assert old in source
    broken = cache(partial(CpuModule, source=source.replace(old, new)))
    with pytest.raises(AssertionError):
        CASES[case](broken)


def sanitized(*arguments):
    library = sanitized_script.runtime()
    if library is None:
        pytest.skip("no AddressSanitizer to build the kernels with")
    env = {
        **os.environ,
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONMALLOC": "malloc",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(loader.__file__).parents[2]),
    }
    command = [sys.executable, sanitized_script.__file__, *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True)


@needs_compiler
def test_no_kernel_touches_what_is_not_its_own():
    run = sanitized("all")
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.split()[::2] == list(CASES)


@needs_compiler
@pytest.mark.parametrize("bug", OVERRUNS)
def test_the_sanitizer_sees_an_overrun(bug):
    old, new, case = OVERRUNS[bug]
    run = sanitized(case, old, new)
    assert run.returncode != 0
    assert "AddressSanitizer" in run.stderr, run.stderr[-3000:]


def test_an_evaluation_without_memory_is_begun_again_with_smaller_strips(monkeypatch):
    seen, released = [], []
    monkeypatch.setattr(kernels_launch, "suit", lambda x: True)
    monkeypatch.setattr(kernels_launch, "release", lambda: released.append(fun.strips.bytes))

    def forward(x, layers):
        seen.append(strips.strip_bytes())
        if seen[-1] > least:
            raise MemoryError
        return {"layer": x}

    fun = ImageFunction(WeightedSum({"score": (1, ClassScore("layer", 0))}), forward, dict.popitem)
    least = 4 << 20
    assert fun(np.ones((1, 1, 2, 2)))[0] == -1
    assert seen == [64 << 20, 16 << 20, 4 << 20]
    assert released == seen[1:]
    least = 0
    with pytest.raises(MemoryError):
        fun(np.ones((1, 1, 2, 2)))
    assert seen[3:] == [4 << 20, 1 << 20]
    assert strips.strip_bytes() == strips.LARGEST, "no other function has smaller ones now"


def test_what_cupy_is_asked_to_launch(monkeypatch):
    launched, got = [], []

    class RawModule:
        def __init__(self, code, options):
            assert "-DREAL=float" in options
            assert 'extern "C" __global__ void' in code

        def get_function(self, name):
            got.append(name)
            return lambda *launch: launched.append((name, *launch))

    cupy = ModuleType("cupy")
    cupy.RawModule = RawModule
    cupy.cuda = SimpleNamespace(runtime=SimpleNamespace(getDevice=lambda: 0))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    run = loader.Module("float32")
    y, b = np.zeros((200, 3), np.float32), np.zeros(3, np.float32)
    for _ in range(2):
        run.each("bias_relu", y.size, y, b, 3)
    run.each("bias_relu", 0, y[:0], b, 3)
    (name, grid, block, values), _ = launched
    assert (name, grid, block, got) == ("bias_relu", (3,), (256,), ["bias_relu"])
    assert [type(value) for value in values[2:]] == [np.int32, np.uint32]
    run.blocks("windows", 7, y, None, None, y, None, 1.0, *[4] * 9, 12)
    assert launched[-1][1] == (7,)
    assert launched[-1][3][1] == 0
    assert launched[-1][3][1].dtype.itemsize == 8, "a pointer to nothing"


def test_arguments_are_compared_with_the_signature():
    parameters = loader.signatures(loader.source(), "float32")["bias_relu"]
    y, b = np.zeros((2, 3), np.float32), np.zeros(3, np.float32)
    *arrays, channels, n = loader.arguments("bias_relu", parameters, (y, b, 3, 6))
    assert arrays[0] is y
    assert (type(channels), type(n)) == (np.int32, np.uint32)
    for wrong in ((y.astype("f8"), b, 3, 6), (y.T, b, 3, 6), (y, b, 3)):
        with pytest.raises(TypeError):
            loader.arguments("bias_relu", parameters, wrong)
    huge = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (1 << 31,), (4,))
    with pytest.raises(MinicnnError, match="too large"):
        loader.arguments("bias_relu", parameters, (huge, b, 3, 6))


@pytest.mark.smoke
def test_every_kernel_has_a_signature_and_names_its_twin():
    text = loader.source()
    found = loader.signatures(text, "float64")
    assert len(found) == len(re.findall(r"^KERNEL\b", text, re.MULTILINE))
    for name in found:
        before = text[: text.index(f"KERNEL {name}(")]
        comment = before.rpartition("\n\n")[2]
        assert "Twin: " in comment, f"name the NumPy twin above {name}"


def test_no_floating_point_atomics():
    calls = re.findall(r"atomic\w+\([^;]*", loader.source())
    assert calls == ["atomicMax(&of_block, mine)", "atomicMax(largest, of_block)"]  # of integers


def test_the_sources_are_installed():
    folder = Path(loader.__file__).parent
    assert {path.name for path in folder.glob("*.cu*")} == set(loader.FILES)
