"""The CUDA sources of this folder: compiled by CuPy when first used, called with checked arguments.

    module("float32").each("im2col", cols.size, x, cols, H, W, ...)

A kernel trusts its arguments, so `arguments` compares them with the signature in the source: a
float64 array for a `const float*`, or a Python float, which CuPy would hand over as a double, would
be read as garbage. An array of 2^31 elements or more is refused: indices are 32 bits wide.
"""

import math
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minicnn.errors import MinicnnError

OPERATIONS = ("common.cuh", "im2col.cu", "pooling.cu", "sums.cu")
FILES = (*OPERATIONS, "plan.cu", "tensor_cores.cuh", "convolve.cu")
THREADS = 256  # in a block
SUM_BLOCKS = 512  # of a kernel that sums: fixed, so that the order of the sum is
MOST_BLOCKS = 1 << 20
PACK = 16  # bytes that are read at once: they begin at a multiple of so many
RUN = 8  # pixels that a thread of `windows` goes along
TILE_THREADS = 128  # in a block of convolve.cu
TILES = {"convolve": (128, 128), "convolve_narrow": (128, 64)}  # results (rows, columns) of a block
REAL = {"float32": "float", "float64": "double"}
C_TYPES = {
    "float": np.float32,
    "double": np.float64,
    "int": np.int32,
    "unsigned": np.uint32,
    "unsigned char": np.uint8,
    "unsigned long long": np.uint64,
}
SIGNATURE = re.compile(r"^KERNEL\s+(\w+)\s*\(([^)]*)\)", re.MULTILINE)


class Parameter(NamedTuple):
    """A parameter of a kernel: name, dtype, and whether it is a pointer."""

    name: str
    dtype: type
    pointer: bool


def files(dtype):
    """Return the names of the sources that are compiled for a dtype: plans are float32."""
    return FILES if dtype == "float32" else OPERATIONS


def source(files=FILES):
    """Return the kernels as one source; compilers name the file and line of an error in it."""
    folder = Path(__file__).parent
    return "\n".join(f'#line 1 "{name}"\n{(folder / name).read_text()}' for name in files)


def definitions(dtype, half_columns=False, threads=THREADS):
    """Return the compiler options that choose `real` and the type of the columns."""
    options = (f"-DREAL={REAL[dtype]}", f"-DTHREADS={threads}", f"-DRUN={RUN}")
    return (*options, "-DHALF_COLUMNS") if half_columns else options


def signatures(text, dtype, half_columns=False):
    """Return {kernel: [Parameter, ...]} of a source compiled with `definitions`."""
    types = C_TYPES | {"real": C_TYPES[REAL[dtype]]}
    types["column"] = np.float16 if half_columns else np.float32
    return {
        name: [_parameter(declaration, types) for declaration in parameters.split(",")]
        for name, parameters in SIGNATURE.findall(text)
    }


def arguments(name, parameters, given):
    """Return `given` as the kernel takes it: arrays as they are, numbers in the parameter's type.

    None stands for a pointer to nothing. What does not fit is a TypeError: an error of ours, not of
    the user, who is told that an array is too large.
    """
    if len(given) != len(parameters):
        raise TypeError(f"{name} takes {len(parameters)} arguments, got {len(given)}")
    return [_argument(name, *pair) for pair in zip(parameters, given, strict=True)]


def address(x):
    """Return where an array lies, None for no array."""
    if x is None:
        return None
    return x.ctypes.data if isinstance(x, np.ndarray) else x.data.ptr


def lanes(channels, *arrays):
    """Return how many neighbouring channels a thread does: 4, or 1 if they are not read at once.

    The arrays have their channels last.
    """
    return 1 if channels % 4 or any(address(x) % PACK for x in arrays) else 4


def tiles(name, rows, columns):
    """Return how many tiles a kernel makes of a matrix."""
    return math.prod(-(-n // size) for n, size in zip((rows, columns), TILES[name], strict=True))


class Module:
    """The kernels, compiled by CuPy for each device on which they are first called."""

    def __init__(self, dtype="float32", half_columns=False):
        import cupy

        text = source(files(dtype))
        self._signatures = signatures(text, dtype, half_columns)
        options = ("-std=c++17", *definitions(dtype, half_columns))
        self._code, self._functions = cupy.RawModule(code=text, options=options), {}
        self._device = cupy.cuda.runtime.getDevice

    def each(self, name, n, *given, most=MOST_BLOCKS):
        """Run a kernel on n elements, with `most` blocks at most; n is its last argument."""
        if n:
            self.blocks(name, min(-(-n // THREADS), most), *given, n)

    def tiles(self, name, rows, columns, *given):
        """Run a kernel that fills a matrix of so many rows and columns in `TILES`."""
        self.blocks(name, tiles(name, rows, columns), *given, threads=TILE_THREADS)

    def blocks(self, name, count, *given, threads=THREADS):
        """Run a kernel with so many blocks."""
        values = arguments(name, self._signatures[name], given)
        values = [np.uint64(0) if value is None else value for value in values]
        key = (self._device(), name)
        if key not in self._functions:
            self._functions[key] = self._code.get_function(name)
        self._functions[key]((count,), (threads,), tuple(values))


@cache
def module(dtype, half_columns=False):
    """Return the kernels for a dtype: one instance, which CuPy also caches on disk."""
    return Module(dtype, half_columns)


def _parameter(declaration, types):
    *kind, name = declaration.replace("*", " * ").split()
    words = [word for word in kind if word not in ("const", "*", "__restrict__")]
    return Parameter(name, types[" ".join(words)], "*" in kind)


def _argument(name, parameter, value):
    if not parameter.pointer:
        return parameter.dtype(value)
    if value is None:
        return None
    if value.dtype != parameter.dtype or not value.flags.c_contiguous:
        raise TypeError(f"{name}: {parameter.name} is {value.dtype}, or not contiguous")
    if value.size >= 1 << 31:
        raise MinicnnError(
            f"an array of {value.size} elements is too large for the GPU; use a smaller size"
        )
    return value
