"""How large the columns of a convolution on the device may be, and what to do without memory.

Columns are made for a strip of output rows at a time. Large strips mean few launches, small ones
little memory; so the first answer to an error of memory is a quarter of the strip.
"""

LARGEST, SMALLEST = 64 << 20, 1 << 20  # bytes
_current = LARGEST


def strip_bytes():
    """Return about how many bytes the columns of a strip may take on the device."""
    return _current


def with_smaller_strips(compute, release=lambda: None):
    """Return compute(), with smaller strips from then on if memory does not suffice.

    Parameters
    ----------
    compute : callable
        May be begun again; it asks `strip_bytes`.
    release : callable
        Called before it is begun again: gives unused memory back to the device.

    Raises
    ------
    MemoryError
        If it does not even do with the smallest strips. CuPy's error is one.
    """
    global _current
    while True:
        try:
            return compute()
        except MemoryError:
            if _current <= SMALLEST:
                raise
        _current //= 4
        release()
