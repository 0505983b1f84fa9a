"""One function called by several workers at a time: processes where the system forks, else threads.

Threads that make short NumPy calls wait for each other at the interpreter lock: a scan with two
processes takes 0.84 to 0.98 of the time that it takes with two threads. A forked process sees what
its parent had, such as transformed filters, without a copy.
"""

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from minicnn.engine import heap
from minicnn.engine.cpu.threads import one_blas_thread
from minicnn.errors import MinicnnError
from minicnn.storage.interrupts import ENDING

FEWER = "use fewer workers: --threads 1"
_work = None  # in a worker process, what it does


class WorkerKilledError(MinicnnError):
    """A worker process ended before its work did."""


def can_fork():
    """Return whether workers can be processes: macOS forks too, but its libraries break then."""
    return sys.platform == "linux" and not multiprocessing.current_process().daemon


@contextmanager
def forking():
    """Context without the warning of locks of other threads: workers touch none of theirs."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*use of fork", DeprecationWarning)  # of Python 3.12
        yield


@contextmanager
def workers(work, count, *, processes):
    """Context in which `count` workers are there: yields submit(*args) -> Future of work(*args).

    With `processes` they are forked, see `can_fork`: arguments and results are pickled, `work` is
    not, and what it changes is changed in its process alone. Else they are threads. A system that
    lets no process start is told by submit; at the end of the context, `WorkerKilledError` is
    raised where a result was waited for that will not come.
    """
    if processes:
        pool = ProcessPoolExecutor(
            count, multiprocessing.get_context("fork"), initializer=_begin, initargs=(work,)
        )
        work = _call
    else:
        pool = ThreadPoolExecutor(count)

    def submit(*args):
        with forking():
            try:
                return pool.submit(work, *args)
            except OSError as error:
                raise MinicnnError(
                    f"cannot start {count} worker processes: {error.strerror}; {FEWER}"
                ) from None

    try:
        yield submit
    except BrokenProcessPool:
        raise WorkerKilledError(
            f"a worker process was killed, as systems do where memory runs out; {FEWER}"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def step_pool(threads):
    """Context with a pool of threads that make steps which are alike, as a training does.

    Each makes its own BLAS calls, and memory is `heap.reused`.
    """
    with one_blas_thread(), heap.reused(), ThreadPoolExecutor(threads) as pool:
        yield pool


def _begin(work):
    """Prepare a worker process, which lives as long as its parent."""
    global _work
    _work = work
    for number in ENDING:  # the parent has it too, and ends us, by SIGTERM where work is left
        ends = number == signal.SIGTERM
        signal.signal(number, signal.SIG_DFL if ends else signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()


def end_with(parent):
    """Wait for the end of the parent process, and end this one."""
    parent.join()
    os._exit(1)


def _call(*args):
    return _work(*args)
