"""What goes wrong in a run through no fault of the program, in a line."""

from minicnn.errors import MinicnnError


def in_words(error: BaseException) -> str | None:
    """Return what an exception says to the user, or None where it is a fault of the program."""
    if isinstance(error, MinicnnError):
        return str(error)
    if isinstance(error, MemoryError):
        from minicnn.runs.estimate import option

        return f"{option.lack(str(error))}; use a smaller size"
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename or 'input or output'}"
    if type(error).__module__.partition(".")[0] in ("cupy", "cupy_backends"):
        return f"the GPU gave up: {error}; try again, or use --device cpu"
    return None
