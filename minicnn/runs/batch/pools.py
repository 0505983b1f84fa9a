"""Who does the rows of a batch: this process, some processes of this machine, a Dask cluster.

Each is a generator of records (see `work`), in the order in which rows are done. Ctrl-C or SIGTERM
comes to the rows that are being made, which keep their best picture; then it ends.
"""

import multiprocessing
import os
import threading
from contextlib import suppress
from multiprocessing.connection import wait

from minicnn.backend import DEVICE_VARIABLE
from minicnn.engine.cpu import threads, workers
from minicnn.runs.batch import work
from minicnn.storage.interrupts import signals

PATIENCE = 60  # seconds for a process to save its picture


def alone(rows, do):
    """Do rows one after the other, here."""
    for row in rows:
        record = do(row)
        yield record
        if record["status"] == work.STOPPED:
            return


def processes(rows, do, count, devices=("auto",)):
    """Do rows in `count` processes at a time, which share out the threads of this one.

    For rows that name no device, each process has one of the `devices`, or all have the same. This
    process asks none of them: what is forked from one that has could not use them.
    A row whose process is killed has failed; another process goes on with the rest.
    """
    method = "fork" if workers.can_fork() else "spawn"
    context = multiprocessing.get_context(method)
    share = max(1, threads.thread_count() // count)
    todo, busy = list(rows)[::-1], {}  # connection -> (process, row)
    free = [devices[i % len(devices)] for i in range(count)]
    used = {}  # process -> its device

    def start():
        here, there = context.Pipe()
        device = free.pop(0)
        process = context.Process(target=_serve, args=(there, do, share, device), daemon=True)
        used[process] = device
        with workers.forking():
            process.start()
        there.close()
        return here, process

    def give(connection, process):
        if not todo:
            connection.send(None)  # closing is not enough: a forked sister has this end too
            connection.close()
            return
        row = todo.pop()
        busy[connection] = process, row
        with suppress(OSError):  # it was killed already: told where its answer is read
            connection.send(row)

    try:
        for _ in range(min(count, len(todo))):
            give(*start())
        while busy:
            try:
                ready = wait(list(busy))
            except KeyboardInterrupt:
                todo.clear()
                for process, _ in busy.values():
                    process.terminate()  # SIGTERM, which it takes as this one
                continue
            for connection in ready:
                process, row = busy.pop(connection)
                try:
                    record, alive = connection.recv(), True
                except (EOFError, OSError):
                    record, alive = work.killed(row), False
                yield record
                if record["status"] == work.STOPPED:
                    todo.clear()
                if alive:
                    give(connection, process)
                else:
                    connection.close()
                    process.join()
                    free.append(used.pop(process))
                    if todo:
                        give(*start())
    finally:
        for process, _ in busy.values():  # interrupted elsewhere than in `wait`
            process.terminate()
        for connection, (process, _) in busy.items():
            process.join(PATIENCE)
            process.kill()
            connection.close()


def _serve(connection, do, share, device):
    """Do the rows that come through a connection, until it is closed."""
    os.environ[threads.VARIABLE] = str(share)
    if device != "auto":
        os.environ[DEVICE_VARIABLE] = device
    parent = multiprocessing.parent_process()
    threading.Thread(target=workers.end_with, args=(parent,), daemon=True).start()
    with signals(), suppress(EOFError, OSError, KeyboardInterrupt):
        for row in iter(connection.recv, None):
            connection.send(do(row))
