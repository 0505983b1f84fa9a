"""Workers, threads and processes: results, errors, ends."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import pytest

from minicnn.engine.cpu.workers import WorkerKilledError, can_fork, workers
from minicnn.errors import MinicnnError

needs_fork = pytest.mark.skipif(not can_fork(), reason="workers are threads here")
KINDS = [False, pytest.param(True, marks=needs_fork)]


@pytest.mark.smoke
@pytest.mark.parametrize("processes", KINDS)
def test_results_come_in_order(processes):
    with workers(divmod, 3, processes=processes) as submit:
        assert [submit(n, 7).result() for n in range(30)] == [divmod(n, 7) for n in range(30)]


@needs_fork
def test_processes_see_what_there_was_without_pickling():
    seen = threading.Lock()  # cannot be pickled
    with workers(lambda: (seen.locked(), os.getpid()), 1, processes=True) as submit:
        locked, pid = submit().result()
    assert not locked
    assert pid != os.getpid()


@pytest.mark.parametrize("processes", KINDS)
def test_errors_are_raised_by_the_result(processes):
    def refuse(why):
        raise MinicnnError(why)

    with workers(refuse, 2, processes=processes) as submit, pytest.raises(MinicnnError, match="no"):
        submit("no").result()


@needs_fork
def test_a_killed_worker_is_told_in_one_line():
    with (
        pytest.raises(WorkerKilledError, match=r"was killed, .* --threads 1"),
        workers(lambda: os.kill(os.getpid(), signal.SIGKILL), 2, processes=True) as submit,
    ):
        submit().result()


@needs_fork
def test_processes_that_cannot_start_are_told_in_one_line(monkeypatch):
    def refuse():
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    with (
        pytest.raises(MinicnnError, match="cannot start 2 worker processes: Resource temporarily"),
        workers(divmod, 2, processes=True) as submit,
    ):
        submit(7, 2)


@needs_fork
def test_ctrl_c_is_the_parents():
    with workers(partial(signal.raise_signal, signal.SIGINT), 1, processes=True) as submit:
        assert submit().result() is None


@needs_fork
def test_workers_end_with_a_parent_that_is_killed():
    script = (
        "import os, sys, time\n"
        "from minicnn.engine.cpu.workers import workers\n"
        "with workers(os.getpid, 2, processes=True) as submit:\n"
        "    print(submit().result(), flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    assert _runs(child)
    parent.kill()
    parent.communicate()
    for _ in range(100):
        if not _runs(child):
            return
        time.sleep(0.1)
    pytest.fail("the worker lives on")


def _runs(pid):
    """Return whether the process is there, and not a zombie that nobody has waited for."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
