"""How many threads to use, and BLAS at one thread a worker while they do."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController

from minicnn.errors import MinicnnError

VARIABLE = "MINICNN_THREADS"
_here = threading.local()


def thread_count(wanted=None):
    """Return the number of worker threads: `wanted`, else $MINICNN_THREADS, else what we may use.

    That is the number of processors that this process may run on, less where a container's quota
    allows less.

    Raises
    ------
    MinicnnError
        If the number is not between 1 and 256.
    """
    if wanted is None and os.environ.get(VARIABLE):
        wanted = os.environ[VARIABLE]
    if wanted is None:
        return max(1, min(_processors(), _quota()))
    if not str(wanted).isdigit() or not 1 <= int(wanted) <= 256:
        raise MinicnnError(f"threads must be a number from 1 to 256, not {wanted!r}")
    return int(wanted)


def one_blas_thread():
    """Context in which every BLAS call runs on the thread that makes it; undone afterwards."""
    return _blas().limit(limits=1, user_api="blas")


class Crew:
    """Worker threads that are kept, with their scratch memory, from one evaluation to the next.

    Parameters
    ----------
    wanted : int, optional
        See `thread_count`.
    """

    def __init__(self, wanted=None):
        self.count = thread_count(wanted)
        self._pool = ThreadPoolExecutor(self.count) if self.count > 1 else None

    @contextmanager
    def at_work(self):
        """Context in which `parallel_map` of this thread uses the crew, and BLAS no threads."""
        before, _here.pool = getattr(_here, "pool", None), self._pool
        try:
            with one_blas_thread():
                yield
        finally:
            _here.pool = before


def parallel_map(function, items):
    """Call `function` on every item, on the crew at work in this thread if there is one.

    The items must not depend on each other; NumPy's calls release the interpreter lock.
    """
    pool = getattr(_here, "pool", None)
    return list((pool.map if pool else map)(function, items))


@cache
def _blas():
    return ThreadpoolController()  # looks through all loaded libraries: once is enough


def _processors():
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS, Windows
        return os.cpu_count() or 1


def _quota():
    """Processors that the container's quota (cgroup 2) allows, rounded up."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
    except (OSError, ValueError):
        return 256
    return 256 if quota == "max" else max(1, -(-int(quota) // int(period)))
