"""Every kernel compiles for the GPUs that we promise, and keeps its numbers in registers."""

import re
import subprocess
from functools import cache

import nvrtc
import pytest

from minicnn.kernels import loader

BUILDS = [
    *((f"sm_{sm}", "float32", half) for sm in (75, 80, 90, 120) for half in (False, True)),
    *((f"sm_{sm}", "float32", True) for sm in (86, 89, 100)),
    *((f"sm_{sm}", "float64", False) for sm in (75, 120)),
]
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


@cache
def compiled(architecture, dtype, half):
    """Return (source, cubin, log)."""
    source = loader.source(loader.files(dtype))
    options = (*OPTIONS, f"-arch={architecture}", *loader.definitions(dtype, half))
    return source, *compiler().compile(source, options)


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: "-".join(map(str, build)))
def test_kernels_compile_without_spills(build):
    source, cubin, log = compiled(*build)
    assert cubin.startswith(b"\x7fELF")
    found = resources(log)
    assert set(found) == set(loader.signatures(source, *build[1:]))
    for name, used in found.items():
        assert used["spills"] == 0, name
        if name in loader.TILES:
            threads, at_a_time = loader.TILE_THREADS, 2 if name == "convolve" else 3
            shared = (3 * 64 * sum(loader.TILES[name]),)  # three parts of 64 bytes of each row
            assert shared[0] <= 48 << 10, "more has to be asked for"
        else:
            threads, at_a_time, shared = loader.THREADS, 4, (0, 4, 8 * loader.THREADS)
        assert used["registers"] * threads <= 65536 // at_a_time, name
        assert used["shared"] in shared, name


# instructions in the loop over parts for each mma.sync, at most; before sm_80 one is half as deep
PER_PRODUCT = {"convolve": 3.0, "convolve_narrow": 4.0}
BEFORE_80 = {"convolve": 2.0, "convolve_narrow": 2.6}


@pytest.mark.parametrize("name", loader.TILES)
@pytest.mark.parametrize("build", BUILDS[1:-2], ids=lambda build: "-".join(map(str, build)))
def test_the_loop_of_a_convolution_is_nearly_all_products(build, name, tmp_path):
    disassembler = nvrtc.disassembler()
    if disassembler is None:
        pytest.skip("no disassembler: pip install nvidia-cuda-nvdisasm")
    path = tmp_path / "kernels.cubin"
    path.write_bytes(compiled(*build)[1])
    run = subprocess.run([disassembler, "-c", path], capture_output=True, text=True, check=True)
    (loop,) = [body for body in loops(run.stdout, name) if any("HMMA" in line for line in body)]
    count = {
        word: sum(line.split(".")[0].endswith(word) for line in loop)
        for word in ("HMMA", "LDSM", "LDGSTS", "LDL", "STL")
    }
    copies = sum(loader.TILES[name]) * 4 // loader.TILE_THREADS
    old = build[0] == "sm_75"
    squares = {"convolve": 16, "convolve_narrow": 12}[name]
    products = {"convolve": 64, "convolve_narrow": 32}[name] * (2 if old else 1)
    expected = {"HMMA": products, "LDSM": squares, "LDGSTS": 0 if old else copies}
    assert count == {**expected, "LDL": 0, "STL": 0}
    assert len(loop) <= (BEFORE_80 if old else PER_PRODUCT)[name] * products


def loops(text, name):
    """Return the instructions of each loop of a kernel, an inner one's in the outer one's too."""
    (kernel,) = re.findall(rf"\.section\s+\.text\.{name},(.*?)(?=\.section\s|\Z)", text, re.S)
    instructions, labels, found = [], {}, []
    for line in kernel.splitlines():
        if label := re.match(r"\s*(\.L_x_\d+):", line):
            labels[label[1]] = len(instructions)
        elif instruction := re.match(r"\s+/\*[0-9a-f]{4,5}\*/\s+(?:@!?U?P\w+\s+)?(.*?);", line):
            instructions.append(instruction[1].strip())
            back = re.match(r"BRA.*`\((\.L_x_\d+)\)", instruction[1])
            if back and back[1] in labels:
                found.append(instructions[labels[back[1]] :])
    return found


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
