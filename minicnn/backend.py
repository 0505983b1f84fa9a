"""Arrays and where they live: NumPy on the host, CuPy on a CUDA device.

Every operation asks `array_module` for the library of the array that it was given, so the same
code runs on both. CuPy is never imported here unless a CuPy array or a CUDA device is asked for.
"""

import math
import os
import re
import sys
from contextlib import contextmanager, suppress
from functools import cache, partial

import numpy as np

from minicnn.errors import DeviceMemoryError, MinicnnError, one_line

CPU = "use --device cpu"
TOOLKIT = "install the extra cuda12-ctk or cuda13-ctk"
OLDEST = {12: 53, 13: 75}  # compute capability times 10, for each major version of CUDA
DEVICE_VARIABLE = "MINICNN_DEVICE"  # what "auto" means
MEMORY_VARIABLE = "CUPY_GPU_MEMORY_LIMIT"  # CuPy reads it when it first allocates on a device
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def array_module(x):
    """Return the array library (`numpy` or `cupy`) that `x` belongs to."""
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(x, cupy.ndarray):
        return cupy
    return np


def to_host(x):
    """Return `x` as a NumPy array; a NumPy array is returned as it is."""
    return x.get() if array_module(x) is not np else x


def host_buffer(like):
    """Return an array on the host for copies of arrays like `like`, which holds anything.

    Where `like` is on a device, its memory is pinned: the device reads and writes it by itself,
    without the detour through a buffer of the driver.
    """
    if array_module(like) is np:
        return np.empty(like.shape, like.dtype)
    import cupyx

    return cupyx.empty_pinned(like.shape, like.dtype)


def to_device(x, device):
    """Return `x` on `device`, "cpu" or "cuda" or "cuda:1".

    An unknown device, one that CuPy cannot use, or too little memory there is a `MinicnnError`.
    """
    if device == "cpu":
        return to_host(x)
    cupy, index = _cuda(device)
    with cupy.cuda.Device(index):
        try:
            return cupy.asarray(x)
        except cupy.cuda.memory.OutOfMemoryError:
            text = f"{device} has no memory for an array of {x.nbytes} bytes"
            raise DeviceMemoryError(text) from None


def all_finite(x):
    """Return True if no element is NaN or infinite; no array of flags is made."""
    xp = array_module(x)
    return math.isfinite(float(xp.min(x))) and math.isfinite(float(xp.max(x)))


def check_finite(x, what):
    """Raise `MinicnnError` if an element of what a network gives is NaN or infinite."""
    if not all_finite(x):
        raise MinicnnError(f"the {what} are NaN or infinite: the weights are too large; use others")


def resolve_device(name, several=False):
    """Turn "auto" into the best usable CUDA device, "cpu" if there is none; check any other name.

    The best is what $MINICNN_DEVICE says, else the newest one, of equals that with most free
    memory. A CUDA device becomes the current one: that on which CuPy makes new arrays; of `several`
    ("cuda:0,cuda:1"), where these may be, the first does.
    """
    if name == "auto":
        name = os.environ.get(DEVICE_VARIABLE) or _best_device()
    if name == "cpu":
        return name
    names = device_names(name) if several else [name]
    found = [_cuda(name) for name in names]
    cupy, index = found[0]
    cupy.cuda.Device(index).use()
    return name


def device_names(text):
    """Return the names in "cuda:0,cuda:1"; refuse what names no CUDA devices, or one twice."""
    names = text.split(",")
    numbers = [_number(name) for name in names]
    if len(set(numbers)) < len(numbers):
        raise MinicnnError(f"a device is named twice in {text!r}")
    return names


@contextmanager
def current(device):
    """Context in which a CUDA device ("cuda:1") is this thread's current one."""
    cupy, index = _cuda(device)
    with cupy.cuda.Device(index):
        yield


def current_number():
    """Return the number of this thread's current CUDA device; 0 without CuPy."""
    cupy = sys.modules.get("cupy")
    return 0 if cupy is None else cupy.cuda.runtime.getDevice()


def devices():
    """Return [{"name", "compute_capability", "memory", "free"}, ...] of the CUDA devices, in bytes.

    Where there is none that could be used, that is a `MinicnnError`.
    """
    cupy, _ = _cuda("cuda")
    return [_properties(cupy, i) for i in range(cupy.cuda.runtime.getDeviceCount())]


def limit_memory(limit):
    """Bound what CuPy takes of each device, see `memory_limit`; before the first array is there."""
    os.environ[MEMORY_VARIABLE] = memory_limit(limit)


