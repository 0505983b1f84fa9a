"""How much memory the machine and a CUDA device have, this process has had, and a run will need."""

import math
import os
import re
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

from minicnn.backend import devices
from minicnn.errors import MinicnnError

try:
    import resource
except ImportError:  # Windows
    resource = None

ROOT = Path("/")
SPARE = 0.9  # share of the available memory that a run is allowed
# share of all outputs that one walk holds at least: by the formulas `deconv` held 0.53
# (SqueezeNet), 0.75 (minivgg) and 0.81 to 0.96 (VGG-16); the fast engine holds more
HELD = 0.4
# pattern of a controller in /proc/self/cgroup, its folder, and its files: limit, used, what can go
V2 = ("", "", "memory.max", "memory.current", "inactive_file")
V1 = ("(?:[a-z_,]+,)?memory[^:]*", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
      "total_inactive_file")  # fmt: skip


def peak():
    """Return the most bytes of memory that this process has had at a time, None if unknown.

    Where /proc tells it, that of this program alone: `ru_maxrss` also counts what the process was
    before it became this program.
    """
    found = _field("/proc/self/status", "VmHWM")
    if found is None and resource:
        unit = 1 if sys.platform == "darwin" else 1024
        found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return found


@contextmanager
def watched():
    """Context with a function that returns the most bytes so far, worker processes included.

    While there are some, a thread adds up ten times a second what this process and its children
    have resident, pages that they share once. Never less than `peak`; None if unknown.
    """
    most, ended = [0], threading.Event()

    def look():
        while not ended.wait(0.1):
            listed = (_text(path) for path in Path("/proc/self/task").glob("*/children"))
            if children := " ".join(listed).split():
                most[0] = max(most[0], sum(map(_proportional, [os.getpid(), *children])))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield lambda: max(most[0], peak() or 0) or None
    finally:
        ended.set()
        watcher.join()


def _proportional(number):
    """Return the bytes of a process's pages, each divided by how many processes have it."""
    return _field(f"/proc/{number}/smaps_rollup", "Pss") or 0


def available(root=ROOT):
    """Return how many bytes more this process can have, None if unknown.

    The least of what the machine has free, of what the container's limit leaves (cgroup 1 and 2),
    and of the process's own limit (`ulimit -v`).
    """
    limits = [_field(root / "proc/meminfo", "MemAvailable"), *_groups(root), _rlimit()]
    limits = [limit for limit in limits if limit is not None]
    return max(0, min(limits)) if limits else None


def _groups(root):
    """Yield what the limits of this process's groups leave, and of those above them."""
    own = _text(root / "proc/self/cgroup")
    for controller, top, limit, used, cache in (V2, V1):
        found = re.search(rf"^\d+:{controller}:/(.*)$", own, re.MULTILINE)
        below = Path(found[1] if found else "")
        for folder in (root / "sys/fs/cgroup" / top / group for group in (below, *below.parents)):
            most, taken = _text(folder / limit).strip(), _text(folder / used).strip()
            if most.isdigit() and taken.isdigit():  # else there is no such group, or "max"
                stat = _text(folder / "memory.stat")
                given_up = re.search(rf"^{cache} (\d+)$", stat, re.MULTILINE)
                yield int(most) - int(taken) + (int(given_up[1]) if given_up else 0)


def _rlimit():
    size = _field("/proc/self/status", "VmSize")
    soft = resource.getrlimit(resource.RLIMIT_AS)[0] if resource and size else None
    return None if soft in (None, resource.RLIM_INFINITY) else soft - size


def _field(path, name):
    """Return a line "name: 12 kB" of a file of /proc in bytes."""
    found = re.search(rf"^{name}:\s+(\d+) kB", _text(path), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _text(path):
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def device_peak():
    """Return how many bytes CuPy's pool has taken of the current device, None without CuPy.

    The pool keeps what was given back to it, so this is the most that was in use at a time. The
    driver's own share, some hundred megabytes for a process, comes on top.
    """
    cupy = sys.modules.get("cupy")
    return None if cupy is None else cupy.get_default_memory_pool().total_bytes()


def device_available(device):
    """Return how many bytes of `device`, as "cuda:1", a process can have: free, within the pool.

    Of several, "cuda:0,cuda:1", those of the first: the others need no more.
    """
    import cupy

    first = device.partition(",")[0]
    free = devices()[int(first.partition(":")[2] or 0)]["free"]
    limit = cupy.get_default_memory_pool().get_limit()  # 0 where there is none
    return min(free, limit) if limit else free


def outputs(net, shape, taps=None):
    """Return the bytes of the outputs of all layers up to `taps` for pictures of (N, C, H, W)."""
    found = net.shapes(tuple(shape[1:]), taps)
    return net.dtype.itemsize * shape[0] * sum(map(math.prod, found.values()))


def refuse_walk(net, shape, taps, cure):
    """Raise `MinicnnError` before a walk of pictures (N, C, H, W) that will not fit."""
    refuse_lack(HELD * outputs(net, shape, taps), cure)


def refuse_lack(need, cure):
    """Raise `MinicnnError` before a run that needs so many bytes, where there are fewer."""
    room = available()
    if room is not None and need > SPARE * room:
        raise MinicnnError(
            f"the run needs about {spelled(need)} of memory and there are {spelled(room)}; {cure}"
        )


def spelled(number):
    """Write a number of bytes for people.

    >>> spelled(3 * 2**30), spelled(250 * 2**20)
    ('3.0 GiB', '250 MiB')
    """
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"
