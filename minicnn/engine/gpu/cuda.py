"""What a compiled evaluation runs on: kernels, matrix products, CUDA graphs."""

import hashlib
from contextlib import suppress
from functools import partial

import numpy as np

from minicnn.engine.gpu import cublaslt
from minicnn.engine.gpu.buffers import Buffers
from minicnn.engine.gpu.ways import COLUMNS, WAYS, Ways
from minicnn.errors import MinicnnError
from minicnn.kernels import loader

PRECISIONS = ("auto", "fp32", "tf32", "fp16")
FIRST_WITH_TF32 = 80  # compute capability times 10: Ampere
FIRST_WITH_TILES = 75  # Turing: kernels/convolve.cu in fp16
ALLOWED = WAYS  # those that convolutions may go where nothing else is said
TRIES, LAUNCHES = 3, 4  # of what is timed


class Cuda:
    """The current CUDA device: CuPy as `xp`, its `kernels`, see `kernels.loader.Module`.

    `precision`, one of `PRECISIONS`, is that of the factors of matrix products; sums are float32.
    auto takes tf32 where there is such a thing, as PyTorch does, else fp32; fp16 has as many bits
    as tf32 and half the bytes, and its columns are `half`. `ways` are those that convolutions may
    go, see the module `ways`; the fastest are chosen.
    """

    def __init__(self, precision="auto", ways=None):
        import cupy

        self.xp = cupy
        capability = int(cupy.cuda.Device().compute_capability)
        new = capability >= FIRST_WITH_TF32
        if precision == "tf32" and not new:
            raise MinicnnError(
                "tf32 needs a device of compute capability 8.0; use --precision fp32 or fp16"
            )
        self.half = precision == "fp16"
        self.kernels = loader.module("float32", self.half)
        self._library, self._tf32 = cublaslt.load(), new and precision != "fp32"
        tensor = {"auto": "tf32" if new else "fp32"}
        self.precision = tensor.get(precision, precision)
        self.ways = (ways or ALLOWED) if capability >= FIRST_WITH_TILES else (COLUMNS,)

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

    def known_ways(self):
        """Return the `ways.Ways` of the device."""
        runtime, device = self.xp.cuda.runtime, self.xp.cuda.Device().id
        name = runtime.getDeviceProperties(device)["name"].decode()
        kernels = hashlib.sha256(loader.source().encode()).hexdigest()[:8]
        told = f"{name}, CUDA {runtime.runtimeGetVersion()}, kernels {kernels}"
        return Ways(told, self.milliseconds)

    def milliseconds(self, work):
        """Return how long work() takes on the device, as a graph if it can be one."""
        work()
        launch = self.captured(work)[0] or work
        event, times = self.xp.cuda.Event, []
        for _ in range(TRIES):
            start, end = event(), event()
            start.record()
            for _ in range(LAUNCHES):
                launch()
            end.record()
            end.synchronize()
            times.append(self.xp.cuda.get_elapsed_time(start, end) / LAUNCHES)
        return min(times)

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
