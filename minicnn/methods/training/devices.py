"""Where a training run computes: on threads of the CPU, or on CUDA devices.

On the CPU every group of a batch goes through the network on a thread of its own. On a device the
groups go one after the other, each kernel has work enough for all of it; the threads then prepare
the pictures of the next step while it computes. Several devices share the groups out: each has a
copy of the parameters, which is made anew before every step. The gradients come together on the
first one and are added there in the order of the groups, so the result does not depend on the
number of devices, where these are alike.
"""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np

from minicnn.backend import current, resolve_device, to_device
from minicnn.engine.cpu.conv2d import FastConvolution
from minicnn.engine.gpu.conv2d import DeviceConvolution
from minicnn.engine.gpu.cuda import Cuda
from minicnn.errors import MinicnnError
from minicnn.kernels import launch
from minicnn.kernels.strips import Strips


def place_of(settings, several=False):
    """Return the place that the settings name; `several` devices are one, where they may be.

    Raises
    ------
    MinicnnError
        If there is no such device.
    """
    device = resolve_device(settings.device, several)
    return OnThreads() if device == "cpu" else OnDevices(device, settings.precision)


class OnThreads:
    """The CPU; `convolution` is what a network is trained with, `frozen` for weights that stay."""

    device = "cpu"

    def __init__(self):
        self.convolution, self.frozen = FastConvolution(), FastConvolution(frozen=True)

    def mapping(self, pool):
        """Return what evaluates several batches of validation pictures, as `map`."""
        return pool.map

    def replicas(self, net, count):
        """Return a replica of the network for each of `count` groups, where it is computed."""
        return [net.replica() for _ in range(count)]

    def home(self, found):
        """Return arrays of a group, in dicts and tuples, where the parameters are."""
        return found

    def spread(self, net):
        """Give all replicas the parameters as they are now."""

    def results(self, pool, step, steps, count, prepare, compute):
        """Return [compute(g, ...)] for the groups g < count of a step, one of so many.

        Parameters
        ----------
        pool : Executor
        prepare : callable, (step, g) -> (x, ...) on the host: arrays, and what else is needed
        compute : callable, (g, x, ...) -> what is wanted
        """
        return list(pool.map(lambda g: compute(g, *prepare(step, g)), range(count)))


class OnDevices:
    """CUDA devices, "cuda" or "cuda:1,cuda:0"; the parameters are on the first one, `device`."""

    def __init__(self, devices, precision="auto"):
        if precision == "fp16":
            raise MinicnnError("training has no precision fp16; use auto, fp32 or tf32")
        self._devices = devices.split(",")
        self.device = self._devices[0]
        self.convolution = self.frozen = DeviceConvolution(Cuda(precision))
        self._ahead, self._copies = {}, {name: {} for name in self._devices[1:]}
        self._strips = {name: Strips() for name in self._devices}

    def mapping(self, pool):
        """Return `map`."""
        return map

    def replicas(self, net, count):
        """Return a replica for each group; those of another device share its copies."""
        found = [net.replica() for _ in range(count)]
        for g, replica in enumerate(found):
            if (device := self._of(g)) != self.device:
                replica.params = self._copies[device]
        return found

    def home(self, found):
        """Return the same as `OnThreads.home`."""
        if isinstance(found, dict):
            return {name: self.home(part) for name, part in found.items()}
        if isinstance(found, tuple):
            return tuple(map(self.home, found))
        return to_device(found, self.device)

    def spread(self, net):
        """Copy the parameters to the other devices."""
        for device, copies in self._copies.items():
            copies.update({name: to_device(array, device) for name, array in net.params.items()})

    def _of(self, g):
        """Return the device of a group."""
        return self._devices[g % len(self._devices)]

    def results(self, pool, step, steps, count, prepare, compute):
        """Return the same as `OnThreads.results`, of arrays on the group's device."""
        ready = self._ahead.pop(step, None) or self._begun(pool, step, count, prepare)
        self._ahead = {}
        if step + 1 < steps:
            self._ahead[step + 1] = self._begun(pool, step + 1, count, prepare)

        def share(device):
            with current(device):
                mine = [g for g in range(count) if self._of(g) == device]
                return {g: self._fitting(compute, g, ready[g].result(), device) for g in mine}

        others = self._devices[1:]
        with ThreadPoolExecutor(len(others) or 1) as threads:
            elsewhere = [threads.submit(share, device) for device in others]
            found = share(self.device)
            for one in elsewhere:
                found |= one.result()
        return [found[g] for g in range(count)]

    def _begun(self, pool, step, count, prepare):
        return [pool.submit(prepare, step, g) for g in range(count)]

    def _fitting(self, compute, g, prepared, device):
        """Return compute(...), begun again with smaller strips where memory does not suffice."""

        def attempt():
            return compute(g, *(self._there(part, device) for part in prepared))

        try:
            return self._strips[device].fitted(attempt, launch.release)
        except MemoryError:
            raise MinicnnError(
                f"not enough GPU memory for a group of {len(prepared[0])} pictures; use "
                "a smaller --group and --batch, a larger --gpu-memory, or --device cpu"
            ) from None

    def _there(self, part, device):
        """Return an array on a device; of a generator a copy, as an attempt more draws again."""
        return deepcopy(part) if isinstance(part, np.random.Generator) else to_device(part, device)
