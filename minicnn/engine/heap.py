"""What glibc keeps of the memory that arrays have had, instead of giving it back to the system.

Elsewhere than on glibc nothing is done here.
"""

import ctypes
from contextlib import contextmanager, suppress

# of mallopt: from how many bytes on an array has pages of its own, how many have, how many
# bytes at its end the heap keeps (-1: all), how many heaps there are
MMAP_THRESHOLD, MMAP_MAX, TRIM_THRESHOLD, ARENA_MAX = -3, -4, -1, -8
LARGE, KEPT = 4 << 20, 32 << 20
# where glibc itself ends once large arrays have been freed
USUAL = {MMAP_MAX: 1 << 16, MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 64 << 20}


def release() -> None:
    """Give what is free back to the system, where glibc would keep it; large arrays ever after.

    That is until `restore`. For these glibc takes pages of their own, but once one of up to 32 MB
    is freed, the heap. What is smaller comes again in each evaluation: of that some is kept.
    """
    _set_up_heap({MMAP_THRESHOLD: LARGE, TRIM_THRESHOLD: KEPT})


@contextmanager
def reused():
    """Context for steps that are alike: glibc keeps what one frees for the next.

    Else large arrays have new pages each time, and the system clears each at its first use. Threads
    that begin here, or later, use the heap of the process, unless others have left them theirs:
    those end at 64 MB. Afterwards what is free is given back.
    """
    _set_up_heap({MMAP_MAX: 0, TRIM_THRESHOLD: -1, ARENA_MAX: 1})
    try:
        yield
    finally:
        restore()


def restore() -> None:
    """Give what is free back to the system, and leave the heap as glibc itself would."""
    _set_up_heap(USUAL)


def _set_up_heap(options):
    """Call mallopt with these, and give back what is free."""
    with suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        for option, value in options.items():
            libc.mallopt(option, value)
        libc.malloc_trim(0)
