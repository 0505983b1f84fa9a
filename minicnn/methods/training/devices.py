"""Where a training run computes: on threads of the CPU, or on a CUDA device.

On the CPU every group of a batch goes through the network on a thread of its own. On a device the
groups go one after the other, each kernel has work enough for all of it; the threads then prepare
the pictures of the next step while it computes.
"""

from copy import deepcopy

import numpy as np

from minicnn.backend import resolve_device, to_device
from minicnn.engine.cpu.conv2d import FastConvolution
from minicnn.engine.gpu.conv2d import DeviceConvolution
from minicnn.engine.gpu.cuda import Cuda
from minicnn.errors import MinicnnError
from minicnn.kernels import launch
from minicnn.kernels.strips import Strips


def place_of(settings):
    """Return the place that the settings name.

    Raises
    ------
    MinicnnError
        If there is no such device.
    """
    device = resolve_device(settings.device)
    return OnThreads() if device == "cpu" else OnDevice(device, settings.precision)


class OnThreads:
    """The CPU; `convolution` is what a network is trained with, `frozen` for weights that stay."""

    device = "cpu"

    def __init__(self):
        self.convolution, self.frozen = FastConvolution(), FastConvolution(frozen=True)

    def mapping(self, pool):
        """Return what evaluates several batches of validation pictures, as `map`."""
        return pool.map

    def results(self, pool, step, steps, count, prepare, compute):
        """Return [compute(g, ...)] for the groups g < count of a step, one of so many.

        Parameters
        ----------
        pool : Executor
        prepare : callable, (step, g) -> (x, ...) on the host: arrays, and what else is needed
        compute : callable, (g, x, ...) -> what is wanted
        """
        return list(pool.map(lambda g: compute(g, *prepare(step, g)), range(count)))


class OnDevice:
    """A CUDA device, "cuda" or "cuda:1"."""

    def __init__(self, device, precision="auto"):
        if precision == "fp16":
            raise MinicnnError("training has no precision fp16; use auto, fp32 or tf32")
        self.device = device
        self.convolution = self.frozen = DeviceConvolution(Cuda(precision))
        self._ahead, self._strips = {}, Strips()

    def mapping(self, pool):
        """Return `map`."""
        return map

    def results(self, pool, step, steps, count, prepare, compute):
        """Return the same as `OnThreads.results`, of arrays on the device."""
        ready = self._ahead.pop(step, None) or self._begun(pool, step, count, prepare)
        self._ahead = {}
        if step + 1 < steps:
            self._ahead[step + 1] = self._begun(pool, step + 1, count, prepare)
        found = []
        for g, group in enumerate(ready):
            found.append(self._fitting(compute, g, group.result()))
        return found

    def _begun(self, pool, step, count, prepare):
        return [pool.submit(prepare, step, g) for g in range(count)]

    def _fitting(self, compute, g, prepared):
        """Return compute(...), begun again with smaller strips where memory does not suffice."""

        def attempt():
            return compute(g, *map(self._there, prepared))

        try:
            return self._strips.fitted(attempt, launch.release)
        except MemoryError:
            raise MinicnnError(
                f"not enough GPU memory for a group of {len(prepared[0])} pictures; use "
                "a smaller --group and --batch, a larger --gpu-memory, or --device cpu"
            ) from None

    def _there(self, part):
        """Return an array on the device; of a generator a copy, as an attempt more draws again."""
        return to_device(part, self.device) if isinstance(part, np.ndarray) else deepcopy(part)
