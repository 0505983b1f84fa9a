"""How large the columns of a convolution on the device may be, and what to do without memory.

Columns are made for a strip of output rows at a time. Large strips mean few launches, small ones
little memory; so the first answer to an error of memory is a quarter of the strip. Each run has
`Strips` of its own: what one of them has learnt does not change another.
"""

from contextlib import contextmanager
from contextvars import ContextVar

LARGEST, SMALLEST = 64 << 20, 1 << 20  # bytes
_bytes = ContextVar("strip_bytes", default=LARGEST)  # of what is being computed, in this thread


def strip_bytes():
    """Return about how many bytes the columns of a strip may take on the device."""
    return _bytes.get()


class Strips:
    """The strips of one run, of about `bytes`: as large as its memory has allowed so far."""

    def __init__(self, size=LARGEST):
        self.bytes = size

    @contextmanager
    def in_use(self):
        """Context in which `strip_bytes` returns `bytes`."""
        token = _bytes.set(self.bytes)
        try:
            yield
        finally:
            _bytes.reset(token)

    def fitted(self, compute, release=lambda: None):
        """Return compute(), with smaller strips from then on if memory does not suffice.

        compute() is begun again then, after release(), which gives unused memory back to the
        device. With the smallest strips, MemoryError is raised; CuPy's error is one.
        """
        while True:
            try:
                with self.in_use():
                    return compute()
            except MemoryError:
                if self.bytes <= SMALLEST:
                    raise
            self.bytes //= 4
            release()
