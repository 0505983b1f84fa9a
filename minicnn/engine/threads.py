"""How many threads to use, and BLAS at one thread a worker while they do."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

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
    return threadpool_limits(limits=1, user_api="blas")


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


@contextmanager
def workers(wanted=None):
    """Context in which `parallel_map` of this thread uses `wanted` threads, BLAS one in each."""
    count = thread_count(wanted)
    with one_blas_thread(), ThreadPoolExecutor(count) as pool:
        before, _here.pool = getattr(_here, "pool", None), pool
        try:
            yield count
        finally:
            _here.pool = before


def parallel_map(function, items):
    """Call `function` on every item, on the threads of `workers` if this thread has any.

    The items must not depend on each other; NumPy's calls release the interpreter lock.
    """
    pool = getattr(_here, "pool", None)
    if pool is None:
        return [function(item) for item in items]
    return list(pool.map(function, items))
