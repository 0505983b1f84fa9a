"""How many threads to use, and BLAS at one thread a worker while they do."""

import itertools
import os
import threading
import weakref
from contextlib import contextmanager
from functools import cache, partial
from queue import SimpleQueue

from threadpoolctl import ThreadpoolController

from minicnn.engine.cpu.scratch import Scratch
from minicnn.errors import MinicnnError

VARIABLE = "MINICNN_THREADS"
_here = threading.local()


def thread_count(wanted=None):
    """Return the number of worker threads: `wanted`, else $MINICNN_THREADS, else what we may use.

    That is the number of processors that this process may run on, less where a container's quota
    allows less. A number that is not between 1 and 256 is refused.
    """
    if wanted is None and os.environ.get(VARIABLE):
        wanted = os.environ[VARIABLE]
    if wanted is None:
        return max(1, min(_processors(), _quota()))
    if not str(wanted).isdigit() or not 1 <= int(wanted) <= 256:
        raise MinicnnError(f"threads must be a number from 1 to 256, not {wanted!r}")
    return int(wanted)


@contextmanager
def one_blas_thread():
    """Context, or decorator: every BLAS call of NumPy runs on the thread that makes it."""
    with _blas().limit(limits=1, user_api="blas"):
        yield


def blas_libraries():
    """Return what threadpoolctl knows of each loaded BLAS: [{"architecture": ..., ...}, ...]."""
    return _blas().select(user_api="blas").info()


class Crew:
    """Worker threads that are kept, with their scratch memory, from one evaluation to the next.

    There are `thread_count(wanted)`; the thread that gives the work is one of them.
    """

    def __init__(self, wanted=None):
        self.count = thread_count(wanted)
        self.scratches = [Scratch() for _ in range(self.count)]
        self._inboxes = [SimpleQueue() for _ in range(self.count - 1)]
        for inbox in self._inboxes:
            threading.Thread(target=_work, args=(inbox,), daemon=True).start()
        weakref.finalize(self, _dismiss, self._inboxes)

    @contextmanager
    def at_work(self):
        """Context in which the crew is `at_hand` in this thread, and BLAS uses no threads."""
        before, _here.crew = getattr(_here, "crew", None), self
        try:
            with one_blas_thread():
                yield
        finally:
            _here.crew = before

    def run(self, tasks, end=lambda: None):
        """Call every one of at most `count` functions, each in a thread; return when all have.

        The first exception that one of them has raised is raised here. After one in this thread,
        which a signal may raise anywhere, end() tells the others to end, and they are waited for.
        """
        done, sent, errors = SimpleQueue(), 0, []

        def gather():
            while len(errors) < sent:
                errors.append(done.get())

        before, _here.crew = getattr(_here, "crew", None), None  # the others are not free now
        try:
            for inbox, task in zip(self._inboxes, tasks[1:], strict=False):
                inbox.put((task, done))
                sent += 1
            tasks[0]()
            gather()
        except BaseException:
            end()
            gather()
            raise
        finally:
            _here.crew = before
        for error in errors:
            if error:
                raise error

    def map(self, function, items):
        """Return [function(item), ...]; whoever is free takes the next item."""
        items, results = list(items), {}
        numbers = iter(range(len(items)))  # its next is one step to other threads

        def work():
            for i in numbers:
                results[i] = function(items[i])

        self.run([work] * min(self.count, max(1, len(items))))
        return [results[i] for i in range(len(items))]

    def play(self, program):
        """Make the calls of a program, see `recorded_calls`, one stage after the other."""
        count = max((stage.workers for stage in program), default=1)
        meeting = _Meeting(count)
        tasks = [partial(_follow, program, worker, meeting) for worker in range(count)]
        self.run(tasks, meeting.end)


def at_hand():
    """Return the crew at work in this thread, or a crew of this thread alone."""
    if crew := getattr(_here, "crew", None):
        return crew
    if not hasattr(_here, "alone"):
        _here.alone = Crew(1)
    return _here.alone


def parallel_map(function, items):
    """Call `function` on every item, on the crew at work in this thread if there is one.

    The items must not depend on each other; NumPy's calls release the interpreter lock.
    """
    return at_hand().map(function, items)


class _Meeting:
    """Where workers wait until all have come: who comes last need not be woken."""

    def __init__(self, count):
        self.count, self.broken = count, False
        self._arrivals = itertools.count(1)  # its next is one step to other threads
        self._gates = [SimpleQueue() for _ in range(count)]

    def wait(self, worker):
        """Return when all have come: whether all can go on."""
        if next(self._arrivals) % self.count:
            self._gates[worker].get()
        else:
            for other, gate in enumerate(self._gates):
                if other != worker:
                    gate.put(None)
        return not self.broken

    def end(self):
        """Let all go, who shall not go on."""
        self.broken = True
        for gate in self._gates:
            gate.put(None)


def _follow(program, worker, meeting):
    """Make the calls of one worker, who meets the others where a stage has several workers."""
    before = None
    try:
        for stage in program:
            several = before and max(before.workers, stage.workers) > 1
            if several and not meeting.wait(worker):
                return
            stage.do(worker)
            before = stage
    except BaseException:
        meeting.end()
        raise


def _work(inbox):
    """Do what comes in, until there is nothing more to come."""
    for task, done in iter(inbox.get, None):
        try:
            task()
            done.put(None)
        except BaseException as error:
            done.put(error)
        del task, done


def _dismiss(inboxes):
    for inbox in inboxes:
        inbox.put(None)


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
