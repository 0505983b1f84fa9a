"""How much memory there is, and how much this process has had."""

import os
import re
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

ROOT = Path("/")


def peak():
    """Return the most bytes of memory that this process has had at a time, None if unknown.

    Where /proc tells it, that of this program alone: `ru_maxrss` also counts what the process was
    before it became this program.
    """
    found = _status("VmHWM")
    if found is None:
        try:
            import resource
        except ImportError:  # Windows
            return None
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
        while True:
            if children := _children():
                most[0] = max(most[0], sum(map(_proportional, [os.getpid(), *children])))
            if ended.wait(0.1):
                return

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield lambda: max(most[0], peak() or 0) or None
    finally:
        ended.set()
        watcher.join()


def _children():
    """Return the numbers of the processes that this one has started, where /proc tells."""
    found = [_text(path) for path in Path("/proc/self/task").glob("*/children")]
    return [int(number) for number in " ".join(found).split()]


def _proportional(number):
    """Return the bytes of a process's pages, each divided by how many processes have it."""
    return _field(Path(f"/proc/{number}/smaps_rollup"), "Pss") or 0


def available(root=ROOT):
    """Return how many bytes more this process can have, None if unknown.

    The least of what the machine has free, of what the container's limit leaves (cgroup 1 and 2),
    and of the process's own limit (`ulimit -v`).
    """
    limits = [_free(root), *_cgroup_2(root), *_cgroup_1(root), _rlimit()]
    limits = [limit for limit in limits if limit is not None]
    return max(0, min(limits)) if limits else None


def _free(root):
    return _field(root / "proc/meminfo", "MemAvailable")


def _status(name):
    return _field(Path("/proc/self/status"), name)


def _field(path, name):
    """Return a line "name: 12 kB" of a file of /proc in bytes."""
    found = re.search(rf"^{name}:\s+(\d+) kB", _text(path), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _text(path):
    try:
        return path.read_text()
    except OSError:
        return ""


def _groups(root, controller):
    """Yield the folders of this process's group and of those above it."""
    found = re.search(rf"^\d+:{controller}:(/.*)$", _text(root / "proc/self/cgroup"), re.MULTILINE)
    below = Path(found[1]) if found else Path("/")
    for group in (below, *below.parents):
        yield group.relative_to("/")


def _cgroup_2(root):
    top = root / "sys/fs/cgroup"
    names = ("memory.max", "memory.current", "inactive_file")
    return [_left(top / group, *names) for group in _groups(root, "")]


def _cgroup_1(root):
    top = root / "sys/fs/cgroup/memory"
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    return [_left(top / group, *names) for group in _groups(root, "(?:[a-z_,]+,)?memory[^:]*")]


def _left(folder, limit, usage, cache):
    """Return the limit of a group minus what is used, file pages that can be given up aside."""
    limit, used = _text(folder / limit).strip(), _text(folder / usage).strip()
    if not limit.isdigit() or not used.isdigit():
        return None  # there is no such group, or "max"
    given_up = re.search(rf"^{cache} (\d+)$", _text(folder / "memory.stat"), re.MULTILINE)
    return int(limit) - int(used) + (int(given_up[1]) if given_up else 0)


def _rlimit():
    try:
        import resource
    except ImportError:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    size = _status("VmSize")
    if soft == resource.RLIM_INFINITY or size is None:
        return None
    return soft - size


def spelled(number):
    """Write a number of bytes for people.

    >>> spelled(3 * 2**30), spelled(250 * 2**20)
    ('3.0 GiB', '250 MiB')
    """
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"
