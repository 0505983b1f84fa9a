"""The kernels built for the CPU by g++ and `shim.h`, called as `kernels.loader.Module` is."""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from minicnn.kernels import loader

HERE = Path(__file__).parent
COMPILER = shutil.which("g++")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no g++ to build the kernels with")
THREADS, BLOCKS = 32, 5  # few, so that threads take several elements
OPTIONS = ("-std=c++17", "-O1", "-fPIC", "-shared", "-w")
ROUNDED_TWICE, ROUNDED_ONCE = ("-ffp-contract=off",), ("-ffp-contract=fast", "-mfma")  # a b + c
SANITIZER = ("-fsanitize=address", "-fsanitize-sections=cpu_shared", "-fno-omit-frame-pointer")


class CpuModule:
    """The kernels as host code.

    Parameters
    ----------
    dtype, half_columns
        As for `loader.Module`.
    source : str, optional
        Other kernels than ours.
    sanitize : bool
        Build with AddressSanitizer; the process must have its library preloaded.
    fused : bool
        Round a b + c once, as a GPU does.
    backward : bool
        Let the last thread and block run first: what depends on the order comes out differently.
    """

    def __init__(
        self,
        dtype="float32",
        half_columns=False,
        *,
        source=None,
        sanitize=False,
        fused=False,
        backward=False,
    ):
        text = loader.source(loader.files(dtype)) if source is None else source
        self._signatures = loader.signatures(text, dtype, half_columns)
        options = (*OPTIONS, *(ROUNDED_ONCE if fused else ROUNDED_TWICE))
        options += loader.definitions(dtype, half_columns, THREADS)
        self._library = ctypes.CDLL(str(build(text, options + SANITIZER * sanitize)))
        self._backward = backward

    def each(self, name, n, *given, most=BLOCKS):
        """Run a kernel on n elements; n is its last argument."""
        if n:
            self.blocks(name, min(-(-n // THREADS), BLOCKS), *given, n)

    def tiles(self, name, rows, columns, *given):
        """Run a kernel that fills a matrix in tiles."""
        count = loader.tiles(name, rows, columns)
        self.blocks(name, count, *given, threads=loader.TILE_THREADS)

    def blocks(self, name, count, *given, threads=THREADS):
        """Run a kernel with so many blocks."""
        values = loader.arguments(name, self._signatures[name], given)
        run = getattr(self._library, f"cpu_{name}")
        line = run(count, threads, int(self._backward), *map(_as_c, values))
        if line:
            raise AssertionError(f"{name}: not all threads meet at the barrier in line {line}")


def cublaslt():
    """Return the path of the stand-in for cuBLASLt."""
    return build((HERE / "cublaslt.cpp").read_text(), (*OPTIONS[:1], "-O3", *OPTIONS[2:]))


def build(text, options):
    """Return the library of a source; it is kept, and built again only if something changes."""
    code = f'#include "{HERE / "shim.h"}"\n{text}\n#line 1 "wrappers"\n{_wrappers(text)}'
    inputs = code + (HERE / "shim.h").read_text() + " ".join(options)
    folder = Path(tempfile.gettempdir()) / f"minicnn-kernels-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    library = folder / f"{hashlib.sha256(inputs.encode()).hexdigest()[:16]}.so"
    if not library.exists():
        made = library.with_suffix(f".{os.getpid()}")
        command = [COMPILER, *options, "-x", "c++", "-", "-o", str(made)]
        subprocess.run(command, input=code, text=True, check=True, capture_output=True)
        made.rename(library)
    return library


def _wrappers(text):
    """Return a host function for each kernel, which launches it."""
    texts = re.split(loader.SIGNATURE, text)[1:]
    return "\n".join(
        f'extern "C" int cpu_{name}(unsigned blocks, unsigned threads, int order, {parameters})\n'
        f"{{ return cpu::launch(blocks, threads, {int(_has_barrier(body))}, order, "
        f"[=] {{ {name}({_names(parameters)}); }}); }}"
        for name, parameters, body in zip(texts[::3], texts[1::3], texts[2::3], strict=True)
    )


def _has_barrier(rest):
    body = rest.split("\n}")[0]  # what follows belongs to the next functions
    return any(word in body for word in ("block_sum(", "__syncthreads", "_tile<"))


def _names(parameters):
    return ", ".join(re.search(r"\w+$", part.strip())[0] for part in parameters.split(","))


def _as_c(value):
    if value is None:
        return ctypes.c_void_p(None)
    if isinstance(value, np.ndarray):
        return ctypes.c_void_p(value.ctypes.data)
    kinds = {"int32": ctypes.c_int, "uint32": ctypes.c_uint}
    kinds |= {"float32": ctypes.c_float, "float64": ctypes.c_double}
    return kinds[value.dtype.name](value)
