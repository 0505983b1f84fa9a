"""What a compiled evaluation runs on: kernels, matrix products, CUDA graphs."""

from contextlib import suppress
from functools import partial

import numpy as np

from minicnn.engine.gpu import cublaslt
from minicnn.engine.gpu.buffers import Buffers
from minicnn.errors import MinicnnError
from minicnn.kernels import loader

PRECISIONS = ("auto", "fp32", "tf32", "fp16")
FIRST_WITH_TF32 = 80  # compute capability times 10: Ampere
# Whether convolutions make no columns, see kernels/convolve.cu. Which way is faster has not been
# measured on a GPU yet; benchmarks/gpu.py times both, for every layer and as a whole.
IMPLICIT = False


class Cuda:
    """The current CUDA device: CuPy as `xp`, its `kernels`, see `kernels.loader.Module`.

    `precision`, one of `PRECISIONS`, is that of the factors of matrix products; sums are float32.
    auto takes tf32 where there is such a thing, as PyTorch does, else fp32; fp16 has as many bits
    as tf32 and half the bytes, and its columns are `half`. `implicit` convolutions make no columns:
    `convolve` is their kernel.
    """

    def __init__(self, precision="auto", implicit=None):
        import cupy

        self.xp = cupy
        new = int(cupy.cuda.Device().compute_capability) >= FIRST_WITH_TF32
        if precision == "tf32" and not new:
            raise MinicnnError(
                "tf32 needs a device of compute capability 8.0; use --precision fp32 or fp16"
            )
        self.half = precision == "fp16"
        self.kernels = loader.module("float32", self.half)
        self.implicit = IMPLICIT if implicit is None else implicit
        self._library, self._tf32 = cublaslt.load(), new and precision != "fp32"
        self.convolve = "convolve_by_tensor_cores" if self._tf32 or self.half else "convolve"

    def products(self, buffers):
        """Return the function that multiplies matrices, see `cublaslt.Products`."""

        def stream():
            return self.xp.cuda.get_current_stream().ptr

        def bias_relu(y, bias):
            self.kernels.each("bias_relu", y.size, y, bias, bias.size)

        given = {"tf32": self._tf32, "stream": stream, "bias_relu": bias_relu}
        return cublaslt.Products(self._library, buffers, **given)

    def captured(self, run):
        """See the function `captured`."""
        return captured(self.xp, run)

    def release(self):
        """Give memory that nothing uses back to the device."""
        self.xp.get_default_memory_pool().free_all_blocks()


def captured(cupy, run):
    """Return (a function that does what run() does, as one CUDA graph; "").

    Where it cannot be had that is (None, why). run() has been called before, so that everything in
    it is compiled. It must not allocate, nor wait for the device.
    """
    stream = cupy.cuda.Stream()  # in order with the default stream, unlike a non-blocking one
    with stream:
        stream.begin_capture()
        try:
            run()
            graph = stream.end_capture()
        except Exception as error:  # what cannot be captured is run step by step
            with suppress(Exception):  # CuPy reports once more that the capture has failed
                stream.end_capture()
            return None, f"{type(error).__name__}: {error}"
    return partial(graph.launch, stream), ""


def count_bytes(build):
    """Return how many bytes `build(buffers)` takes, without taking any."""
    buffers = Buffers()
    build(buffers)
    return buffers.bytes


def column_dtype(half):
    """Return the dtype of the columns."""
    return np.float16 if half else np.float32
