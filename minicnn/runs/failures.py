"""What goes wrong in a run through no fault of the program, in a line."""

from minicnn.backend import CPU, TOOLKIT
from minicnn.errors import MinicnnError, one_line

# what CuPy and cuda-pathfinder raise where a library or the headers of a kernel are missing
LACKING = ("DynamicLibNotFoundError", "CompileException")


def in_words(error: BaseException) -> str | None:
    """Return what an exception says to the user, or None where it is a fault of the program."""
    if isinstance(error, MinicnnError):
        return str(error)
    if isinstance(error, MemoryError):
        from minicnn.runs.estimate import option

        return f"{option.lack(str(error))}; use a smaller size"
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename or 'input or output'}"
    if type(error).__module__.partition(".")[0] in ("cupy", "cupy_backends", "cuda"):
        said = one_line(error, 200)
        if type(error).__name__ in LACKING:
            return f"CuPy lacks a part of CUDA ({said}); {TOOLKIT}, or {CPU}"
        return f"the GPU gave up: {said}; try again, or use --device cpu"
    return None
