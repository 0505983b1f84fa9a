"""Signals that end a run, Ctrl-C and those of the system, at a moment that suits what it writes."""

import signal
import threading
import time
from contextlib import contextmanager

# Ctrl-C; `kill`, a batch system, a shutdown; a terminal that closes (not on Windows)
NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
ENDING = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
INTERRUPTED = 130  # exit code by Ctrl-C; the command line makes it that of another signal
ONE_WISH = 1.0  # seconds: a signal so soon after another says the same again


class Signals:
    """A handler that raises `KeyboardInterrupt`, or while `held` takes notes in `numbers`."""

    def __init__(self):
        self.numbers, self.held, self.raised = [], False, -ONE_WISH

    def __call__(self, number, _frame):
        """Take a signal."""
        self.numbers.append(number)
        if not self.held and time.monotonic() - self.raised > ONE_WISH:
            self.end()

    def end(self):
        """End what is being done."""
        self.raised = time.monotonic()
        raise KeyboardInterrupt


@contextmanager
def signals():
    """Context in which the signals of `ENDING` go to one `Signals`, which it gives.

    Those that are ignored, as under `nohup`, or that the calling program handles stay as they are.
    """
    found = {number: signal.getsignal(number) for number in ENDING}
    ours = next((handler for handler in found.values() if isinstance(handler, Signals)), Signals())
    if threading.current_thread() is not threading.main_thread():
        yield ours  # signals reach the main thread alone
        return
    usual = (signal.default_int_handler, signal.SIG_DFL)
    for number in (number for number, handler in found.items() if handler in usual):
        signal.signal(number, ours)
    try:
        yield ours
    finally:
        for number, handler in found.items():
            if handler in usual:
                signal.signal(number, handler)


@contextmanager
def interrupts_noted():
    """Collect these signals in a list instead of letting them break what is half made."""
    with signals() as ours:
        held, ours.held = ours.held, True
        try:
            yield ours.numbers
        finally:
            ours.held = held


@contextmanager
def interrupts_raised():
    """Let these signals break this part of what `interrupts_noted` guards; a noted one does now."""
    with signals() as ours:
        held, ours.held = ours.held, False
        try:
            if held and ours.numbers:
                ours.end()
            yield
        finally:
            ours.held = held


class Breakable:
    """A function that these signals break, wherever it is called; its attributes are its own."""

    def __init__(self, fun):
        self.fun = fun

    def __call__(self, *args):
        """Call the function."""
        with interrupts_raised():
            return self.fun(*args)

    def __getattr__(self, name):
        return getattr(self.fun, name)
