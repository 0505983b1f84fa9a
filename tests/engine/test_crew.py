"""A crew that plays a program: stages one after the other, errors, interruptions."""

import signal
import threading
import time

import pytest

from minicnn.engine.cpu import threads
from minicnn.engine.cpu.recorded_calls import SHARE_WORK, Calls, ProgramStage, beside
from minicnn.engine.cpu.threads import Crew

WORKERS = 3


@pytest.fixture
def crew():
    return Crew(WORKERS)


def program(*stages):
    """The stages of a program, from functions for the workers."""
    found = []
    for stage in stages:
        parts = [Calls() for _ in stage]
        for calls, function in zip(parts, stage, strict=True):
            calls.add(function)
        found.append(ProgramStage(parts, len(parts) * SHARE_WORK))
    return found


def test_parts_of_little_work_are_one_workers(crew):
    done = []
    parts = [Calls() for _ in range(WORKERS)]
    for i, calls in enumerate(parts):
        calls.add(lambda i=i: done.append((i, threading.get_ident())))
    crew.play([ProgramStage(parts, 2 * SHARE_WORK - 1)])
    assert done == [(i, threading.get_ident()) for i in range(WORKERS)]
    crew.play([beside(ProgramStage(parts, SHARE_WORK), ProgramStage(parts, SHARE_WORK))])
    workers = {i: {ident for j, ident in done[WORKERS:] if i == j} for i in range(WORKERS)}
    assert [len(some) for some in workers.values()] == [1] * WORKERS
    assert workers[0] == workers[2] != workers[1]


def test_no_stage_begins_before_the_last_one_is_done(crew):
    """Stages of one, two and three workers, each of whom may be late."""
    done = []

    def call(stage, worker):
        def function():
            time.sleep((stage * 7 + worker * 5) % 4 / 1000)
            done.append(stage)

        return function

    counts = [1, 3, 1, 1, 2, 3, 3, 1, 2]
    stages = [[call(s, w) for w in range(count)] for s, count in enumerate(counts)]
    for _ in range(5):
        done.clear()
        crew.play(program(*stages))
        assert done == [s for s, count in enumerate(counts) for _ in range(count)]


@pytest.mark.parametrize("late", range(WORKERS))
@pytest.mark.parametrize("failing", range(WORKERS))
def test_an_error_ends_the_program_and_not_the_crew(crew, failing, late):
    done = []

    def first(worker):
        def function():
            if worker == late:
                time.sleep(0.01)
            if worker == failing:
                raise MemoryError(f"of {worker}")

        return function

    def behind():
        done.append(threading.get_ident())

    workers = range(WORKERS)
    with pytest.raises(MemoryError, match=f"of {failing}"):
        crew.play(program([first(w) for w in workers], [behind] * WORKERS, [behind] * WORKERS))
    assert not done
    crew.play(program([behind] * WORKERS, [behind]))
    assert len(done) == WORKERS + 1
    assert len(set(done)) == WORKERS


@pytest.mark.parametrize("raising", ["_follow", "put"])
def test_a_signal_before_any_call(crew, raising, monkeypatch):
    """It may come at any line: when some workers have been sent their program, or all."""
    done, follow = [], threads._follow

    def interrupted(program, worker, meeting):
        if worker == 0:
            raise KeyboardInterrupt
        follow(program, worker, meeting)

    class Interrupted:
        def put(self, task):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if raising == "put":
            patch.setattr(crew, "_inboxes", [crew._inboxes[0], Interrupted()])
        else:
            patch.setattr(threads, "_follow", interrupted)
        with pytest.raises(KeyboardInterrupt):
            crew.play(program(*([lambda i=i: done.append(i)] * WORKERS for i in range(2))))
    assert 1 not in done
    done.clear()
    crew.play(program([lambda: done.append(2)] * WORKERS))
    assert done == [2] * WORKERS


def test_ctrl_c_while_the_others_work(crew):
    """The thread that gives the work waits for the others, and is interrupted."""
    done = []

    here = threading.get_ident()

    def long():
        time.sleep(0.2)
        done.append("long")

    def interrupting():
        time.sleep(0.1)
        signal.pthread_kill(here, signal.SIGINT)
        long()

    def behind():
        done.append("behind")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            crew.play(program([lambda: None, long, interrupting], [behind] * WORKERS))
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == ["long", "long"]
    crew.play(program([behind] * WORKERS))
    assert done[2:] == ["behind"] * WORKERS
