"""What `engine.gpu.cuda.Cuda` is, on the CPU: kernels by g++, products by NumPy, no graphs."""

from functools import cache

import numpy as np
from cuda_on_cpu.kernel_cases import as_tf32
from cuda_on_cpu.module import CpuModule

from minicnn.engine.gpu.ways import COLUMNS, Ways

module = cache(CpuModule)


class HostMachine:
    """A machine in this process.

    Parameters
    ----------
    precision : {"fp32", "tf32", "fp16"}
    memory : int, optional
        Bytes, beyond which an allocation fails.
    ways : tuple of str
        Those that convolutions may go.
    milliseconds : callable, optional
        How long a function takes, where there are several.
    """

    def __init__(self, precision="fp32", memory=None, ways=(COLUMNS,), milliseconds=None):
        self.half, self._tf32 = precision == "fp16", precision != "fp32"
        self.precision, self.ways, self._milliseconds = precision, ways, milliseconds
        self.kernels = module("float32", self.half)
        self.xp = LimitedNumpy(memory)
        self.captures = self.released = 0

    def products(self, buffers):
        return self._product

    def captured(self, run):
        self.captures += 1
        return None, "there are no graphs on a CPU"

    def known_ways(self):
        return Ways("a CPU", self._milliseconds)

    def release(self):
        self.released += 1
        self.xp.taken = 0

    def _product(self, a, b, out, *, transpose=(False, False), alpha=None, add=False, bias=None):
        assert a.dtype == b.dtype
        assert out.flags.c_contiguous
        a, b = (self._rounded(x.T if t else x) for x, t in zip((a, b), transpose, strict=True))
        y = a @ b * (1 if alpha is None else alpha[0])
        if add:
            y += out
        out[...] = y if bias is None else np.maximum(y + bias, 0)

    def _rounded(self, x):
        if x.dtype == np.float16 or not self._tf32:
            return x.astype(np.float32)
        return as_tf32(x)


class LimitedNumpy:
    """NumPy, with a limit on what `empty` gives away; what it gives is full of NaN."""

    def __init__(self, memory=None):
        self.memory, self.taken = memory, 0

    def __getattr__(self, name):
        return getattr(np, name)

    def empty(self, shape, dtype=np.float64):
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if self.memory is not None and self.taken + size > self.memory:
            raise MemoryError
        self.taken += size
        x = np.empty(shape, dtype)
        x.fill(np.nan if x.dtype.kind == "f" else 99)
        return x
