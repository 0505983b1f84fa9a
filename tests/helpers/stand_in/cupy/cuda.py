"""Devices, memory, streams and graphs of the stand-in.

`cards` are the devices, `pool` is their memory; a test changes them and puts them back by `reset`.
"""

import threading
from types import SimpleNamespace

H200 = {"name": b"NVIDIA H200", "major": 9, "minor": 0}
ROOM = 141 << 30
STREAM = 0x57  # the address of the default stream, as the stand-in for cuBLASLt wants it

cards = []
_own = threading.local()  # current device and capture of a thread


class CUDARuntimeError(RuntimeError):
    """An error of CUDA's run-time."""


class OutOfMemoryError(MemoryError):
    """No memory on the device."""


for _error, _module in ((CUDARuntimeError, "runtime"), (OutOfMemoryError, "memory")):
    _error.__module__ = f"cupy.cuda.{_module}"


def current():
    """Return the number of this thread's device."""
    return getattr(_own, "device", 0)


class Device:
    """A device: as a context, or by `use`, the current one."""

    def __init__(self, id=None):
        self.id = current() if id is None else id
        if self.id >= len(cards):
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")

    @property
    def compute_capability(self):
        card = cards[self.id]
        return f"{card['major']}{card['minor']}"

    def use(self):
        _own.device = self.id

    def __enter__(self):
        _own.before = [*getattr(_own, "before", ()), current()]
        self.use()
        return self

    def __exit__(self, *error):
        _own.device = _own.before.pop()

    def __eq__(self, other):
        return self.id == other.id

    def __repr__(self):
        return f"<CUDA Device {self.id}>"


class Pointer:
    """Where an array begins."""

    def __init__(self, ptr):
        self.ptr = ptr


class Pool:
    """The memory of all devices. `failing`: numbers of the allocations that fail, from 1 on."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.used, self.most, self.limit = 0, 0, 0
        self.count, self.failing = 0, ()

    def free_all_blocks(self):
        self.most = self.used

    def total_bytes(self):
        return self.most

    def used_bytes(self):
        return self.used

    def get_limit(self):
        return self.limit

    def set_limit(self, size=None, fraction=None):
        self.limit = size


pool = Pool()


class Block:
    """Memory of the current device, which is given back with the last array in it."""

    def __init__(self, size):
        self.device, self.size = current(), 0
        _refuse_in_capture()
        pool.count += 1
        if pool.count in pool.failing or (pool.limit and pool.used + size > pool.limit):
            raise OutOfMemoryError(f"Out of memory allocating {size} bytes")
        self.size = size
        pool.used += size
        pool.most = max(pool.most, pool.used)

    def __del__(self):
        pool.used -= self.size


class Stream:
    """The one stream there is. What is launched in a capture is kept, and not done."""

    ptr = STREAM

    def __init__(self, *args, **options):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def begin_capture(self):
        _own.captured = []

    def end_capture(self):
        found, _own.captured = getattr(_own, "captured", None), None
        if found is None:
            raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated")
        return Graph(found)

    def synchronize(self):
        wait()


class Graph:
    """What was captured."""

    def __init__(self, steps):
        self.steps = steps

    def launch(self, stream=None):
        for step in self.steps:
            step()


class Event:
    """A moment."""

    def record(self, stream=None):
        pass

    def synchronize(self):
        wait()


def captured(step):
    """Keep a step where the thread captures; return whether it does."""
    steps = getattr(_own, "captured", None)
    if steps is not None:
        steps.append(step)
    return steps is not None


def launch(step):
    """Do a step, or keep it where the thread captures."""
    captured(step) or step()


def wait():
    """Wait for the device, which a capture does not bear."""
    _refuse_in_capture()


def _refuse_in_capture():
    if getattr(_own, "captured", None) is not None:
        _own.captured = None
        raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: not permitted in a capture")


def get_current_stream():
    return Stream()


def get_elapsed_time(start, end):
    return 1.0


def reset(count=2):
    """Make `count` equal devices with all memory free, the first one current in this thread."""
    cards[:] = [H200] * count
    pool.reset()
    _own.device, _own.captured = 0, None


memory = SimpleNamespace(OutOfMemoryError=OutOfMemoryError)
nvrtc = SimpleNamespace(getVersion=lambda: (13, 0))
runtime = SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError,
    driverGetVersion=lambda: 13000,
    runtimeGetVersion=lambda: 13000,
    getDevice=current,
    getDeviceCount=lambda: len(cards),
    getDeviceProperties=lambda index: cards[index],
    memGetInfo=lambda: (ROOM, ROOM),
    deviceSynchronize=wait,
)
reset()
