"""Ctrl-C at a moment that suits us."""

import signal
import threading
from contextlib import contextmanager


@contextmanager
def interrupts_noted():
    """Collect Ctrl-C in a list instead of letting it break a half-made update."""
    noted = []
    if threading.current_thread() is not threading.main_thread():
        yield noted  # signals reach the main thread alone
        return
    before = signal.signal(signal.SIGINT, lambda *_: noted.append(True))
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)