def memory_limit(limit):
    """Return "8G", "500M" or "50%" as CuPy reads it, in bytes or as a share; refuse others."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMG%]?)B?", limit.strip().upper())
    number, unit = (float(found[1]), found[2]) if found else (0.0, "")
    if not number or (unit == "%" and number > 100):
        raise MinicnnError(f"no amount of GPU memory {limit!r}; write 8G, 500M or 50%")
    return f"{number:g}%" if unit == "%" else str(int(number * UNITS[unit]))


def seeded_rng(seed):
    """Return a NumPy generator: drawn on the host, random numbers are the same on every device."""
    return np.random.default_rng(seed)


def _best_device():
    found = []
    with suppress(MinicnnError):
        cupy, count = _library("cuda")
        for index in range(count):
            with suppress(MinicnnError):  # this one cannot be used
                _check(cupy, index)
                about = _properties(cupy, index)
                found.append((about["compute_capability"], about["free"], -index))
    if not found:
        return "cpu"
    index = -max(found)[-1]
    return f"cuda:{index}" if index else "cuda"


def _cuda(device):
    """Return (cupy, index of the device), everything checked that can be before work begins."""
    index = _number(device)
    cupy, count = _library(device)
    if index >= count:
        raise MinicnnError(f"no device {device!r}; this machine has {count} CUDA device(s)")
    _check(cupy, index)
    return cupy, index


def _number(device):
    """Return the number in the name of a CUDA device."""
    kind, _, index = device.partition(":")
    if kind != "cuda" or not (index == "" or index.isdigit()):
        several = "; several are for features, train and batch" if "," in device else ""
        raise MinicnnError(f"no device {device!r}; use auto, cpu, cuda, cuda:1, ...{several}")
    return int(index or 0)


def _library(device):
    """Return (cupy, number of devices)."""
    try:
        import cupy
    except ImportError as error:
        why = (
            ""
            if isinstance(error, ModuleNotFoundError)
            else f", which does not load: {one_line(error.__cause__ or error)}"
        )
        raise MinicnnError(f"device {device!r} needs CuPy{why}; {TOOLKIT}, or {CPU}") from None
    return cupy, _count(cupy, device)


@cache
def _count(cupy, device):
    """Return the number of devices, once the driver is known to suit."""
    runtime = cupy.cuda.runtime
    _check_driver(runtime)
    return _ask(runtime, device, runtime.getDeviceCount)


@cache  # arrays cross often; the answers do not change
def _check(cupy, index):
    """Refuse a device that cannot be used."""
    runtime, device = cupy.cuda.runtime, f"cuda:{index}" if index else "cuda"
    _check_age(runtime, device, _ask(runtime, device, partial(_properties, cupy, index)))
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:  # of several kinds, from a loader inside CuPy
        said = one_line(error, 200)
        raise MinicnnError(f"CuPy finds no CUDA libraries ({said}); {TOOLKIT}") from None


def _ask(runtime, device, question):
    """Return the answer of CUDA's run-time, or raise its error in our words."""
    try:
        return question()
    except runtime.CUDARuntimeError as error:
        text = str(error)
    if "NoDevice" in text:
        raise MinicnnError(f"no CUDA device is visible (see CUDA_VISIBLE_DEVICES); {CPU}")
    if "MemoryAllocation" in text:
        raise MinicnnError(f"{device} has no free memory left, not even to start; end what uses it")
    raise MinicnnError(f"{device} cannot be used ({text}); {CPU}")


def _check_driver(runtime):
    """Refuse a driver that is missing or too old for the CUDA that CuPy was built with."""
    driver, built = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    if not driver:
        raise MinicnnError(f"no CUDA driver; install the driver of the graphics card, or {CPU}")
    if driver // 1000 < built // 1000:
        older = (
            f"the extra cuda{driver // 1000}-ctk" if driver // 1000 in OLDEST else "--device cpu"
        )
        raise MinicnnError(
            f"the CUDA driver is too old: it knows CUDA {_version(driver)}, CuPy uses "
            f"{_version(built)}; update the driver, or use {older}"
        )


def _check_age(runtime, device, properties):
    major = runtime.runtimeGetVersion() // 1000
    oldest, found = OLDEST.get(major, max(OLDEST.values())), properties["compute_capability"]
    if found < oldest:
        way_out = "install the extra cuda12-ctk" if OLDEST[12] <= found else CPU
        raise MinicnnError(
            f"{device} ({properties['name']}, compute capability {found / 10}) is too old for CUDA "
            f"{major}, which begins at {oldest / 10}; {way_out}"
        )


def _properties(cupy, index):
    found = cupy.cuda.runtime.getDeviceProperties(index)
    with cupy.cuda.Device(index):
        free, memory = cupy.cuda.runtime.memGetInfo()
    return {
        "name": found["name"].decode(),
        "compute_capability": 10 * found["major"] + found["minor"],
        "memory": memory,
        "free": free,
    }


def _version(number):
    """Write 12040 as 12.4."""
    return f"{number // 1000}.{number % 1000 // 10}"
